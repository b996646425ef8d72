//! The kernel's rule for two sockets that want one port, as a pure predicate.
//!
//! It answers for a port that was asked for by number: what `inet_csk_get_port` and `udp_lib_get_port` decide then, from
//! 5.10 on. VRF domains (`tcp_l3mdev_accept`) are not told apart.

mod address;
#[cfg(test)]
mod tests;

use crate::model::State;
use portwatch_common::{Socket, record::flag};
use std::net::Ipv6Addr;

/// One of the two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Network namespace.
    pub netns: u32,
    /// Local port.
    pub port: u16,
    /// Local address.
    pub local: Local,
    /// Interface index of SO_BINDTODEVICE, 0 for none.
    pub device: u32,
    /// UDP's rule instead of TCP's.
    pub datagram: bool,
    /// SO_REUSEADDR.
    pub reuse: bool,
    /// SO_REUSEPORT.
    pub reuseport: bool,
    /// Already member of a SO_REUSEPORT group.
    pub grouped: bool,
    /// As the kernel compares it.
    pub uid: u32,
    /// TCP state.
    pub state: State,
    /// No process has it.
    pub orphan: bool,
}

/// The address a socket is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// AF_INET, in network order.
    V4([u8; 4]),
    /// AF_INET6.
    V6 {
        /// The address.
        address: Ipv6Addr,
        /// IPV6_V6ONLY, which bind() to a specific address forces.
        only: bool,
    },
}

/// What the rule depends on between kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Era {
    /// The uid is that of the file, root once nobody has the socket (5.10 to 6.12 do so); later ones (6.18, 7.3) keep
    /// the creator's.
    pub orphans_are_roots: bool,
}

/// Whether `holder` makes the kernel refuse the port to `binder`.
pub fn conflicts(binder: &Endpoint, holder: &Endpoint, era: Era) -> bool {
    binder.netns == holder.netns
        && binder.port == holder.port
        && binder.datagram == holder.datagram
        && (binder.device == 0 || holder.device == 0 || binder.device == holder.device)
        && address::overlap(binder.local, holder.local)
        && !both_allow(binder, holder, era)
}

/// Whether both sides agreed to share.
fn both_allow(binder: &Endpoint, holder: &Endpoint, era: Era) -> bool {
    let same_uid = binder.uid == effective_uid(holder, era);
    // A binder that is in a group already would have to be in two.
    let by_reuseport = binder.reuseport && holder.reuseport && !binder.grouped;
    let by_reuse = binder.reuse && holder.reuse;
    if binder.datagram {
        return by_reuse || (by_reuseport && same_uid);
    }
    (by_reuse && holder.state != State::Listen)
        || (by_reuseport && (holder.state == State::TimeWait || same_uid))
}

fn effective_uid(holder: &Endpoint, era: Era) -> u32 {
    if holder.orphan && era.orphans_are_roots { 0 } else { holder.uid }
}

impl From<&Socket> for Endpoint {
    fn from(socket: &Socket) -> Self {
        let has = |bit: u32| socket.flags & bit != 0;
        let only = has(flag::V6ONLY);
        Self {
            netns: socket.netns,
            port: socket.local_port,
            local: Local::from_wire(socket.family, socket.local, only),
            device: socket.device,
            datagram: matches!(i32::from(socket.protocol), libc::IPPROTO_UDP | libc::IPPROTO_UDPLITE),
            reuse: has(flag::REUSE),
            reuseport: has(flag::REUSEPORT),
            grouped: has(flag::REUSEPORT_GROUP),
            uid: socket.uid,
            state: State::from_wire(socket.state),
            orphan: has(flag::ORPHAN),
        }
    }
}

impl Local {
    /// From the record's 16 bytes: AF_INET fills the first four.
    pub fn from_wire(family: u16, bytes: [u8; 16], only: bool) -> Self {
        if i32::from(family) == libc::AF_INET {
            let [a, b, c, d, ..] = bytes;
            Self::V4([a, b, c, d])
        } else {
            Self::V6 { address: Ipv6Addr::from(bytes), only }
        }
    }
}
