//! Puts a conflict together: refusal, victim and holders, their class, and what advice about it depends on.

use super::resolve::{self, Resolved};
use super::{Lookups, Settings, WantedPort, cause, socket};
use crate::advise::{self, Situation};
use crate::model::{Cause, Conflict, Errno, Operation, Process, Protocol, Range, SCHEMA, UnnamedReason};
use portwatch_common::Socket;
use portwatch_common::record::{Refusal, refusal_flag};

/// Holders through which a namespace is looked for.
const DOORS: usize = 4;

pub(super) fn conflict(
    refusal: &Refusal,
    protocol: Protocol,
    victim: Process,
    resolved: &[Resolved],
    settings: &Settings,
    lookups: &mut dyn Lookups,
) -> Conflict {
    let socket = &refusal.socket;
    let time = lookups.wall_clock(refusal.when_ns);
    let mut conflict = Conflict {
        schema: SCHEMA,
        id: format!("{:x}-{:x}", refusal.when_ns, refusal.task.tid),
        time,
        count: 1,
        first_time: time,
        operation: Operation::from_wire(refusal.operation),
        errno: Errno(refusal.errno),
        protocol,
        address: socket::ip_addr(socket.family, socket.local),
        port: socket.local_port,
        netns: socket.netns,
        backend: settings.backend.clone(),
        cause: class(refusal, &victim, resolved),
        victim,
        holders: resolved.iter().map(|resolved| resolved.holder.clone()).collect(),
        range: range(refusal),
        advice: Vec::new(),
        options: socket::options(socket),
        exhaustion: None,
    };
    if conflict.holders.is_empty() && conflict.cause == Cause::Unknown {
        conflict.holders.push(resolve::nobody(why_nobody(refusal)));
    }
    conflict
}

fn class(refusal: &Refusal, victim: &Process, resolved: &[Resolved]) -> Cause {
    match resolved.first() {
        _ if refusal.socket.local_port == 0 => Cause::Exhausted,
        Some(culprit) => cause::classify(refusal, victim, culprit),
        None => Cause::Unknown,
    }
}

fn range(refusal: &Refusal) -> Range {
    let (low, high) = (refusal.range_low, refusal.range_high);
    Range {
        low,
        high,
        in_range: (low..=high).contains(&refusal.socket.local_port),
        reserved: refusal.flags & refusal_flag::RESERVED != 0,
    }
}

/// Why a refusal has no holder, the likeliest first.
const fn why_nobody(refusal: &Refusal) -> UnnamedReason {
    if refusal.holders_lost > 0 {
        UnnamedReason::RecordLost
    } else if refusal.flags & refusal_flag::WALK_CUT != 0 {
        UnnamedReason::WalkCut
    } else if refusal.flags & refusal_flag::NO_WALK != 0 {
        UnnamedReason::NoWalk
    } else {
        UnnamedReason::ReleasedMeanwhile
    }
}

/// What the advice depends on.
pub(super) fn situation(
    refusal: &Refusal,
    conflict: &Conflict,
    culprit: Option<&Resolved>,
    own_netns: u32,
    lookups: &mut dyn Lookups,
) -> Situation {
    let holder = culprit.map(|culprit| culprit.suspect.socket);
    // Any living process of the namespace will do to read its settings. The victim last: it may exit at any moment.
    let doors = conflict.holders.iter().filter(|holder| holder.alive).filter_map(|h| h.process.as_ref());
    let mut doors = doors.take(DOORS).chain([&conflict.victim]).map(|process| process.pid);
    let seen = doors.find_map(|pid| Some((pid, lookups.reserved_ports(conflict.netns, pid)?)));
    let (door, reserved) = seen.unzip();
    let reuses = |socket: &Socket| socket::options(socket).map(|options| options.reuse_address);
    let users = holder.filter(|holder| holder.uid != refusal.socket.uid).map(|holder| {
        let mut name = |uid| lookups.user_name(uid).unwrap_or_else(|| format!("uid {uid}"));
        (name(refusal.socket.uid), name(holder.uid))
    });
    let is_own = conflict.netns == own_netns;
    let may_end =
        conflict.protocol == Protocol::Tcp && conflict.culprit().is_some_and(|h| h.remote.is_some());
    let destroys = may_end.then(|| lookups.destroys_sockets()).flatten();
    Situation {
        own_netns,
        door,
        reserved,
        victim_reuses: reuses(&refusal.socket),
        holder_reuses: holder.as_ref().and_then(reuses),
        free_port: free_port(refusal, conflict, door.or(is_own.then_some(0)), lookups),
        destroys,
        outlived: false,
        users,
        range: None,
    }
}

/// Where the victim could move to, where an advice may say so.
fn free_port(
    refusal: &Refusal,
    conflict: &Conflict,
    door: Option<u32>,
    lookups: &mut dyn Lookups,
) -> Option<u16> {
    if !advise::names_a_port(conflict) {
        return None;
    }
    lookups.free_port(WantedPort {
        netns: conflict.netns,
        tgid: door?,
        protocol: refusal.socket.protocol,
        port: conflict.port,
        low: conflict.range.low,
        high: conflict.range.high,
    })
}
