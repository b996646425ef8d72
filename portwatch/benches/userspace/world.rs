//! A small host: its processes and open sockets answer the correlator's questions, and its records are fed to it.

use jiff::Timestamp;
use portwatch::correlate::{
    ContainerNames, Correlator, Lookups, PROCESS_CAPACITY, ProcessId, ProcessInfo, RangeHolder, RangeUse,
    Settings, SocketHolders, Wanted, WantedPort, WantedRange, WantedUse,
};
use portwatch::decode::RawEvent;
use portwatch::rule::{Era, Lookup};
use portwatch_common::record::{ARGV_BYTES, Holder, Refusal, found_by, how, operation, tag};
use portwatch_common::{Assignment, Process, Socket, Task};
use std::collections::HashMap;
use std::sync::Arc;

pub(crate) const ERA: Era = Era { orphans_are_roots: false, lookup: Lookup::ByAddress };

const NETNS: u32 = 4_026_531_840;
const PORT: u16 = 50_010;
const SECOND: u64 = 1_000_000_000;
/// When everything happens, on the boot clock.
const NOW: u64 = 3_600 * SECOND;

/// Who runs and who has which socket open; the rest of the questions have one answer each.
#[derive(Default)]
pub(crate) struct World {
    running: HashMap<ProcessId, ProcessInfo>,
    open: HashMap<u64, ProcessId>,
    /// Whoever else is asked for is one more of these.
    restarting: Option<ProcessInfo>,
}

impl World {
    /// Starts a process; its task is what the kernel would write.
    pub(crate) fn start(&mut self, tgid: u32, comm: &str) -> Task {
        let task = task(tgid, comm);
        let info = ProcessInfo {
            id: ProcessId::of(&task),
            comm: comm.as_bytes().to_vec(),
            exe: Some(format!("/usr/bin/{comm}")),
            arguments: vec![format!("/usr/bin/{comm}"), "--config".into(), format!("/etc/{comm}.conf")],
            uid: Some(task.uid),
            cgroup: Some(format!("/system.slice/{comm}.service")),
        };
        self.running.insert(info.id, info);
        task
    }

    /// A service that begins anew again and again; the tasks of its processes, without end.
    pub(crate) fn restart(&mut self, first: Task, comm: &str) -> impl Iterator<Item = Task> + use<> {
        self.restarting = self.running.get(&ProcessId::of(&first)).cloned();
        let comm = comm.to_owned();
        (first.tgid + 1..).map(move |tgid| task(tgid, &comm))
    }

    /// So many sockets on the port, of so many processes; the records of all of them.
    pub(crate) fn hold(&mut self, sockets: u32, processes: u32) -> Vec<RawEvent> {
        let one = |number: u32| {
            let owner = number % processes;
            let holder = holder(number, self.start(2_000 + owner, &format!("client-{owner}")));
            self.open.insert(holder.socket.inode, ProcessId::of(&holder.assignment.task));
            RawEvent::Holder(Box::new(holder))
        };
        (1..=sockets).map(one).collect()
    }
}

impl Lookups for World {
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo> {
        let another = || Some(ProcessInfo { id, ..self.restarting.clone()? });
        self.running.get(&id).cloned().or_else(another)
    }

    fn cgroup_path(&mut self, _: u64) -> Option<String> {
        None
    }

    fn container(&mut self, _: &str) -> Option<Arc<ContainerNames>> {
        None
    }

    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        let owner = |want: &Wanted| self.running.get(self.open.get(&want.inode)?).cloned();
        let answer = |want| SocketHolders { processes: owner(want).into_iter().collect(), blind: None };
        wanted.iter().map(answer).collect()
    }

    fn alive(&mut self, id: ProcessId) -> Option<bool> {
        Some(self.running.contains_key(&id))
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

    fn sctp_sockets(&mut self, _: u32, _: u32, _: u16) -> Vec<Socket> {
        Vec::new()
    }

    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(boot_ns)).unwrap_or(Timestamp::MAX)
    }

    fn reserved_ports(&mut self, _: u32, _: u32) -> Option<String> {
        Some("8080\n".to_owned())
    }

    fn free_port(&mut self, wanted: WantedPort) -> Option<u16> {
        Some(wanted.low - 1)
    }

    fn destroys_sockets(&mut self) -> Option<bool> {
        Some(true)
    }

    fn user_name(&mut self, _: u32) -> Option<String> {
        Some("www-data".to_owned())
    }
}

pub(crate) fn correlator() -> Correlator {
    Correlator::new(Settings {
        backend: "fexit".into(),
        era: ERA,
        own_netns: NETNS,
        started_ns: NOW - 600 * SECOND,
        has_snapshot: true,
        processes: PROCESS_CAPACITY,
    })
}

pub(crate) fn task(tgid: u32, comm: &str) -> Task {
    let mut bytes = [0; 16];
    bytes[..comm.len()].copy_from_slice(comm.as_bytes());
    let start_ns = NOW - 100 * SECOND + u64::from(tgid) * 1_000_000;
    Task { start_ns, cgroup: 0, tgid, tid: tgid, uid: 33, pad: 0, comm: bytes }
}

fn v4(address: [u8; 4]) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&address);
    bytes
}

fn socket(address: u64, state: u8) -> Socket {
    Socket {
        address,
        inode: address,
        netns: NETNS,
        uid: 33,
        local_port: PORT,
        protocol: 6,
        family: 2,
        kind: 1,
        state,
        ..Socket::default()
    }
}

/// A connection of a client to which the kernel gave the port.
pub(crate) fn holder(number: u32, owner: Task) -> Holder {
    let socket = Socket {
        local: v4([10, 0, 0, 5]),
        remote: v4([10, 0, 1, number.to_be_bytes()[3]]),
        remote_port: 2379,
        ..socket(0xffff_8880_0000_0000 + u64::from(number) * 0x800, 1)
    };
    let assignment = Assignment {
        task: owner,
        assigned_ns: NOW - 40 * SECOND,
        inode: socket.inode,
        netns: NETNS,
        port: PORT,
        protocol: 6,
        how: how::CONNECT,
    };
    let found_by = found_by::WALK;
    Holder {
        tag: tag::HOLDER,
        found_by,
        has_assignment: 1,
        refusal: 1,
        socket,
        assignment,
        ..Holder::default()
    }
}

/// bind() of the port on every address.
pub(crate) fn refusal(victim: Task) -> Refusal {
    Refusal {
        tag: tag::REFUSAL,
        errno: 98,
        id: 1,
        when_ns: NOW,
        task: victim,
        socket: socket(0xffff_8880_f000_0000, 7),
        range_low: 32_768,
        range_high: 60_999,
        operation: operation::BIND,
        ..Refusal::default()
    }
}

/// A first port.
pub(crate) fn announced(task: Task, argv: &[u8]) -> RawEvent {
    let mut bytes = [0; ARGV_BYTES];
    bytes[..argv.len()].copy_from_slice(argv);
    let argv_len = u32::try_from(argv.len()).unwrap_or_default();
    RawEvent::Process(Box::new(Process { tag: tag::PROCESS, argv_len, task, argv: bytes }))
}
