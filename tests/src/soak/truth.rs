//! What really happened, written down by those who did it, in the moment they did it.

use std::ffi::CString;
use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::actor::Process;
use crate::clock::{self, Wall, Window};
use crate::portrait::Portrait;
use crate::wire::Transport;

/// Who a process is; nobody else on this machine has its name while the soak runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) pid: u32,
    pub(super) comm: String,
    /// Nanoseconds since 1970.
    pub(super) start: i64,
}

impl Who {
    /// The calling process, under a new name.
    pub(super) fn become_known(comm: String) -> Result<Self> {
        rustix::thread::set_name(&CString::new(comm.as_bytes())?).context("taking a name")?;
        let pid = std::process::id();
        Ok(Self { pid, comm, start: clock::process_start(pid)?.0 })
    }

    /// As the rest of the lineup knows processes.
    pub(super) fn as_process(&self, alive: bool) -> Process {
        Process {
            pid: self.pid,
            comm: self.comm.as_bytes().to_vec(),
            start: Wall(self.start),
            alive,
            portrait: Portrait::default(),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}[{}]", self.comm, self.pid)
    }
}

/// A time span of the wall clock, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Span {
    /// Around something that is done.
    pub(super) fn around<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let from = clock::now().0;
        let done = work();
        (done, Self { from, to: clock::now().0 })
    }

    pub(super) fn window(self) -> Window {
        Window { from: Wall(self.from), to: Wall(self.to) }
    }
}

/// A process that has a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) who: Who,
    /// Who was given the port, if that was somebody else.
    pub(super) creator: Option<Who>,
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    pub(super) inode: u64,
    pub(super) assigned: Span,
}

/// A process that asked for the port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) who: Who,
    pub(super) transport: Transport,
    pub(super) wanted: SocketAddr,
    /// Refused so often; 0 where the kernel gave it the port.
    pub(super) refused: u64,
    pub(super) when: Span,
}

/// How the two of them end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pace {
    /// Both stay until the report is there.
    Steady,
    /// Both end as soon as the kernel has refused.
    Hasty,
    /// The holder lets go in the moment in which the victim asks.
    Raced,
}

/// One conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Truth {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) pace: Pace,
    pub(super) held: Held,
    pub(super) asked: Asked,
}

impl Truth {
    pub(super) fn operation(&self) -> &'static str {
        if self.kind == Kind::Listen { "listen" } else { "bind" }
    }
}

/// The name of a conflict's victim.
pub(super) fn victim_name(number: u32) -> String {
    format!("v{number}")
}

/// The name of a conflict's holder.
pub(super) fn holder_name(number: u32) -> String {
    format!("h{number}")
}

/// The conflict that a victim's name stands for.
pub(super) fn number_of(victim: &str) -> Option<u32> {
    victim.strip_prefix('v')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_numbers_and_fit_into_the_kernels_field() {
        assert_eq!(number_of(&victim_name(17)), Some(17));
        assert_eq!(number_of(&holder_name(17)), None);
        assert_eq!(number_of("vim"), None);
        assert!(victim_name(u32::MAX).len() <= 15);
    }
}
