//! What a kernel record says of a socket, as the report has it.

use crate::model::SocketOptions;
use portwatch_common::Socket;
use portwatch_common::record::flag;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a socket had set. One that the kernel side did not meet itself is known by its record, or by a list, which both
/// do not tell.
pub(super) fn options(socket: &Socket) -> Option<SocketOptions> {
    let has = |bit: u32| socket.flags & bit != 0;
    (socket.address != 0).then(|| SocketOptions {
        reuse_address: has(flag::REUSE),
        reuse_port: has(flag::REUSEPORT),
        v6_only: has(flag::V6ONLY),
    })
}

/// An address of a record.
pub(super) fn ip_addr(family: u16, bytes: [u8; 16]) -> IpAddr {
    if i32::from(family) == libc::AF_INET {
        let [a, b, c, d, ..] = bytes;
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    } else {
        IpAddr::V6(Ipv6Addr::from(bytes))
    }
}

/// Its own end.
pub(super) fn local(socket: &Socket) -> SocketAddr {
    SocketAddr::new(ip_addr(socket.family, socket.local), socket.local_port)
}

/// The other end, if it has one.
pub(super) fn remote(socket: &Socket) -> Option<SocketAddr> {
    let address = || SocketAddr::new(ip_addr(socket.family, socket.remote), socket.remote_port);
    (socket.remote_port != 0).then(address)
}
