//! Calls that an actor makes in the kernel's own terms: sockets of any family, any option, `io_uring`, children.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{SocketId, Transport};
use crate::clock::Wall;

/// A call that needs numbers of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RawCall {
    /// socket(): answered with the new socket's number.
    Open { family: i32, kind: i32, protocol: i32 },
    /// bind() to a `sockaddr` byte by byte.
    Bind(SocketId, Vec<u8>),
    /// setsockopt().
    Set { socket: SocketId, level: i32, name: i32, value: Vec<u8> },
    /// listen() with a queue of this length.
    Listen { socket: SocketId, backlog: i32 },
    /// sendto() of one byte with flags.
    Send { socket: SocketId, flags: u32, to: SocketAddr },
    /// Only a look at the socket.
    Describe(SocketId),
    /// One request through `io_uring`.
    Ring(SocketId, RingCall),
    /// A service that ends at once when its bind() is refused, started again and again: each time a child.
    Restarts { transport: Transport, wanted: SocketAddr, times: u32 },
}

/// What can be asked of a socket through `io_uring`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RingCall {
    Bind(SocketAddr),
    Listen,
    Connect(SocketAddr),
}

/// A child that came and went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Child {
    pub(crate) pid: u32,
    pub(crate) start: Wall,
    /// What the kernel refused its bind() with; 0 if it did not.
    pub(crate) errno: i32,
}
