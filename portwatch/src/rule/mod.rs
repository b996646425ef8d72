//! The kernel's rule for two sockets that want one port, as a pure predicate. The binder is refused if
//!
//! - the holder is in the same namespace and table, on the same port; and
//! - one of them is bound to no device, or both to the same; and
//! - their addresses overlap ([`address`]), which is not symmetric; and
//! - they did not agree to share: both have SO_REUSEADDR, and in TCP the holder does not listen; or both have
//!   SO_REUSEPORT and one user, and the binder is in no group yet (the user of TIME_WAIT does not count).
//!
//! Options, state and device are those of the moment of the call, not of the holder's own bind(). That is what
//! `inet_csk_bind_conflict` and `udp_lib_lport_inuse` decide for a port that was asked for by number, at bind() and again
//! at listen(). What differs between kernels is [`Era`].
//!
//! The rule is asked after a refusal: every refusal has a holder with which it says "conflict". It says so of more pairs
//! than the kernel refuses, since the kernel does not always ask. TCP caches in a port what its sockets had agreed to
//! (`fastreuse`, `fastreuseport`) and forgets nothing when one of them changes its mind, or becomes an orphan; UDP is
//! content with the first socket in its list with which it shares by SO_REUSEPORT. SCTP shares as TCP does.
//!
//! `lineup rule` proves this on every kernel of the tests with random sockets that are really bound.
//!
//! Not in the rule: VRF (`l3mdev`: TCP sockets in two VRFs never meet; here they do); port 0; the further addresses of an
//! SCTP socket, its SCTP_REUSE_PORT, and that before 6.2 its device did not count; TCP_REPAIR, which nothing refuses; a group that a listener left by shutdown() while tcp_migrate_req is set (5.15 on), which may listen
//! again though it is in a group.

mod address;
#[cfg(test)]
mod tests;

use crate::model::State;
use portwatch_common::{Socket, record::flag};
use serde::{Deserialize, Serialize};
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
    /// Whose table of ports.
    pub table: Table,
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

/// A table of ports. Those of another table are never in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// TCP, and MPTCP, which takes its ports through TCP sockets of its own.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite, by UDP's rule.
    UdpLite,
    /// SCTP.
    Sctp,
    /// Whatever else has ports: not known, and in nobody's way.
    Other,
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

/// What the rule depends on between kernels. Its names stand in recordings: a field that is added needs a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Era {
    /// The uid is that of the file, root where nobody has the socket: an orphan, or a connection that is not accepted yet
    /// (5.10 to 6.12 do so). Later ones (6.18, 7.3) compare the creator's.
    pub orphans_are_roots: bool,
    /// Where TCP looks for the holders of a specific address.
    pub lookup: Lookup,
}

/// Where TCP looks for who might stand in the way of a specific address. A wildcard is compared with everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lookup {
    /// Among all sockets on the port (5.10).
    ByPort,
    /// In the table by address, in its first form (6.1): `::ffff:0.0.0.0` is not found from `::ffff:127.0.0.1`.
    ByAddressAtFirst,
    /// In the table by address (6.12, 6.18, 7.3).
    ByAddress,
}

/// Whether `holder` makes the kernel refuse the port to `binder`.
pub fn conflicts(binder: &Endpoint, holder: &Endpoint, era: Era) -> bool {
    binder.netns == holder.netns
        && binder.port == holder.port
        && binder.table == holder.table
        && binder.table != Table::Other
        && (binder.device == 0 || holder.device == 0 || binder.device == holder.device)
        && address::overlap(binder.local, holder.local)
        && !(binder.table == Table::Tcp && address::is_overlooked(binder.local, holder.local, era.lookup))
        && !both_allow(binder, holder, era)
}

/// Whether both sides agreed to share.
fn both_allow(binder: &Endpoint, holder: &Endpoint, era: Era) -> bool {
    let same_uid = binder.uid == effective_uid(holder, era);
    // A binder that is in a group already would have to be in two.
    let by_reuseport = binder.reuseport && holder.reuseport && !binder.grouped;
    let by_reuse = binder.reuse && holder.reuse;
    if matches!(binder.table, Table::Udp | Table::UdpLite) {
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
            table: Table::from_wire(socket.protocol),
            reuse: has(flag::REUSE),
            reuseport: has(flag::REUSEPORT),
            grouped: has(flag::REUSEPORT_GROUP),
            uid: socket.uid,
            state: State::from_wire(socket.state),
            orphan: has(flag::ORPHAN),
        }
    }
}

impl Table {
    /// By the protocol's number.
    pub const fn from_wire(protocol: u16) -> Self {
        match protocol as i32 {
            libc::IPPROTO_UDP => Self::Udp,
            libc::IPPROTO_UDPLITE => Self::UdpLite,
            libc::IPPROTO_SCTP => Self::Sctp,
            libc::IPPROTO_TCP | libc::IPPROTO_MPTCP => Self::Tcp,
            _ => Self::Other,
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
