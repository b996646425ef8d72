//! What the lineup and its actors say to each other: one JSON object a line, a reply for every command.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::moves::Move;
pub(crate) mod raw;

use raw::{Child, RawCall};

/// Protocol and address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Transport {
    Tcp4,
    Tcp6,
    Udp4,
    Udp6,
    UdpLite4,
    Mptcp4,
    /// One-to-one.
    Sctp4,
    Sctp6,
}

impl Transport {
    /// The name in a report. An MPTCP socket asks for its port through a TCP socket of its own, and is told as what it is,
    /// whichever of the two a backend sees.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::Tcp4 | Self::Tcp6 => "tcp",
            Self::Udp4 | Self::Udp6 => "udp",
            Self::UdpLite4 => "udplite",
            Self::Mptcp4 => "mptcp",
            Self::Sctp4 | Self::Sctp6 => "sctp",
        }
    }

    /// The number that socket() takes; 0 leaves it to the kernel.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Tcp4 | Self::Tcp6 | Self::Udp4 | Self::Udp6 => 0,
            Self::UdpLite4 => libc::IPPROTO_UDPLITE,
            Self::Mptcp4 => libc::IPPROTO_MPTCP,
            Self::Sctp4 | Self::Sctp6 => libc::IPPROTO_SCTP,
        }
    }

    /// Whether it has connections.
    pub(crate) fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp4 | Self::Tcp6 | Self::Mptcp4) || self.is_sctp()
    }

    pub(crate) fn is_sctp(self) -> bool {
        matches!(self, Self::Sctp4 | Self::Sctp6)
    }

    pub(crate) fn is_ipv6(self) -> bool {
        matches!(self, Self::Tcp6 | Self::Udp6 | Self::Sctp6)
    }

    /// 127.0.0.1 or ::1, with a port.
    pub(crate) fn loopback(self, port: u16) -> SocketAddr {
        if self.is_ipv6() { (Ipv6Addr::LOCALHOST, port).into() } else { (Ipv4Addr::LOCALHOST, port).into() }
    }

    /// 0.0.0.0 or ::, with a port.
    pub(crate) fn wildcard(self, port: u16) -> SocketAddr {
        if self.is_ipv6() {
            (Ipv6Addr::UNSPECIFIED, port).into()
        } else {
            (Ipv4Addr::UNSPECIFIED, port).into()
        }
    }
}

/// A socket of an actor, by the number that its `Open` or `Accept` was answered with.
pub(crate) type SocketId = usize;

/// A socket option of interest to a port conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flag {
    ReuseAddress,
    ReusePort,
    V6Only,
}

/// One system call that an actor is asked to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// socket(): answered with the new socket's number.
    Open(Transport),
    /// setsockopt() to 1.
    Set(SocketId, Flag),
    Bind(SocketId, SocketAddr),
    Listen(SocketId),
    Connect(SocketId, SocketAddr),
    /// accept(): answered with the new socket's number.
    Accept(SocketId),
    /// sendto() of one byte.
    SendTo(SocketId, SocketAddr),
    Close(SocketId),
    /// bind() of a new AF_UNIX socket to an abstract name.
    BindUnix(String),
    /// setuid(), for good.
    BecomeUser(u32),
    Move(Move),
    Raw(RawCall),
}

/// What became of a command, and the socket as it is afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reply {
    /// 0, or what the kernel refused with.
    pub(crate) errno: i32,
    pub(crate) socket: Option<SocketId>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) inode: Option<u64>,
    /// The socket's number in the actor itself.
    pub(crate) descriptor: Option<i32>,
    /// Of a child, or the tid of a thread.
    pub(crate) pid: Option<u32>,
    pub(crate) children: Vec<Child>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_the_pipe() {
        let sent = Command::Bind(3, "[::1]:42000".parse().unwrap());
        let line = serde_json::to_string(&sent).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Command>(&line).unwrap(), sent);
    }

    #[test]
    fn addresses_follow_the_family() {
        assert_eq!(Transport::Udp6.loopback(9).to_string(), "[::1]:9");
        assert_eq!(Transport::Tcp4.wildcard(9).to_string(), "0.0.0.0:9");
    }
}
