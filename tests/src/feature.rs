//! What only some kernels have, found out by trying it; and what a backend cannot see by its nature.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::actor_main::{open, open_raw, request, set_raw};
use crate::product::Backend;
use crate::wire::Transport;
use crate::wire::raw::RingCall;
use crate::{init, link};

pub(crate) const IP_LOCAL_PORT_RANGE: i32 = 51;

/// Something that a scenario needs and that not every kernel has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    LocalPortRange,
    UdpLite,
    Mptcp,
    /// The module of SCTP, which is loaded when it is asked for.
    Sctp,
    /// A network device beside the loopback.
    SecondDevice,
    /// Ports of virtual machines, with a loopback.
    Vsock,
    PingSockets,
    /// `io_uring`, with connect().
    Ring,
    /// `io_uring`, with bind() and listen().
    RingBind,
    /// A backend that sees a bind() which is refused through `io_uring`.
    RingVictim,
}

impl Feature {
    /// Why it is not to be had here, if it is not. No backend: nobody watches.
    pub(crate) fn lacking(self, backend: Option<Backend>) -> Option<&'static str> {
        let (there, reason) = match self {
            Self::LocalPortRange => (
                open(Transport::Tcp4)
                    .and_then(|socket| set_raw(&socket, libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, &[0; 4])),
                "this kernel has no IP_LOCAL_PORT_RANGE (6.3 and later)",
            ),
            Self::UdpLite => (open(Transport::UdpLite4).map(drop), "this kernel has no UDP-Lite"),
            Self::Mptcp => {
                (open(Transport::Mptcp4).map(drop), "this kernel has no MPTCP, or it is switched off")
            }
            Self::Sctp => (try_sctp(), "this kernel has no SCTP"),
            Self::SecondDevice => (link::can_make(), "this kernel makes no dummy and no veth device"),
            Self::Vsock => (try_vsock(), "this kernel has no vsock"),
            Self::PingSockets => (try_ping(), "this kernel has no ping sockets"),
            Self::Ring => (try_ring(&RingCall::Connect(NOWHERE)), "this kernel admits no io_uring"),
            Self::RingBind => (try_ring(&RingCall::Bind(ANYWHERE)), NO_RING_BIND),
            Self::RingVictim if backend == Some(Backend::Tracepoint) => {
                return Some("the tracepoint backend sees system calls only, not io_uring's bind()");
            }
            Self::RingVictim => (try_ring(&RingCall::Bind(ANYWHERE)), NO_RING_BIND),
        };
        there.is_err().then_some(reason)
    }
}

const NO_RING_BIND: &str = "this kernel has no io_uring with bind() and listen() (6.11 and later)";
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Nobody listens on port 1.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A refusal by the other end is as good as a connection.
fn try_ring(call: &RingCall) -> Result<(), Errno> {
    match request(&open(Transport::Tcp4)?, call) {
        Err(Errno::CONNREFUSED) => Ok(()),
        result => result,
    }
}

/// In a machine of ours there is no modprobe that the kernel could ask.
fn try_sctp() -> Result<(), Errno> {
    let first = open(Transport::Sctp4);
    if first.is_err() && init::has_machine() {
        init::load_on_demand();
        return open(Transport::Sctp4).map(drop);
    }
    first.map(drop)
}

fn try_vsock() -> Result<(), Errno> {
    open_raw(libc::AF_VSOCK, libc::SOCK_STREAM, 0).map(drop)
}

/// EACCES is the answer of `ping_group_range`, which is set for each namespace anew.
fn try_ping() -> Result<(), Errno> {
    let socket: Result<OwnedFd, Errno> = open_raw(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP);
    match socket {
        Err(Errno::ACCESS) => Ok(()),
        socket => socket.map(drop),
    }
}
