//! The look at the present: at /proc for the culprit, at the port for who has it, at the settings that advice depends on.

use super::present::Present;
use crate::advise::{self, Situation};
use crate::correlate::{Lookups as _, WantedPort, WantedRange, WantedUse, range_settings};
use crate::model::{Cause, Conflict, Exhaustion, HeldPort, Protocol, Range};
use crate::owner::namespaces::Namespaces;
use crate::owner::{Live, netns};
use crate::who::{self, PROTOCOLS, Query, Scope};
use jiff::SignedDuration;
use jiff::Timestamp;
use std::path::Path;

/// A conflict is of an earlier run of the machine if it is older than the start by more than a clock is set by.
const CLOCK_SET: SignedDuration = SignedDuration::from_mins(1);

/// Looks at what there is now of a conflict.
pub fn look(conflict: &Conflict, now: Timestamp, live: &mut Live) -> Present {
    let rebooted = conflict.time.checked_add(CLOCK_SET).is_ok_and(|latest| latest < live.booted());
    let port = (conflict.port != 0).then(|| port(conflict.port, Some(conflict.protocol), live)).flatten();
    let mut situation = situation(conflict, port.as_ref(), live);
    let range = (conflict.port == 0).then(|| range(conflict, &mut situation, live)).flatten();
    let runs = conflict
        .culprit()
        .and_then(|holder| holder.process.as_ref())
        .and_then(|process| live.still_runs(process));
    let present = Present { rebooted, port, range, situation, ..Present::unseen(now) };
    present.judged(conflict, runs)
}

/// Who has a port now, in every network namespace that can be seen.
pub fn port(port: u16, protocol: Option<Protocol>, live: &mut Live) -> Option<HeldPort> {
    // MPTCP takes its ports through TCP sockets.
    let plain = protocol.map(|protocol| match protocol {
        Protocol::Mptcp => Protocol::Tcp,
        other => other,
    });
    let query = Query { port, protocol: plain.filter(|plain| PROTOCOLS.contains(plain)) };
    who::answer(&[query], &Scope::All, true, live).into_iter().next()
}

fn situation(conflict: &Conflict, port: Option<&HeldPort>, live: &mut Live) -> Situation {
    let own_netns = netns::own();
    let holders = conflict.holders.iter().filter_map(|holder| holder.process.as_ref());
    let present = port.iter().flat_map(|port| &port.holders).filter(|held| held.netns == conflict.netns);
    let doors: Vec<u32> = holders
        .chain([&conflict.victim])
        .chain(present.filter_map(|held| held.process.as_ref()))
        .map(|process| process.pid)
        .collect();
    let seen = doors.into_iter().find_map(|pid| Some((pid, live.reserved_ports(conflict.netns, pid)?)));
    let seen = seen.or_else(|| {
        let pid = if conflict.netns == own_netns { std::process::id() } else { resident(conflict.netns)? };
        Some((pid, live.reserved_ports(conflict.netns, pid)?))
    });
    let (door, reserved) = seen.unzip();
    let free_port = door.filter(|_| advise::names_a_port(conflict)).and_then(|tgid| {
        live.free_port(WantedPort {
            netns: conflict.netns,
            tgid,
            protocol: conflict.protocol.to_wire(),
            port: conflict.port,
            low: conflict.range.low,
            high: conflict.range.high,
        })
    });
    let culprit = conflict.culprit();
    Situation {
        own_netns,
        door,
        reserved,
        victim_reuses: conflict.options.map(|options| options.reuse_address),
        holder_reuses: culprit.and_then(|holder| holder.options).map(|options| options.reuse_address),
        free_port,
        destroys: live.destroys_sockets(),
        outlived: false,
        users: users(conflict),
        range: None,
    }
}

/// How full an exhausted range is now. What decides the advice is told to the situation.
fn range(conflict: &Conflict, situation: &mut Situation, live: &mut Live) -> Option<Exhaustion> {
    let door = situation.door?;
    let protocol = conflict.protocol.to_wire();
    let Range { low, high, .. } = conflict.range;
    let range = WantedRange { netns: conflict.netns, protocol, low, high };
    let found = live.range_use(WantedUse { range, tgid: door, connection: None })?;
    situation.range = Some(range_settings(&found));
    Some(found.exhaustion)
}

/// Any process in a network namespace.
fn resident(netns: u32) -> Option<u32> {
    let namespace = Namespaces::find().all.into_iter().find(|namespace| namespace.number == netns)?;
    namespace.doors.iter().find_map(|door| pid_of(door))
}

/// `/proc/33/ns/net` → 33
fn pid_of(door: &Path) -> Option<u32> {
    door.to_str()?.strip_prefix("/proc/")?.strip_suffix("/ns/net")?.parse().ok()
}

/// Login names of victim and holder, where they differ and that is what they clash about.
fn users(conflict: &Conflict) -> Option<(String, String)> {
    if conflict.cause != Cause::ReuseportMismatch {
        return None;
    }
    let holder = conflict.culprit()?;
    let owner = holder.creator.as_ref().or(holder.process.as_ref())?;
    let (a, b) = (conflict.victim.uid?, owner.uid?);
    let name = |uid: u32, user: &Option<String>| user.clone().unwrap_or_else(|| format!("uid {uid}"));
    (a != b).then(|| (name(a, &conflict.victim.user), name(b, &owner.user)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;
    use crate::why::present::{Hold, Life};
    use std::net::TcpListener;

    #[test]
    fn this_very_process_is_found_on_its_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut live = Live::new();
        let local = listener.local_addr().expect("an address");
        let mut conflict = example::client();
        (conflict.netns, conflict.port, conflict.time) = (netns::own(), local.port(), Timestamp::now());
        let held = port(local.port(), Some(Protocol::Mptcp), &mut live).expect("an answer");
        let mine = held.holders.iter().find(|held| held.local == Some(local)).expect("on the port");
        conflict.holders[0].process = mine.process.clone();
        (conflict.holders[0].inode, conflict.holders[0].remote) = (mine.inode, None);
        let present = look(&conflict, Timestamp::now(), &mut live);
        assert_eq!((present.process, present.socket, present.rebooted), (Life::Runs, Hold::Holds, false));
        assert_eq!(present.situation.own_netns, conflict.netns);

        drop(listener);
        let present = look(&conflict, Timestamp::now(), &mut live);
        assert_eq!((present.process, present.socket), (Life::Runs, Hold::LetGo));
    }

    #[test]
    fn a_pid_of_somebody_else_is_an_ended_process() {
        let mut conflict = example::client();
        (conflict.time, conflict.port) = (Timestamp::now(), 0);
        let process = conflict.holders[0].process.as_mut().expect("named");
        process.pid = std::process::id();
        let present = look(&conflict, Timestamp::now(), &mut Live::new());
        assert_eq!(present.process, Life::Ended, "another name, another start");
    }

    #[test]
    fn what_is_older_than_the_machines_start_is_gone() {
        let mut conflict = example::client();
        (conflict.time, conflict.port) = (Timestamp::UNIX_EPOCH, 0);
        let present = look(&conflict, Timestamp::now(), &mut Live::new());
        assert!(present.rebooted && present.is_over());
    }

    #[test]
    fn a_door_is_a_process_or_not() {
        assert_eq!(pid_of(Path::new("/proc/33/ns/net")), Some(33));
        assert_eq!(pid_of(Path::new("/run/netns/blue")), None);
    }
}
