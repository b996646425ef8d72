//! Who owns a socket, what its process is called, which unit or container that is: the live answers to the
//! correlator's questions, read from /proc and the cgroup file system.

pub mod cgroup;
mod cgroup_id;
mod clock;
mod containers;
mod descriptors;
pub(crate) mod free_port;
pub mod namespaces;
pub mod netns;
mod patience;
mod process;
mod range;
mod range_use;
mod recent;
pub(crate) mod rooted;
mod runtime;
#[cfg(test)]
pub(crate) mod scratch;
mod sctp;
pub mod socket_tables;
mod users;

pub use clock::now_boot_ns;
pub(crate) use range::bound;

use crate::correlate::{
    ContainerNames, Lookups, ProcessId, ProcessInfo, RangeHolder, RangeUse, SocketHolders, Wanted,
    WantedPort, WantedRange, WantedUse,
};
use crate::model::UnnamedReason;
use crate::occupancy::{BoundPorts, Full};
use crate::probe::Assignments;
use cgroup_id::CgroupPaths;
use clock::WallClock;
use containers::Containers;
use jiff::{SignedDuration, Timestamp};
use portwatch_common::{Assignment, Socket, Task};
use recent::Recent;
use rooted::Root;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use users::Users;

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`): the one in which the kernel's records count.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// Inode of the initial cgroup namespace (`PROC_CGROUP_INIT_INO`): no engine leaves a container in it on cgroup v2.
const INITIAL_CGROUP_NAMESPACE: u64 = 0xEFFF_FFFB;

/// How far two readings of one start time may lie apart: the clock may have been set a little in between.
const SAME_START: SignedDuration = SignedDuration::from_secs(1);

/// The world as it is now.
#[derive(Debug)]
pub struct Live {
    proc: PathBuf,
    /// Pids in the kernel's records are the ones in /proc.
    same_pids: bool,
    cgroups: CgroupPaths,
    /// The host's files; none if they cannot be told from those of a container around portwatch.
    root: Option<Arc<Root>>,
    containers: Containers,
    users: Users,
    clock: WallClock,
    looks: Recent<Full>,
    counted: Recent<Vec<RangeHolder>>,
    free_ports: free_port::Memory,
    /// Whether the kernel ends sockets on request, once that was tried.
    destroys: Option<Option<bool>>,
    /// The kernel side's records, where it runs.
    assignments: Option<Arc<Assignments>>,
}

impl Live {
    /// Looks at where portwatch itself stands; cannot fail, but may see less.
    pub fn new() -> Self {
        let same_pids = is_in("pid", INITIAL_PID_NAMESPACE);
        let root = same_pids.then(host_root).flatten().map(Arc::new);
        Self {
            proc: PathBuf::from("/proc"),
            same_pids,
            cgroups: CgroupPaths::open(),
            containers: Containers::below(root.clone()),
            users: Users::default(),
            root,
            clock: WallClock::new(),
            looks: Recent::default(),
            counted: Recent::default(),
            free_ports: free_port::Memory::default(),
            destroys: None,
            assignments: None,
        }
    }

    /// Whether a process that was described earlier still runs; `None` if that cannot be told from here.
    pub fn still_runs(&mut self, process: &crate::model::Process) -> Option<bool> {
        if !self.same_pids {
            return None;
        }
        let Some(now) = process::read(&self.proc, process.pid) else {
            // Without rights /proc may hide the processes of others.
            return if process::exists(process.pid) { None } else { Some(false) };
        };
        let start = self.clock.at(now.id.start_ns());
        let is_same = process.start_time.map(|then| start.duration_since(then).abs() <= SAME_START);
        match is_same {
            Some(true) => Some(process::is_alive(&self.proc, now.id)),
            // The clock may have been set meanwhile: another start time proves nothing of a process of the same name.
            _ if crate::text::lossy(&now.comm) == process.comm => None,
            Some(false) => Some(false),
            None => None,
        }
    }

    /// When this machine was started.
    pub fn booted(&mut self) -> Timestamp {
        self.clock.at(0)
    }

    /// Answers also from the kernel side's records.
    #[must_use]
    pub fn with_assignments(self, assignments: Arc<Assignments>) -> Self {
        Self { assignments: Some(assignments), ..self }
    }
}

/// Everything that is shown of a process below another root's /proc; `None` if there is none of that pid.
pub(crate) fn process_below(proc: &Path, pid: u32) -> Option<ProcessInfo> {
    process::read(proc, pid)
}

fn is_in(kind: &str, namespace: u64) -> bool {
    fs::metadata(format!("/proc/self/ns/{kind}")).is_ok_and(|meta| meta.ino() == namespace)
}

/// The root folder of the host: that of its first process, because portwatch itself may run in a container, whose
/// files and users are not the host's. Where that may not be followed, its own, if it is in no container.
fn host_root() -> Option<Root> {
    let is_outside = || {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let contained =
            cgroup::pick(&groups).is_some_and(|path| cgroup::membership(path).container.is_some());
        is_in("cgroup", INITIAL_CGROUP_NAMESPACE) && !contained
    };
    let through_init = Root::open(Path::new("/proc/1/root"));
    through_init.or_else(|| is_outside().then(|| Root::open(Path::new("/")))?)
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Lookups for Live {
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo> {
        let info = self.same_pids.then(|| process::read(&self.proc, id.tgid))??;
        (info.id == id).then_some(info)
    }

    fn cgroup_path(&mut self, id: u64) -> Option<String> {
        self.cgroups.path(id)
    }

    fn container(&mut self, cgroup: &str) -> Option<Arc<ContainerNames>> {
        self.containers.names(cgroup)
    }

    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        if self.same_pids {
            return descriptors::holders(&self.proc, wanted);
        }
        let blind =
            SocketHolders { blind: Some(UnnamedReason::OtherPidNamespace), ..SocketHolders::default() };
        vec![blind; wanted.len()]
    }

    fn alive(&mut self, id: ProcessId) -> Option<bool> {
        self.same_pids.then(|| process::is_alive(&self.proc, id))
    }

    fn ended_ns(&mut self, task: &Task) -> Option<u64> {
        self.assignments.as_ref()?.ended_ns(task)
    }

    fn range_holders(&mut self, wanted: WantedRange) -> Vec<RangeHolder> {
        let Some(assignments) = &self.assignments else { return Vec::new() };
        // Most clients of SCTP have no record, so that nothing can be said of who has most.
        if i32::from(wanted.protocol) == libc::IPPROTO_SCTP {
            return Vec::new();
        }
        let proc = &self.proc;
        let count = || {
            let is_within = |one: &Assignment| range::is_within(one, wanted);
            let mut recorded = assignments.wanted(&is_within);
            recorded.extend(range::closed(assignments, &is_within));
            Some(range::tally(range::still_open(recorded, |pid| descriptors::sockets(proc, pid))))
        };
        self.counted.get(wanted, count).cloned().unwrap_or_default()
    }

    fn range_use(&mut self, wanted: WantedUse) -> Option<RangeUse> {
        let assignments = self.assignments.as_deref();
        let bound = || assignments.map_or_else(BoundPorts::default, |all| bound(all, wanted.range.netns));
        range_use::at(&mut self.looks, wanted, self.same_pids, bound)
    }

    fn sctp_sockets(&mut self, netns: u32, tgid: u32, port: u16) -> Vec<Socket> {
        sctp::sockets(netns, self.same_pids.then_some(tgid), port)
    }

    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp {
        self.clock.at(boot_ns)
    }

    fn reserved_ports(&mut self, netns: u32, tgid: u32) -> Option<String> {
        netns::reserved_ports(netns, tgid)
    }

    fn free_port(&mut self, wanted: WantedPort) -> Option<u16> {
        self.free_ports.answer(wanted)
    }

    fn destroys_sockets(&mut self) -> Option<bool> {
        *self.destroys.get_or_insert_with(socket_tables::destroys_sockets)
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        self.users.name(self.root.as_ref()?, uid)
    }
}
