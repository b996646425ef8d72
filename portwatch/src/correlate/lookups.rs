//! The questions that the correlator asks about the world, as one trait: live they are answered from /proc, in tests
//! and in a replay from what was recorded. Names of fields that can be serialised stand in recordings: one that is added
//! needs a default.

use crate::model::{Exhaustion, UnnamedReason};
use jiff::Timestamp;
use portwatch_common::{Socket, Task};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Start times in /proc are in ticks of this many nanoseconds.
const TICK_NS: u64 = 10_000_000;

/// Who a process is: a pid alone is soon somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProcessId {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Start on the boot clock, in ticks of 10 ms: all that /proc tells.
    pub start_ticks: u64,
}

impl ProcessId {
    /// From the kernel's record, which is exact to the nanosecond.
    pub const fn of(task: &Task) -> Self {
        Self { tgid: task.tgid, start_ticks: task.start_ns / TICK_NS }
    }

    /// Start on the boot clock, in nanoseconds, as exactly as it is known.
    pub const fn start_ns(self) -> u64 {
        self.start_ticks.saturating_mul(TICK_NS)
    }
}

/// A running process as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Who.
    pub id: ProcessId,
    /// Name of the process (not of one of its threads); any bytes.
    pub comm: Vec<u8>,
    /// Path of the executable.
    pub exe: Option<String>,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Effective uid.
    pub uid: Option<u32>,
    /// Path of the cgroup.
    pub cgroup: Option<String>,
}

/// What a container and its pod are called, by the files of whatever runs them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerNames {
    /// What runs it, by whose files they are.
    pub runtime: Option<String>,
    /// Name of the container.
    pub name: Option<String>,
    /// Uid of the pod.
    pub pod: Option<String>,
    /// Name of the pod.
    pub pod_name: Option<String>,
    /// Namespace of the pod.
    pub pod_namespace: Option<String>,
}

/// A socket whose owners are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its inode.
    pub inode: u64,
    /// Where to look first.
    pub hint: Option<ProcessId>,
    /// Whether the others are wanted too if the hint has it.
    pub sharers: bool,
}

/// Who has a socket open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketHolders {
    /// The processes, the oldest first; only the hint if that is one of them and no sharers were asked for.
    pub processes: Vec<ProcessInfo>,
    /// If there are none: why that proves nothing.
    pub blind: Option<UnnamedReason>,
}

/// The ephemeral ports of a network namespace, for one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedRange {
    /// Network namespace.
    pub netns: u32,
    /// IPPROTO_*.
    pub protocol: u16,
    /// First port.
    pub low: u16,
    /// Last port.
    pub high: u16,
}

/// A process and what it has of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeHolder {
    /// Who was given the ports.
    pub task: Task,
    /// How many of its sockets have one.
    pub sockets: u32,
    /// How it came to most of them.
    pub how: u8,
    /// When it got the first of them, on the boot clock; 0 if that was not recorded.
    pub since_ns: u64,
}

/// A range that had no port left, and the call that was refused one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedUse {
    /// The range.
    pub range: WantedRange,
    /// A process through which the namespace is reached, if it still runs.
    pub tgid: u32,
    /// The connection that was wanted: from, to. Where it was none: `None`.
    pub connection: Option<(IpAddr, SocketAddr)>,
}

/// How full a range is, and what decides what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeUse {
    /// As it is reported.
    pub exhaustion: Exhaustion,
    /// `ip_local_port_range` of the namespace, of which the socket may have asked for a part.
    pub range: Option<(u16, u16)>,
    /// `tcp_timestamps` of the namespace.
    pub timestamps: Option<bool>,
    /// Ports with a listener that the kernel may not choose now, as a list like `80,8000-8010`.
    pub listeners: String,
}

/// A wish for another port than the one that is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedPort {
    /// Network namespace.
    pub netns: u32,
    /// One of its processes.
    pub tgid: u32,
    /// IPPROTO_*.
    pub protocol: u16,
    /// The port that is taken.
    pub port: u16,
    /// First ephemeral port there.
    pub low: u16,
    /// Last ephemeral port there.
    pub high: u16,
}

/// What the correlator cannot know from the kernel's records.
pub trait Lookups {
    /// The process, if it still runs.
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo>;

    /// Path of a cgroup by its id in the unified hierarchy.
    fn cgroup_path(&mut self, id: u64) -> Option<String>;

    /// What the container or pod of a cgroup is called; `None` if nothing is known of it. Shared, because thousands of
    /// processes remember the answer.
    fn container(&mut self, cgroup: &str) -> Option<Arc<ContainerNames>>;

    /// Who has each of these sockets open now; one answer a question, in order.
    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders>;

    /// Whether the process still runs; `None` if that cannot be seen from here.
    fn alive(&mut self, id: ProcessId) -> Option<bool>;

    /// When a process ended, on the boot clock; `None` if it runs, or if that is not known.
    fn ended_ns(&mut self, task: &Task) -> Option<u64>;

    /// The processes that have most of a range, the largest first; empty where that is not recorded.
    fn range_holders(&mut self, wanted: WantedRange) -> Vec<RangeHolder>;

    /// How full a range is; `None` where its namespace can be reached no more, or its protocol has no table.
    fn range_use(&mut self, wanted: WantedUse) -> Option<RangeUse>;

    /// The SCTP sockets on a port of a network namespace, by the kernel's own list, which has listeners and associations.
    /// The namespace is reached through one of its processes, if that still runs.
    fn sctp_sockets(&mut self, netns: u32, tgid: u32, port: u16) -> Vec<Socket>;

    /// A time on the boot clock, as time of day.
    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp;

    /// `ip_local_reserved_ports` of a network namespace, reached through one of its processes.
    fn reserved_ports(&mut self, netns: u32, tgid: u32) -> Option<String>;

    /// The port nearest to the wanted one that anybody may bind there: above 1023, outside the ephemeral range, not reserved,
    /// on no socket of the namespace, no other service's by name. `None` if that is not known.
    fn free_port(&mut self, wanted: WantedPort) -> Option<u16>;

    /// Whether the kernel ends connections on request (`INET_DIAG_DESTROY`); `None` if that is not known.
    fn destroys_sockets(&mut self) -> Option<bool>;

    /// Login name of a uid of the initial user namespace.
    fn user_name(&mut self, uid: u32) -> Option<String>;
}
