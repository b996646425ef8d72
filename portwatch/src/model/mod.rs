//! What a conflict is: plain data, in exactly the shape and order of its JSON. Schema 1; fields are only ever added.
//!
//! Every key is always there, `null` where the fact is not known. Text of processes stands here as it is (what is not
//! UTF-8 as U+FFFD): escaping it is the sinks' duty.

mod errno;
#[cfg(test)]
pub(crate) mod example;
mod exhaustion;
mod finding;
mod finding_names;
mod held;
mod known;
mod names;
mod port_state;
mod summary;
mod time;
mod wire;

pub use errno::Errno;
pub use exhaustion::{Destination, Exhaustion, PortsInUse};
pub use finding::{Audit, AuditedNamespace, AuditedProtocol, ConfiguredPort, Finding, Odds};
pub use finding_names::{ConfiguredBy, DowntimeSource, FindingKind};
pub use held::{Earlier, HeldPort, HeldSocket, NamespaceRange};
pub(crate) use known::short_id;
pub use names::{Action, AssignedBy, Cause, Evidence, Operation, Protocol, Role, State, UnnamedReason};
pub use port_state::{PortState, Whom};

pub use summary::{PORTS_SHOWN, SummaryRow};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// Version of the JSON.
pub const SCHEMA: u32 = 1;

/// A refused bind() or listen(), who was refused and because of whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The same for all repeats of one conflict.
    pub id: String,
    /// Of the latest refusal.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// Refusals so far.
    pub count: u64,
    /// Of the first refusal.
    #[serde(with = "time")]
    pub first_time: Timestamp,
    /// The refused call.
    pub operation: Operation,
    /// What the call returned.
    pub errno: Errno,
    /// Of the wanted port.
    pub protocol: Protocol,
    /// The wanted address.
    pub address: IpAddr,
    /// The wanted port; 0 if the kernel was to choose one and found none.
    pub port: u16,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// The kernel hooks that saw it.
    pub backend: String,
    /// Who was refused, at the latest refusal.
    pub victim: Process,
    /// Because of whom; the first is the culprit. If the range was exhausted: who has most of it.
    pub holders: Vec<Holder>,
    /// The class, by the first holder.
    pub cause: Cause,
    /// The namespace's ephemeral ports.
    pub range: Range,
    /// What to do, best first.
    pub advice: Vec<Advice>,
    /// What the victim's socket had set; `null` where that is not known.
    #[serde(default)]
    pub options: Option<SocketOptions>,
    /// How full the range is and with what, if it was exhausted; `null` for other causes, and where the namespace could not
    /// be looked into any more.
    #[serde(default)]
    pub exhaustion: Option<Exhaustion>,
}

/// A process, as far as it is known. Its identity is pid and start time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Process id, in the initial pid namespace.
    pub pid: u32,
    /// The thread that made the call, where that is known.
    pub tid: Option<u32>,
    /// When the process started.
    #[serde(with = "time::option")]
    pub start_time: Option<Timestamp>,
    /// Name.
    pub comm: String,
    /// Path of the executable.
    pub exe: Option<String>,
    /// Arguments, quoted as for a shell; a cut is shown by an ellipsis.
    pub cmdline: Option<String>,
    /// Effective uid, in the initial user namespace.
    pub uid: Option<u32>,
    /// Login name of the uid on this host; `null` for the users of a container, which has its own.
    pub user: Option<String>,
    /// Path of the cgroup.
    pub cgroup: Option<String>,
    /// systemd unit; of the systemd in the container, if there is one.
    pub unit: Option<String>,
    /// systemd slice around the unit or the container.
    pub slice: Option<String>,
    /// Container id.
    pub container: Option<String>,
    /// What runs the container: docker, containerd, cri-o, podman, lxc, systemd-nspawn, nomad or buildkit.
    pub container_runtime: Option<String>,
    /// Name of the container; in Kubernetes its name within the pod.
    pub container_name: Option<String>,
    /// Uid of the Kubernetes pod, or id of the podman pod.
    pub pod: Option<String>,
    /// Name of the Kubernetes pod.
    pub pod_name: Option<String>,
    /// Its namespace.
    pub pod_namespace: Option<String>,
}

/// A socket that made the kernel refuse, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// Who has it; `null` if that cannot be said.
    pub process: Option<Process>,
    /// Why not.
    pub unnamed_reason: Option<UnnamedReason>,
    /// Who was given the port, if that is not who has it.
    pub creator: Option<Process>,
    /// State of the socket at the refusal.
    pub state: State,
    /// Its local address.
    pub local: Option<SocketAddr>,
    /// Its remote address.
    pub remote: Option<SocketAddr>,
    /// Its inode, where it has one.
    pub inode: Option<u64>,
    /// How it came to the port.
    pub assigned_by: AssignedBy,
    /// Whether the kernel chose the port.
    pub ephemeral: bool,
    /// When it came to the port.
    #[serde(with = "time::option")]
    pub assigned_time: Option<Timestamp>,
    /// Whether `process` still runs.
    pub alive: bool,
    /// How the holder was established; `null` if it was not.
    pub evidence: Option<Evidence>,
    /// How many sockets its process has on ports of the range, where that is exhausted; else `null`.
    pub sockets: Option<u32>,
    /// What the socket had set; `null` where only its record is left.
    #[serde(default)]
    pub options: Option<SocketOptions>,
}

/// The options by which two sockets may share a port, as they were at the refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketOptions {
    /// SO_REUSEADDR.
    pub reuse_address: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// IPV6_V6ONLY, also where the kernel itself sets it for a bind to one IPv6 address.
    pub v6_only: bool,
}

/// `ip_local_port_range` of the namespace, and where the port lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First ephemeral port.
    pub low: u16,
    /// Last ephemeral port.
    pub high: u16,
    /// Whether the wanted port is one of them.
    pub in_range: bool,
    /// Whether it is in `ip_local_reserved_ports`.
    pub reserved: bool,
}

/// Something to do about a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What.
    pub action: Action,
    /// Why it helps, and what it does not do.
    pub why: String,
    /// Exactly what to type; empty where it is a matter of configuration.
    pub commands: Vec<String>,
}

impl Conflict {
    /// The first holder.
    pub fn culprit(&self) -> Option<&Holder> {
        self.holders.first()
    }

    /// The wanted address and port.
    pub fn wanted(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}
