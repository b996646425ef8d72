//! Who holds a port now: what the kernel's tables, the descriptors of all processes and, with BPF, the open sockets of
//! every network namespace say together. `look` asks, `merge` adds what only BPF sees, `owners` finds the processes,
//! `assemble` puts a port together, `notes` has the words for what was not seen.

mod assemble;
mod look;
mod merge;
mod notes;
mod owners;
#[cfg(test)]
mod tests;

use crate::correlate::Lookups;
use crate::model::{HeldPort, Protocol};
use crate::owner::namespaces::{Namespace, Namespaces};
use crate::owner::socket_tables::Entry;
use crate::owner::{netns, now_boot_ns};
pub(crate) use notes::of_namespaces;
use owners::Owners;
use std::fmt;
use std::path::PathBuf;

/// Protocols that are looked at unless one is asked for.
pub const PROTOCOLS: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::UdpLite, Protocol::Sctp];

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// The port.
    pub port: u16,
    /// One protocol only.
    pub protocol: Option<Protocol>,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Some(protocol) => write!(f, "{}/{protocol}", self.port),
            None => self.port.fmt(f),
        }
    }
}

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every network namespace that can be reached.
    All,
    /// In portwatch's own.
    Own,
    /// In the one of this number, behind this path.
    Behind(u32, PathBuf),
}

impl Scope {
    /// Those that can be reached now.
    pub fn namespaces(&self) -> Namespaces {
        let one = |namespace| Namespaces { all: vec![namespace], hidden: 0 };
        match self {
            Self::All => Namespaces::find(),
            Self::Own => one(Namespace::own()),
            Self::Behind(number, _) if *number == netns::own() => one(Namespace::own()),
            Self::Behind(number, path) => one(Namespace::behind(*number, path)),
        }
    }
}

impl Query {
    /// Whether a protocol is asked about.
    pub fn wants(self, protocol: Protocol) -> bool {
        self.protocol.is_none_or(|only| only == protocol)
    }
}

/// What one look at the host gave.
#[derive(Clone, Debug, Default)]
struct Look {
    views: Vec<View>,
    /// Sockets that the look with BPF met: who has them open.
    met: Vec<crate::probe::OpenSocket>,
    unseen: Vec<String>,
}

/// One network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct View {
    netns: u32,
    name: Option<String>,
    is_own: bool,
    /// Its tables were read; else only BPF has seen something there.
    is_visited: bool,
    /// A path that leads in, for the commands of an advice.
    door: Option<String>,
    range: Option<(u16, u16)>,
    reserved: Option<String>,
    sockets: Vec<Standing>,
}

/// A socket on one of the wanted ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing {
    port: u16,
    entry: Entry,
}

/// Looks, and looks again at what is not plain after the first time.
pub fn answer(queries: &[Query], scope: &Scope, with_bpf: bool, lookups: &mut dyn Lookups) -> Vec<HeldPort> {
    let kernel = look::Facts::read();
    let first = look::look(queries, scope, &kernel, with_bpf);
    let owners = Owners::find(&first, lookups);
    let puzzles = owners.puzzles(&first);
    let (look, owners) = if puzzles.is_empty() {
        (first, owners)
    } else {
        // A connection may end between the look at the tables and that at the processes.
        let mut second = look::look(queries, scope, &kernel, with_bpf);
        let owners = Owners::find(&second, lookups).after(puzzles, &second, lookups);
        owners.drop_passing(&mut second);
        (second, owners)
    };
    let time = lookups.wall_clock(now_boot_ns());
    queries.iter().map(|query| assemble::port(*query, &look, &owners, time, lookups)).collect()
}
