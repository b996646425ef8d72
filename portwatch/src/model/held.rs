//! Who holds a port now: plain data, in exactly the shape and order of its JSON. Schema 1; fields are only ever added.

use super::{
    Advice, AssignedBy, Cause, Conflict, Evidence, Process, Protocol, Range, Role, State, UnnamedReason, time,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Everybody on one port, in every network namespace that was looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldPort {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// When it was looked at.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// The port.
    pub port: u16,
    /// The protocols that were looked at.
    pub protocols: Vec<Protocol>,
    /// Every socket with that local port: portwatch's own namespace first; in each, listeners first, TIME_WAIT last.
    pub holders: Vec<HeldSocket>,
    /// The namespaces that were looked into.
    pub namespaces: Vec<NamespaceRange>,
    /// The last times that the port was refused to somebody, and who had it then, by the agent's history; the newest first.
    #[serde(default)]
    pub earlier: Vec<Earlier>,
    /// What could not be seen and why, and what would help.
    pub unseen: Vec<String>,
    /// What to do, if a client may take the port at any time.
    pub advice: Vec<Advice>,
}

/// A conflict over the port, in the past.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// Of the conflict: `portwatch why ID` tells its story.
    pub id: String,
    /// Of the latest refusal: whoever is named had the port then.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// Refusals.
    pub count: u64,
    /// Who was refused.
    pub victim: Process,
    /// Who had the port; `null` if that could not be said.
    pub holder: Option<Process>,
    /// How, and in what way it was in the way.
    pub cause: Cause,
}

impl From<Conflict> for Earlier {
    fn from(conflict: Conflict) -> Self {
        let holder = conflict.holders.into_iter().next().and_then(|holder| holder.process.or(holder.creator));
        let Conflict { id, time, count, victim, cause, .. } = conflict;
        Self { id, time, count, victim, holder, cause }
    }
}

/// A socket on the port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldSocket {
    /// Inode number of its network namespace.
    pub netns: u32,
    /// Name of that namespace; `null` where it has none.
    pub netns_name: Option<String>,
    /// The protocol.
    pub protocol: Protocol,
    /// Its local address; `null` where only the port is known.
    pub local: Option<SocketAddr>,
    /// Its remote address, if it is connected.
    pub remote: Option<SocketAddr>,
    /// Its state.
    pub state: State,
    /// What it does on the port.
    pub role: Role,
    /// Its inode, where it has one.
    pub inode: Option<u64>,
    /// Its creator's uid, where the kernel keeps one.
    pub uid: Option<u32>,
    /// Login name of that uid.
    pub user: Option<String>,
    /// The oldest process that has it open; `null` if there is none, or it cannot be said.
    pub process: Option<Process>,
    /// Why not.
    pub unnamed_reason: Option<UnnamedReason>,
    /// The other processes that have the same socket open.
    pub others: Vec<Process>,
    /// How the process was established.
    pub evidence: Option<Evidence>,
    /// How it came to the port: nobody was there to see it.
    pub assigned_by: AssignedBy,
    /// Whether the kernel chose the port, inferred: connected, in the range, and no listener on it.
    pub ephemeral: bool,
    /// Who was given the port: not known without a record.
    pub creator: Option<Process>,
    /// When TIME_WAIT is over, in milliseconds.
    pub ends_in_ms: Option<u32>,
}

/// A network namespace and its ephemeral range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRange {
    /// Inode number.
    pub netns: u32,
    /// Its name, where it has one.
    pub netns_name: Option<String>,
    /// Whether it is portwatch's own.
    pub own: bool,
    /// Its ephemeral ports; `null` where they could not be read.
    pub range: Option<Range>,
}
