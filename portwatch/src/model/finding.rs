//! What an audit found: plain data, in exactly the shape and order of its JSON. Schema 1; fields are only ever added.

use super::{
    Advice, ConfiguredBy, DowntimeSource, FindingKind, Process, Protocol, State, UnnamedReason, time,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that one audit found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// When it was looked at.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// For how long the comings and goings were watched, in milliseconds.
    pub sample_ms: u64,
    /// What may fail, the likeliest first; then what is odd about the settings.
    pub findings: Vec<Finding>,
    /// The network namespaces that were looked into, portwatch's own first.
    pub namespaces: Vec<AuditedNamespace>,
    /// What could not be seen and why, and what would help.
    pub unseen: Vec<String>,
}

/// A network namespace and what is in use of its ephemeral ports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditedNamespace {
    /// Inode number.
    pub netns: u32,
    /// Its name, where it has one.
    pub netns_name: Option<String>,
    /// Whether it is portwatch's own.
    pub own: bool,
    /// First ephemeral port; `null` where the range could not be read.
    pub low: Option<u16>,
    /// Last ephemeral port.
    pub high: Option<u16>,
    /// `ip_local_reserved_ports`, as the kernel writes it.
    pub reserved: String,
    /// Ports that the kernel may choose: those of the range that are not reserved.
    pub choosable: u32,
    /// `ip_local_port_step_width`; `null` on kernels without it.
    pub step_width: Option<u32>,
    /// What is in use, by protocol.
    pub protocols: Vec<AuditedProtocol>,
}

/// The ephemeral ports of one protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditedProtocol {
    /// The protocol.
    pub protocol: Protocol,
    /// Ports of the range in use, by what for; a port counts once.
    pub in_use: BTreeMap<String, u64>,
    /// Sockets of clients: connected, and not through a listener. Several may share a port.
    pub clients: u64,
    /// Ports that the kernel gave away a second, while it was watched.
    pub assignments_per_second: f64,
}

/// Something that may fail, or is odd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Its name, where it has one.
    pub netns_name: Option<String>,
    /// The protocol, where it is about one.
    pub protocol: Option<Protocol>,
    /// First port that it is about; `null` where it is about none in particular.
    pub port: Option<u16>,
    /// Last of them; the same for a single port.
    pub last_port: Option<u16>,
    /// Local address of the socket, or the one that is configured.
    pub address: Option<IpAddr>,
    /// State of the socket.
    pub state: Option<State>,
    /// Who has the socket open; `null` for what is not open, and where it cannot be said.
    pub process: Option<Process>,
    /// Why it cannot be said.
    pub unnamed_reason: Option<UnnamedReason>,
    /// The other processes that have it open.
    pub others: Vec<Process>,
    /// Where the port is configured, for one that is not open now.
    pub configured: Option<ConfiguredPort>,
    /// How likely a restart loses the port; `null` where nothing is restarted.
    pub odds: Option<Odds>,
    /// What it means, in a sentence.
    pub why: String,
    /// What to do, best first.
    pub advice: Vec<Advice>,
}

/// Where a port is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfiguredPort {
    /// By what.
    pub by: ConfiguredBy,
    /// Name there: the unit, the service, the victim.
    pub name: String,
    /// systemd unit that would have it.
    pub unit: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<u32>,
    /// When a past victim was last refused it.
    #[serde(with = "time::option")]
    pub last_time: Option<Timestamp>,
    /// In how many conflicts.
    pub count: Option<u64>,
}

/// How likely the port is taken when its service comes back, and from what that was reckoned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Odds {
    /// After a restart now, from 0 to 1. While it has connections of its own, in TIME_WAIT too, clients are kept off.
    pub restart: f64,
    /// After a restart when no connection of its own is left.
    pub idle_restart: f64,
    /// After a stop so long that all present clients were replaced; so too at boot, if the service starts after them.
    pub long_stop: f64,
    /// How long a restart leaves the port free, in milliseconds.
    pub downtime_ms: u64,
    /// Where that was taken from.
    pub downtime_from: DowntimeSource,
    /// Probability that the next port that is given away is this one.
    pub next_assignment: f64,
    /// Ports that are given away a second.
    pub assignments_per_second: f64,
    /// Sockets of clients at an instant.
    pub clients: u64,
    /// Unavailable ports of the same parity right before this one: who looks for a port passes them and takes this.
    pub run: u32,
    /// Connections of the service itself, TIME_WAIT included.
    pub own_connections: u32,
}
