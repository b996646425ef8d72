//! The truth of one scenario, known before portwatch says a word: who holds the port, who was refused, how and where.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::actor::{Answer, Process};
use crate::clock::Window;
use crate::netns::Range;
use crate::product::Backend;
use crate::wire::Transport;

/// Names of socket states in a report.
pub(crate) mod state {
    pub(crate) const SYN_SENT: &str = "SYN_SENT";
    pub(crate) const ESTABLISHED: &str = "ESTABLISHED";
    pub(crate) const LISTEN: &str = "LISTEN";
    pub(crate) const TIME_WAIT: &str = "TIME_WAIT";
    pub(crate) const FIN_WAIT1: &str = "FIN_WAIT1";
    pub(crate) const FIN_WAIT2: &str = "FIN_WAIT2";
    pub(crate) const CLOSE_WAIT: &str = "CLOSE_WAIT";
    pub(crate) const LAST_ACK: &str = "LAST_ACK";
    pub(crate) const CLOSING: &str = "CLOSING";
    /// Bound only, or UDP that is not connected.
    pub(crate) const CLOSE: &str = "CLOSE";
}

/// The socket because of which the kernel must refuse.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// `None` where nobody could know any more, so that naming anybody is wrong.
    pub(crate) process: Option<Process>,
    /// Who was given the port, where that is somebody else.
    pub(crate) creator: Option<Process>,
    /// Who else has the very same socket.
    pub(crate) sharers: Vec<Process>,
    pub(crate) local: SocketAddr,
    pub(crate) remote: Option<SocketAddr>,
    /// `None` for a socket that has none left.
    pub(crate) inode: Option<u64>,
    pub(crate) state: &'static str,
    pub(crate) cause: &'static str,
    pub(crate) assigned_by: &'static str,
    /// Whether the kernel chose the number.
    pub(crate) ephemeral: bool,
    /// `None` where it was before portwatch looked.
    pub(crate) assigned: Option<Window>,
    /// A backend that sees the socket, but not the call by which it came to its port.
    pub(crate) unseen_by: Option<Backend>,
}

impl Holder {
    /// The socket that an answer describes; it got its port in that call.
    pub(crate) fn new(process: &Process, answer: &Answer) -> Option<Self> {
        Some(Self {
            process: Some(process.clone()),
            creator: None,
            sharers: Vec::new(),
            local: answer.reply.local?,
            remote: answer.reply.remote,
            inode: answer.reply.inode,
            state: state::CLOSE,
            cause: "explicit-bind",
            assigned_by: "bind",
            ephemeral: false,
            assigned: Some(answer.when),
            unseen_by: None,
        })
    }

    pub(crate) fn port(&self) -> u16 {
        self.local.port()
    }

    /// The same socket, as portwatch knows it when it starts later.
    pub(crate) fn preexisting(self) -> Self {
        Self { assigned_by: "preexisting", assigned: None, ..self }
    }

    /// What can be known of it with a backend.
    pub(crate) fn as_seen_by(&self, backend: Backend) -> Self {
        if self.unseen_by == Some(backend) {
            Self { assigned_by: "unknown", assigned: None, ..self.clone() }
        } else {
            self.clone()
        }
    }

    /// Whether the process can only be told by who has the socket open.
    pub(crate) fn is_unrecorded(&self) -> bool {
        matches!(self.assigned_by, "preexisting" | "accept" | "unknown")
    }

    /// Whether the name can only come from a record that has outlived the process.
    pub(crate) fn is_gone(&self) -> bool {
        self.process.as_ref().is_none_or(|process| !process.alive)
    }

    /// Whether it is a socket of the kernel itself.
    pub(crate) fn is_kernels(&self) -> bool {
        self.cause == "kernel-socket"
    }
}

/// The refused call.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The processes that were refused, one after the other. A report may name any of them.
    pub(crate) victims: Vec<Process>,
    pub(crate) operation: &'static str,
    pub(crate) errno: &'static str,
    pub(crate) transport: Transport,
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
    /// How often, in all.
    pub(crate) count: u64,
    pub(crate) when: Window,
}

/// A conflict as it was staged.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) holder: Holder,
    /// Others who were in the way as well. The kernel stops at the first that it meets, which may be any of them.
    pub(crate) also: Vec<Holder>,
    pub(crate) refusal: Refusal,
    /// Inode of the namespace in which it happened.
    pub(crate) netns: u64,
    /// Its ephemeral range.
    pub(crate) range: Range,
}

impl Case {
    /// Everybody because of whom the kernel may have refused.
    pub(crate) fn truths(&self) -> impl Iterator<Item = &Holder> {
        std::iter::once(&self.holder).chain(&self.also)
    }

    /// Whether the kernel was to choose a port and had none left. `holder` is then one of many.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.refusal.port == 0
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { operation, address, port, .. } = &self.refusal;
        let wanted = SocketAddr::new(*address, *port);
        let culprit = self.holder.process.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
        write!(out, "{operation} of {wanted} to be refused because of {culprit} ({})", self.holder.cause)
    }
}
