//! Looks made up, and what is told of them.

use super::merge::{Reach, merge};
use super::owners::Owners;
use super::{Look, Query, Scope, Standing, View, assemble};
use crate::correlate::{
    ContainerNames, Lookups, ProcessId, ProcessInfo, RangeHolder, RangeUse, SocketHolders, Wanted,
    WantedPort, WantedRange, WantedUse,
};
use crate::model::{HeldPort, HeldSocket, Protocol, Role, State, UnnamedReason};
use crate::owner::socket_tables::Entry;
use crate::probe::OpenSocket;
use jiff::Timestamp;
use portwatch_common::{Socket, Task};
use std::collections::HashMap;
use std::sync::Arc;

const ALL: Query = Query { port: 40_000, protocol: None };
const HERE: u32 = 1;

/// Processes and what they have open.
#[derive(Default)]
struct World {
    open: HashMap<u64, Vec<u32>>,
    living: Vec<u32>,
    blind: Option<UnnamedReason>,
}

fn info(tgid: u32) -> ProcessInfo {
    let id = ProcessId { tgid, start_ticks: u64::from(tgid) };
    ProcessInfo {
        id,
        comm: format!("p{tgid}").into_bytes(),
        exe: None,
        arguments: Vec::new(),
        uid: Some(0),
        cgroup: None,
    }
}

impl Lookups for World {
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo> {
        self.living.contains(&id.tgid).then(|| info(id.tgid))
    }
    fn cgroup_path(&mut self, _: u64) -> Option<String> {
        None
    }
    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        let of =
            |want: &Wanted| self.open.get(&want.inode).into_iter().flatten().map(|&pid| info(pid)).collect();
        wanted.iter().map(|want| SocketHolders { processes: of(want), blind: self.blind }).collect()
    }
    fn container(&mut self, _: &str) -> Option<Arc<ContainerNames>> {
        None
    }
    fn ended_ns(&mut self, _: &Task) -> Option<u64> {
        None
    }
    fn range_holders(&mut self, _: WantedRange) -> Vec<RangeHolder> {
        Vec::new()
    }
    fn range_use(&mut self, _: WantedUse) -> Option<RangeUse> {
        None
    }
    fn alive(&mut self, _: ProcessId) -> Option<bool> {
        None
    }
    fn sctp_sockets(&mut self, _: u32, _: u32, _: u16) -> Vec<Socket> {
        Vec::new()
    }
    fn wall_clock(&mut self, _: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn reserved_ports(&mut self, _: u32, _: u32) -> Option<String> {
        None
    }
    fn free_port(&mut self, _: WantedPort) -> Option<u16> {
        None
    }
    fn destroys_sockets(&mut self) -> Option<bool> {
        None
    }
    fn user_name(&mut self, uid: u32) -> Option<String> {
        (uid == 0).then(|| "root".to_owned())
    }
}

fn entry(state: State, local: &str, remote: Option<&str>, inode: u64) -> Entry {
    Entry {
        protocol: Protocol::Tcp,
        state,
        local: Some(local.parse().expect("an address")),
        remote: remote.map(|remote| remote.parse().expect("an address")),
        uid: (inode != 0).then_some(0),
        inode,
        ends_in_ms: None,
    }
}

fn view(entries: impl IntoIterator<Item = Entry>) -> View {
    View {
        netns: HERE,
        is_own: true,
        is_visited: true,
        range: Some((32_768, 60_999)),
        reserved: Some(String::new()),
        sockets: entries.into_iter().map(|entry| Standing { port: ALL.port, entry }).collect(),
        ..View::default()
    }
}

fn told(view: View, world: &mut World) -> HeldPort {
    let look = Look { views: vec![view], ..Look::default() };
    let owners = Owners::find(&look, world);
    assemble::port(ALL, &look, &owners, Timestamp::UNIX_EPOCH, world)
}

fn roles(held: &HeldPort) -> Vec<Role> {
    held.holders.iter().map(|held| held.role).collect()
}

fn pid(held: &HeldSocket) -> Option<u32> {
    held.process.as_ref().map(|process| process.pid)
}

const LOCAL: &str = "10.0.0.1:40000";
const REMOTE: Option<&str> = Some("10.0.0.9:443");

#[test]
fn a_client_in_the_range_is_named_with_the_command_that_prevents_it() {
    let mut world = World { open: HashMap::from([(7, vec![33])]), ..World::default() };
    let held = told(view([entry(State::Established, LOCAL, REMOTE, 7)]), &mut world);
    let client = &held.holders[0];
    assert_eq!((client.role, pid(client), client.ephemeral), (Role::Client, Some(33), true));
    assert_eq!(held.advice.len(), 1);
    assert_eq!(held.advice[0].commands[0], "sysctl -w net.ipv4.ip_local_reserved_ports=40000");

    let reserved =
        View { reserved: Some("40000\n".to_owned()), ..view([entry(State::Established, LOCAL, REMOTE, 7)]) };
    let held = told(reserved, &mut world);
    assert!(held.advice.is_empty() && held.namespaces[0].range.expect("a range").reserved);

    let outside =
        View { range: Some((50_000, 60_000)), ..view([entry(State::Established, LOCAL, REMOTE, 7)]) };
    let held = told(outside, &mut world);
    assert!(held.advice.is_empty() && !held.holders[0].ephemeral);
}

#[test]
fn a_listener_explains_the_connections_on_its_address_only() {
    let mut world = World {
        open: HashMap::from([(1, vec![33, 34, 35]), (2, vec![34]), (3, vec![90])]),
        ..World::default()
    };
    let held = told(
        view([
            entry(State::TimeWait, LOCAL, REMOTE, 0),
            entry(State::Established, "10.0.0.2:40000", REMOTE, 3),
            entry(State::Established, LOCAL, Some("10.0.0.9:444"), 0),
            entry(State::SynRecv, LOCAL, Some("10.0.0.9:445"), 0),
            entry(State::Established, LOCAL, REMOTE, 2),
            entry(State::Listen, LOCAL, None, 1),
            entry(State::FinWait2, LOCAL, Some("10.0.0.9:446"), 0),
            entry(State::Established, "[::1]:40000", Some("[::1]:9"), 0),
        ]),
        &mut world,
    );
    use Role::{Accepted, Client, Closing, Listener, TimeWait, Unaccepted};
    assert_eq!(
        roles(&held),
        [Listener, Client, Accepted, Unaccepted, Unaccepted, Closing, Closing, TimeWait],
        "an IPv4 listener has no IPv6 connections: that one is an orphan"
    );
    let listener = &held.holders[0];
    assert_eq!((pid(listener), listener.others.len()), (Some(33), 2), "all processes that have it");
    assert_eq!(pid(&held.holders[1]), Some(90));
    assert!(
        held.holders.iter().all(|held| !held.ephemeral),
        "somebody listens on the port: not the kernel's choice"
    );
    let reasons: Vec<_> = held.holders.iter().filter_map(|held| held.unnamed_reason).collect();
    use UnnamedReason::{NotAccepted, NotRecorded};
    assert_eq!(reasons, [NotAccepted, NotAccepted, NotRecorded, NotRecorded, NotRecorded]);
    assert!(held.unseen.iter().any(|note| note.starts_with("TIME_WAIT keeps no owner")));
}

#[test]
fn who_may_not_look_says_so_and_names_nobody() {
    let mut world = World { blind: Some(UnnamedReason::NoPermission), ..World::default() };
    let look = Look { views: vec![view([entry(State::Listen, LOCAL, None, 7)])], ..Look::default() };
    let owners = Owners::find(&look, &mut world);
    assert!(owners.puzzles(&look).is_empty(), "another look would show no more");
    let held = assemble::port(ALL, &look, &owners, Timestamp::UNIX_EPOCH, &mut world);
    assert_eq!(held.holders[0].unnamed_reason, Some(UnnamedReason::NoPermission));
    assert!(held.unseen.iter().any(|note| note.starts_with("hidden:")));
}

fn met(netns: u32, inode: u64, tgid: u32) -> OpenSocket {
    let task = Task { tgid, start_ns: u64::from(tgid) * 10_000_000, ..Task::default() };
    OpenSocket { netns, protocol: 6, port: ALL.port, inode, task, is_chosen: false }
}

#[test]
fn bpf_adds_what_the_tables_cannot_show_and_nothing_else() {
    let reach = Reach { scope: &Scope::All, tells_bound: false, shut: &[] };
    let known = || vec![view([entry(State::Listen, LOCAL, None, 7)])];
    let mut views = known();
    merge(&mut views, &[met(HERE, 7, 33), met(HERE, 8, 34), met(2, 9, 35)], &[ALL], reach);
    assert_eq!(views[0].sockets.len(), 2, "the bound one beside the listener");
    let bound = views[0].sockets[1].entry;
    assert_eq!((bound.state, bound.local, bound.inode), (State::Close, None, 8));
    assert_eq!(
        (views[1].netns, views[1].is_visited, views[1].sockets[0].entry.state),
        (2, false, State::Unknown)
    );

    let mut views = known();
    merge(&mut views, &[met(HERE, 8, 34)], &[ALL], Reach { tells_bound: true, ..reach });
    assert_eq!(views[0].sockets.len(), 1, "sock_diag would have told of it: it is gone");

    let mut views = known();
    merge(&mut views, &[met(2, 9, 35)], &[ALL], Reach { scope: &Scope::Own, ..reach });
    assert_eq!(views.len(), 1, "another namespace was not asked for");

    let mut views = known();
    let udp = Query { protocol: Some(Protocol::Udp), ..ALL };
    merge(&mut views, &[met(HERE, 8, 34)], &[udp], reach);
    assert_eq!(views[0].sockets.len(), 1, "nor another protocol");
}

#[test]
fn a_socket_without_a_process_is_looked_at_twice() {
    let nameless = || Look { views: vec![view([entry(State::Listen, LOCAL, None, 7)])], ..Look::default() };
    let mut world = World { living: vec![33], ..World::default() };
    let first = Owners::find(&nameless(), &mut world).puzzles(&nameless());
    assert_eq!(first.len(), 1);
    let reason = |earlier, look: &Look, world: &mut World| {
        let owners = Owners::find(look, world).after(earlier, look, world);
        let held = assemble::port(ALL, look, &owners, Timestamp::UNIX_EPOCH, world);
        (held.holders[0].unnamed_reason, pid(&held.holders[0]))
    };
    let mut ask = |earlier, look: &Look| reason(earlier, look, &mut world);
    assert_eq!(
        ask(first.clone(), &nameless()),
        (Some(UnnamedReason::NoProcess), None),
        "it stays: the kernel's, perhaps"
    );
    let other = [(HERE, 8)].into();
    assert_eq!(
        ask(other, &nameless()),
        (Some(UnnamedReason::AlreadyGone), None),
        "it came or went meanwhile"
    );
    let with_bpf = Look { met: vec![met(HERE, 7, 33)], ..nameless() };
    assert_eq!(ask(first.clone(), &with_bpf), (None, Some(33)), "a thread of it has the socket");
    let dead = Look { met: vec![met(HERE, 7, 44)], ..nameless() };
    assert_eq!(ask(first, &dead), (Some(UnnamedReason::NoProcess), None), "that process is gone");
}

#[test]
fn what_only_bpf_knows_must_be_there_twice() {
    let bare = Entry { local: None, ..entry(State::Close, LOCAL, None, 8) };
    let look = || Look { views: vec![view([bare])], met: vec![met(HERE, 8, 33)], ..Look::default() };
    let mut world = World { open: HashMap::from([(8, vec![33])]), ..World::default() };
    let first = Owners::find(&look(), &mut world).puzzles(&look());
    assert_eq!(first.len(), 1, "named, and yet looked at again");
    for (earlier, left) in [(first, 1), (HashMap::<(u32, u64), ()>::new().into_keys().collect(), 0)] {
        let mut second = look();
        let owners = Owners::find(&second, &mut world).after(earlier, &second, &mut world);
        owners.drop_passing(&mut second);
        assert_eq!(second.views[0].sockets.len(), left);
    }
}
