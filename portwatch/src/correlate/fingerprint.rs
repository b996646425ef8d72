//! What makes a refusal the same as one that was decided a moment ago.

use super::lookups::ProcessId;
use super::select::Selection;
use portwatch_common::record::Refusal;
use portwatch_common::{Socket, Task};

/// The cgroup of those that are in none of their own; without the hierarchy of version 2 everybody's.
const ROOT_CGROUP: u64 = 1;

/// Who asks, as far as a decision depends on it: the processes of one name and user in one cgroup are one service, each of
/// which may live for a single refusal. Of those in no cgroup of their own nothing of the kind is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asker {
    Process(ProcessId),
    Service { cgroup: u64, uid: u32, comm: [u8; 16] },
}

/// Everything that a decision about a refusal depends on: the same again needs no second look at /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint {
    victim: Asker,
    wanted: [u8; 16],
    port: u16,
    protocol: u16,
    netns: u32,
    operation: u8,
    culprit: (u64, u64, u8),
    owner: Option<ProcessId>,
}

impl Fingerprint {
    pub(super) fn of(refusal: &Refusal, selection: &Selection) -> Self {
        let socket = &refusal.socket;
        let culprit = selection.suspects.first();
        let identity = |socket: &Socket| (socket.address, socket.inode, socket.state);
        Self {
            victim: Asker::of(&refusal.task),
            wanted: socket.local,
            port: socket.local_port,
            protocol: socket.protocol,
            netns: socket.netns,
            operation: refusal.operation,
            culprit: culprit.map_or((0, 0, 0), |suspect| identity(&suspect.socket)),
            owner: culprit.and_then(|suspect| suspect.assignment).map(|a| ProcessId::of(&a.task)),
        }
    }
}

impl Asker {
    fn of(task: &Task) -> Self {
        let Task { cgroup, uid, comm, .. } = *task;
        if cgroup > ROOT_CGROUP {
            Self::Service { cgroup, uid, comm }
        } else {
            Self::Process(ProcessId::of(task))
        }
    }
}
