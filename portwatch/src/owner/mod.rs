//! Who owns a socket, what its process is called, which unit or container that is: the live answers to the
//! correlator's questions, read from /proc and the cgroup file system.

pub mod cgroup;
mod cgroup_id;
mod clock;
mod descriptors;
pub mod netns;
mod process;

pub use clock::now_boot_ns;

use crate::correlate::{Lookups, ProcessId, ProcessInfo, SocketHolders, Wanted};
use crate::model::UnnamedReason;
use cgroup_id::CgroupPaths;
use clock::WallClock;
use jiff::Timestamp;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// Inode of the initial pid namespace (`PROC_PID_INIT_INO`): the one in which the kernel's records count.
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The world as it is now.
#[derive(Debug)]
pub struct Live {
    proc: PathBuf,
    /// Pids in the kernel's records are the ones in /proc.
    same_pids: bool,
    cgroups: CgroupPaths,
    clock: WallClock,
}

impl Live {
    /// Looks at where portwatch itself stands; cannot fail, but may see less.
    pub fn new() -> Self {
        let namespace = fs::metadata("/proc/self/ns/pid").map(|meta| meta.ino());
        Self {
            proc: PathBuf::from("/proc"),
            same_pids: namespace.is_ok_and(|inode| inode == INITIAL_PID_NAMESPACE),
            cgroups: CgroupPaths::open(),
            clock: WallClock::new(),
        }
    }
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

    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        if self.same_pids {
            return descriptors::holders(&self.proc, wanted);
        }
        let blind =
            SocketHolders { blind: Some(UnnamedReason::OtherPidNamespace), ..SocketHolders::default() };
        vec![blind; wanted.len()]
    }

    fn alive(&mut self, id: ProcessId) -> Option<bool> {
        self.same_pids.then(|| process::identity(&self.proc, id.tgid) == Some(id))
    }

    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp {
        self.clock.at(boot_ns)
    }

    fn reserved_ports(&mut self, netns: u32, tgid: u32) -> Option<String> {
        netns::reserved_ports(netns, tgid)
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
    }
}
