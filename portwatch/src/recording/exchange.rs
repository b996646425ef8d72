//! A question of the correlator and the answer to it, as JSON. The names here are part of the format.

use super::raw::{self, Raw};
use crate::correlate::{
    ContainerNames, ProcessId, ProcessInfo, RangeHolder, RangeUse, SocketHolders, Wanted, WantedPort,
    WantedRange, WantedUse,
};
use crate::model::UnnamedReason;
use jiff::Timestamp;
use portwatch_common::{Socket, Task};
use serde::{Deserialize, Serialize};

/// One question with its answer: one variant a function of [`crate::correlate::Lookups`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are those of the functions")]
pub enum Exchange {
    /// The process, if it still runs.
    Process { id: ProcessId, answer: Option<Info> },
    /// Path of a cgroup.
    CgroupPath { id: u64, answer: Option<String> },
    /// What the container or pod of a cgroup is called.
    Container { cgroup: String, answer: Option<ContainerNames> },
    /// Who has each of these sockets open.
    SocketHolders { wanted: Vec<Wanted>, answer: Vec<Holders> },
    /// Whether the process still runs.
    Alive { id: ProcessId, answer: Option<bool> },
    /// When a process ended.
    EndedNs { task: Raw<Task>, answer: Option<u64> },
    /// The processes that have most of a range.
    RangeHolders { wanted: WantedRange, answer: Vec<RangePart> },
    /// How full a range is.
    RangeUse { wanted: WantedUse, answer: Option<RangeUse> },
    /// The SCTP sockets on a port.
    SctpSockets { netns: u32, tgid: u32, port: u16, answer: Vec<Raw<Socket>> },
    /// A time on the boot clock, as time of day.
    WallClock {
        boot_ns: u64,
        #[serde(with = "time")]
        answer: Timestamp,
    },
    /// `ip_local_reserved_ports` of a namespace.
    ReservedPorts { netns: u32, tgid: u32, answer: Option<String> },
    /// A free port near the wanted one.
    FreePort { wanted: WantedPort, answer: Option<u16> },
    /// Whether the kernel ends connections on request.
    DestroysSockets { answer: Option<bool> },
    /// Login name of a uid.
    UserName { uid: u32, answer: Option<String> },
}

/// [`ProcessInfo`] on file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    pub id: ProcessId,
    #[serde(with = "raw")]
    pub comm: Vec<u8>,
    pub exe: Option<String>,
    pub arguments: Vec<String>,
    pub uid: Option<u32>,
    pub cgroup: Option<String>,
}

impl From<ProcessInfo> for Info {
    fn from(info: ProcessInfo) -> Self {
        let ProcessInfo { id, comm, exe, arguments, uid, cgroup } = info;
        Self { id, comm, exe, arguments, uid, cgroup }
    }
}

impl From<Info> for ProcessInfo {
    fn from(info: Info) -> Self {
        let Info { id, comm, exe, arguments, uid, cgroup } = info;
        Self { id, comm, exe, arguments, uid, cgroup }
    }
}

/// [`SocketHolders`] on file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holders {
    pub processes: Vec<Info>,
    pub blind: Option<UnnamedReason>,
}

impl From<SocketHolders> for Holders {
    fn from(holders: SocketHolders) -> Self {
        let processes = holders.processes.into_iter().map(Info::from).collect();
        Self { processes, blind: holders.blind }
    }
}

impl From<Holders> for SocketHolders {
    fn from(holders: Holders) -> Self {
        let processes = holders.processes.into_iter().map(ProcessInfo::from).collect();
        Self { processes, blind: holders.blind }
    }
}

/// [`RangeHolder`] on file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangePart {
    pub task: Raw<Task>,
    pub sockets: u32,
    pub how: u8,
    pub since_ns: u64,
}

impl From<RangeHolder> for RangePart {
    fn from(holder: RangeHolder) -> Self {
        let RangeHolder { task, sockets, how, since_ns } = holder;
        Self { task: Raw(task), sockets, how, since_ns }
    }
}

impl From<RangePart> for RangeHolder {
    fn from(part: RangePart) -> Self {
        let RangePart { task: Raw(task), sockets, how, since_ns } = part;
        Self { task, sockets, how, since_ns }
    }
}

/// Times as RFC 3339, to the nanosecond.
pub(super) mod time {
    use jiff::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::borrow::Cow;

    pub(in super::super) fn serialize<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(time)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Cow::<'_, str>::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
