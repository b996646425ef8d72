//! A small world for the correlator: processes and open sockets that answer its questions, and records to feed it.

use crate::correlate::{
    ContainerNames, Correlator, Lookups, PROCESS_CAPACITY, ProcessId, ProcessInfo, RangeHolder, RangeUse,
    Report, Settings, SocketHolders, Wanted, WantedPort, WantedRange, WantedUse,
};
use crate::decode::RawEvent;
use crate::model::Conflict;
use crate::rule::{Era, Lookup};
use jiff::Timestamp;
use portwatch_common::record::{Holder, Refusal, found_by, operation, tag};
use portwatch_common::{Assignment, Process, Socket, Task};
use std::collections::HashMap;
use std::sync::Arc;

pub(super) const NETNS: u32 = 4_026_531_840;
pub(super) const PORT: u16 = 50_010;
/// When everything happens, on the boot clock.
pub(super) const NOW: u64 = 3_600_000_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

#[derive(Default)]
pub(super) struct World {
    pub(super) running: HashMap<ProcessId, ProcessInfo>,
    /// Who has which inode open.
    pub(super) open: HashMap<u64, Vec<ProcessId>>,
    pub(super) cgroups: HashMap<u64, String>,
    /// Who has most of the ephemeral range.
    pub(super) hoarders: Vec<RangeHolder>,
    /// How full the ephemeral range is.
    pub(super) range_use: Option<RangeUse>,
    /// What was asked about that.
    pub(super) uses_asked: Vec<WantedUse>,
    /// What the containers of these cgroups are called.
    pub(super) containers: HashMap<String, Arc<ContainerNames>>,
    pub(super) blind: Option<crate::model::UnnamedReason>,
    /// What the kernel's list of SCTP sockets has.
    pub(super) listed: Vec<Socket>,
    /// Who is in another network namespace by now.
    pub(super) moved: Vec<u32>,
    /// When the dead ended.
    pub(super) ended: HashMap<ProcessId, u64>,
    /// How often somebody asked who has a socket.
    pub(super) questions: usize,
    /// How often somebody looked at a process.
    pub(super) looks: usize,
}

impl World {
    /// Starts a process; its task record is what the kernel would write.
    pub(super) fn start(&mut self, tgid: u32, comm: &str, cgroup: &str) -> Task {
        let task = task(tgid, comm);
        let id = ProcessId::of(&task);
        let info = ProcessInfo {
            id,
            comm: comm.as_bytes().to_vec(),
            exe: Some(format!("/usr/bin/{comm}")),
            arguments: vec![comm.to_owned(), "--serve".to_owned()],
            uid: Some(1000),
            cgroup: Some(cgroup.to_owned()),
        };
        self.running.insert(id, info);
        task
    }

    pub(super) fn kill(&mut self, task: &Task) {
        let id = ProcessId::of(task);
        self.running.remove(&id);
        self.open.values_mut().for_each(|owners| owners.retain(|owner| *owner != id));
    }

    /// Ends a process whose parent has not asked for its exit code: what /proc still tells of it.
    pub(super) fn end_unreaped(&mut self, task: &Task) {
        let id = ProcessId::of(task);
        if let Some(info) = self.running.get_mut(&id) {
            info.exe = None;
            info.arguments.clear();
        }
        self.open.values_mut().for_each(|owners| owners.retain(|owner| *owner != id));
    }

    pub(super) fn opens(&mut self, task: &Task, inode: u64) {
        self.open.entry(inode).or_default().push(ProcessId::of(task));
    }
}

impl Lookups for World {
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo> {
        self.looks += 1;
        self.running.get(&id).cloned()
    }

    fn cgroup_path(&mut self, id: u64) -> Option<String> {
        self.cgroups.get(&id).cloned()
    }

    fn ended_ns(&mut self, task: &Task) -> Option<u64> {
        self.ended.get(&ProcessId::of(task)).copied()
    }

    fn range_holders(&mut self, _: WantedRange) -> Vec<RangeHolder> {
        self.hoarders.clone()
    }

    fn range_use(&mut self, wanted: WantedUse) -> Option<RangeUse> {
        self.uses_asked.push(wanted);
        self.range_use.clone()
    }

    fn container(&mut self, cgroup: &str) -> Option<Arc<ContainerNames>> {
        self.containers.get(cgroup).cloned()
    }

    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        self.questions += 1;
        let answer = |want: &Wanted| {
            let owners = self.open.get(&want.inode).map_or(&[][..], Vec::as_slice);
            let hinted = want.hint.filter(|hint| !want.sharers && owners.contains(hint));
            let chosen = hinted.map_or_else(|| owners.to_vec(), |hint| vec![hint]);
            let processes: Vec<_> = chosen.iter().filter_map(|id| self.running.get(id).cloned()).collect();
            let blind = self.blind.filter(|_| processes.is_empty());
            SocketHolders { processes, blind }
        };
        wanted.iter().map(answer).collect()
    }

    fn alive(&mut self, id: ProcessId) -> Option<bool> {
        Some(self.running.contains_key(&id))
    }

    fn sctp_sockets(&mut self, _: u32, _: u32, port: u16) -> Vec<Socket> {
        self.questions += 1;
        self.listed.iter().copied().filter(|socket| socket.local_port == port).collect()
    }

    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(boot_ns)).unwrap_or(Timestamp::MAX)
    }

    fn reserved_ports(&mut self, netns: u32, tgid: u32) -> Option<String> {
        (netns == NETNS && !self.moved.contains(&tgid)).then(|| "8080\n".to_owned())
    }

    fn free_port(&mut self, wanted: WantedPort) -> Option<u16> {
        Some(wanted.low - 1)
    }

    fn destroys_sockets(&mut self) -> Option<bool> {
        Some(false)
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        [(0, "root"), (1000, "alice")]
            .into_iter()
            .find(|(known, _)| *known == uid)
            .map(|(_, name)| name.to_owned())
    }
}

pub(super) fn correlator() -> Correlator {
    Correlator::new(settings())
}

pub(super) fn settings() -> Settings {
    Settings {
        backend: "fexit".into(),
        era: Era { orphans_are_roots: false, lookup: Lookup::ByAddress },
        own_netns: NETNS,
        started_ns: NOW - 600 * SECOND,
        has_snapshot: false,
        processes: PROCESS_CAPACITY,
    }
}

pub(super) fn task(tgid: u32, comm: &str) -> Task {
    let mut bytes = [0; 16];
    bytes[..comm.len()].copy_from_slice(comm.as_bytes());
    // Not a whole number of ticks: the kernel's record is finer than /proc.
    let start_ns = NOW - 100 * SECOND + u64::from(tgid) * 10_000_000 + 1_234_567;
    Task { start_ns, cgroup: 0, tgid, tid: tgid, uid: 1000, pad: 0, comm: bytes }
}

pub(super) fn v4(a: u8, b: u8, c: u8, d: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&[a, b, c, d]);
    bytes
}

/// A TCP socket bound to 127.0.0.1 by number.
pub(super) fn socket(address: u64, state: u8) -> Socket {
    Socket {
        address,
        inode: address,
        local: v4(127, 0, 0, 1),
        netns: NETNS,
        uid: 1000,
        local_port: PORT,
        protocol: 6,
        family: 2,
        kind: 1,
        state,
        ..Socket::default()
    }
}

/// The same as one end of a connection.
pub(super) fn connected(address: u64, state: u8) -> Socket {
    Socket { remote: v4(10, 0, 0, 9), remote_port: 2379, ..socket(address, state) }
}

pub(super) fn assignment(task: Task, how: u8, socket: &Socket) -> Assignment {
    Assignment {
        task,
        assigned_ns: NOW - 40 * SECOND,
        inode: socket.inode,
        netns: socket.netns,
        port: socket.local_port,
        protocol: 6,
        how,
    }
}

pub(super) fn met(by: u8, socket: Socket, assignment: Option<Assignment>) -> Holder {
    Holder {
        tag: tag::HOLDER,
        found_by: by,
        has_assignment: u8::from(assignment.is_some()),
        refusal: 1,
        socket,
        assignment: assignment.unwrap_or_default(),
        ..Holder::default()
    }
}

pub(super) fn walked(socket: Socket, assignment: Option<Assignment>) -> Holder {
    met(found_by::WALK, socket, assignment)
}

pub(super) fn refusal(victim: Task) -> Refusal {
    Refusal {
        tag: tag::REFUSAL,
        errno: 98,
        id: 1,
        when_ns: NOW,
        task: victim,
        socket: Socket { local: v4(0, 0, 0, 0), ..socket(0xf00, 7) },
        range_low: 32_768,
        range_high: 60_999,
        operation: operation::BIND,
        ..Refusal::default()
    }
}

/// Feeds a whole group and expects a new conflict of it.
pub(super) fn conflict(world: &mut World, records: &[Holder], refusal: Refusal) -> Conflict {
    conflict_under(settings(), world, records, refusal)
}

/// The same with other settings.
pub(super) fn conflict_under(
    settings: Settings,
    world: &mut World,
    records: &[Holder],
    refusal: Refusal,
) -> Conflict {
    let mut correlator = Correlator::new(settings);
    for record in records {
        assert!(correlator.accept(RawEvent::Holder(Box::new(*record)), world).is_none());
    }
    match correlator.accept(RawEvent::Refusal(Box::new(refusal)), world) {
        Some(Report::New(conflict)) => *conflict,
        other => panic!("not a new conflict: {other:?}"),
    }
}

pub(super) fn announced(task: Task, argv: &[u8]) -> RawEvent {
    let mut bytes = [0; portwatch_common::record::ARGV_BYTES];
    bytes[..argv.len()].copy_from_slice(argv);
    let argv_len = u32::try_from(argv.len()).expect("a short line");
    RawEvent::Process(Box::new(Process { tag: tag::PROCESS, argv_len, task, argv: bytes }))
}
