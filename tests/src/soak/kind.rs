//! The kinds of conflict: what a report must say about each, whatever the numbers are.

use serde::{Deserialize, Serialize};

use crate::case::state;
use crate::wire::Transport;

/// How a holder came to the port, or what became of the socket since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Kind {
    TcpClient,
    Tcp6Client,
    /// connect() made by a second thread with a name of its own.
    ThreadClient,
    SynSent,
    CloseWait,
    TcpBind0,
    TcpBind,
    Listener,
    /// A listener with an accepted connection.
    Serving,
    ListenUnbound,
    UdpClient,
    Udp6Client,
    UdpSender,
    UdpBind,
    UdpBind0,
    /// TIME_WAIT, its process dead.
    TimeWaitDead,
    TimeWaitLives,
    /// Closed on this side only, its process dead.
    HalfClosed,
    /// The socket of a parent that died, in its child's hands.
    Inherited,
    OtherUser,
    OwnSocket,
    /// listen() is refused, not bind().
    Listen,
}

impl Kind {
    pub(super) const ALL: [Self; 22] = [
        Self::TcpClient,
        Self::Tcp6Client,
        Self::ThreadClient,
        Self::SynSent,
        Self::CloseWait,
        Self::TcpBind0,
        Self::TcpBind,
        Self::Listener,
        Self::Serving,
        Self::ListenUnbound,
        Self::UdpClient,
        Self::Udp6Client,
        Self::UdpSender,
        Self::UdpBind,
        Self::UdpBind0,
        Self::TimeWaitDead,
        Self::TimeWaitLives,
        Self::HalfClosed,
        Self::Inherited,
        Self::OtherUser,
        Self::OwnSocket,
        Self::Listen,
    ];

    /// The row's title.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TcpClient => "tcp4-client",
            Self::Tcp6Client => "tcp6-client",
            Self::ThreadClient => "client-thread",
            Self::SynSent => "syn-sent",
            Self::CloseWait => "close-wait",
            Self::TcpBind0 => "tcp-bind0",
            Self::TcpBind => "tcp-bind",
            Self::Listener => "listener",
            Self::Serving => "listener-with-connection",
            Self::ListenUnbound => "listen-without-bind",
            Self::UdpClient => "udp4-client",
            Self::Udp6Client => "udp6-client",
            Self::UdpSender => "udp-sender",
            Self::UdpBind => "udp-bind",
            Self::UdpBind0 => "udp-bind0",
            Self::TimeWaitDead => "time-wait-owner-dead",
            Self::TimeWaitLives => "time-wait-owner-lives",
            Self::HalfClosed => "half-closed-owner-dead",
            Self::Inherited => "inherited-parent-dead",
            Self::OtherUser => "reuseport-other-user",
            Self::OwnSocket => "own-socket",
            Self::Listen => "refused-listen",
        }
    }

    pub(super) fn transport(self) -> Transport {
        match self {
            Self::Tcp6Client => Transport::Tcp6,
            Self::UdpClient | Self::UdpSender | Self::UdpBind | Self::UdpBind0 => Transport::Udp4,
            Self::Udp6Client => Transport::Udp6,
            _ => Transport::Tcp4,
        }
    }

    /// Whether the kernel chose the number.
    pub(super) fn is_ephemeral(self) -> bool {
        !matches!(self.assigned_by(), "bind")
    }

    /// What a report calls the way to the port.
    pub(super) fn assigned_by(self) -> &'static str {
        match self {
            Self::TcpClient
            | Self::Tcp6Client
            | Self::ThreadClient
            | Self::SynSent
            | Self::CloseWait
            | Self::TimeWaitDead
            | Self::TimeWaitLives
            | Self::HalfClosed => "connect",
            Self::TcpBind0 | Self::UdpBind0 => "bind0",
            Self::ListenUnbound => "listen",
            Self::UdpClient | Self::Udp6Client | Self::UdpSender => "autobind",
            Self::TcpBind
            | Self::Listener
            | Self::Serving
            | Self::UdpBind
            | Self::Inherited
            | Self::OtherUser
            | Self::OwnSocket
            | Self::Listen => "bind",
        }
    }

    pub(super) fn causes(self) -> &'static [&'static str] {
        match self {
            Self::TimeWaitDead | Self::TimeWaitLives => &["time-wait"],
            // The other side's acknowledgement turns the one into the other.
            Self::HalfClosed => &["time-wait", "closing"],
            Self::Inherited => &["inherited"],
            Self::OtherUser => &["reuseport-mismatch"],
            Self::OwnSocket => &["own-socket"],
            Self::Listener | Self::Serving | Self::Listen => &["listener"],
            Self::TcpBind | Self::UdpBind => &["explicit-bind"],
            Self::TcpBind0 | Self::UdpBind0 | Self::ListenUnbound => &["ephemeral-bind"],
            _ => &["ephemeral-client"],
        }
    }

    pub(super) fn states(self) -> &'static [&'static str] {
        match self {
            Self::TcpClient | Self::Tcp6Client | Self::ThreadClient | Self::UdpClient | Self::Udp6Client => {
                &[state::ESTABLISHED]
            }
            Self::SynSent => &["SYN_SENT"],
            Self::CloseWait => &["CLOSE_WAIT"],
            // The kernel may stop at either socket of a server; the listener is the one to name.
            Self::Listener | Self::Serving | Self::ListenUnbound | Self::OtherUser | Self::Listen => {
                &[state::LISTEN]
            }
            Self::TimeWaitDead | Self::TimeWaitLives => &[state::TIME_WAIT],
            Self::HalfClosed => &[state::TIME_WAIT, "FIN_WAIT1", "FIN_WAIT2"],
            Self::TcpBind0
            | Self::TcpBind
            | Self::UdpSender
            | Self::UdpBind
            | Self::UdpBind0
            | Self::Inherited
            | Self::OwnSocket => &[state::CLOSE],
        }
    }

    /// Whether the socket has outlived its descriptor.
    pub(super) fn is_closed(self) -> bool {
        matches!(self, Self::TimeWaitDead | Self::TimeWaitLives | Self::HalfClosed)
    }

    /// Whether the process is gone before the refusal.
    pub(super) fn is_dead(self) -> bool {
        matches!(self, Self::TimeWaitDead | Self::HalfClosed)
    }

    /// Whether the holder may let go while the victim asks: it takes one process with one open socket.
    pub(super) fn may_race(self) -> bool {
        matches!(
            self,
            Self::TcpClient
                | Self::SynSent
                | Self::TcpBind0
                | Self::TcpBind
                | Self::Listener
                | Self::UdpClient
                | Self::UdpSender
                | Self::UdpBind
        )
    }

    /// Whether the holder may end at once after the refusal. An heir may not: with nobody left, the one who was given
    /// the port is the right answer.
    pub(super) fn may_hurry(self) -> bool {
        !matches!(self, Self::Inherited | Self::OwnSocket)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Kind;

    #[test]
    fn every_kind_has_a_title_of_its_own() {
        let names: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert_eq!(Kind::ALL.iter().collect::<BTreeSet<_>>().len(), Kind::ALL.len());
    }

    #[test]
    fn what_may_race_lets_go_by_closing() {
        for kind in Kind::ALL.into_iter().filter(|kind| kind.may_race()) {
            assert!(kind.may_hurry() && !kind.is_closed(), "{kind:?}");
        }
    }
}
