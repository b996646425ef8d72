//! Sockets as the soak's processes need them: few system calls, nothing left behind that was not meant to be.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::fstat;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, getpeername, getsockname, socket_with,
};

use crate::wire::Transport;

/// No call waits longer: a soak that is stuck says nothing.
const CALL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);
/// `TCP_CLOSE` of the kernel.
const CLOSED: u8 = 7;

/// A fresh socket.
pub(super) fn open(transport: Transport) -> Result<OwnedFd> {
    let family = if transport.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = if transport.is_tcp() { SocketType::STREAM } else { SocketType::DGRAM };
    socket_with(family, kind, SocketFlags::CLOEXEC, None).context("opening a socket")
}

/// Makes close() reset the connection, so that the port is free at once and not in a minute.
pub(super) fn reset_on_close(socket: &OwnedFd) -> Result<()> {
    sockopt::set_socket_linger(socket, Some(std::time::Duration::ZERO)).context("setting SO_LINGER")
}

/// A fresh socket bound to `at`.
pub(super) fn bound(transport: Transport, at: SocketAddr) -> Result<OwnedFd> {
    let socket = open(transport)?;
    bind(&socket, &at).with_context(|| format!("binding {at}"))?;
    Ok(socket)
}

/// connect() that must succeed.
pub(super) fn connected(socket: OwnedFd, to: SocketAddr) -> Result<OwnedFd> {
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(CALL_TIMEOUT))?;
    connect(&socket, &to).with_context(|| format!("connecting to {to}"))?;
    Ok(socket)
}

pub(super) fn local(socket: &OwnedFd) -> Result<SocketAddr> {
    SocketAddr::try_from(getsockname(socket)?).context("a socket without an internet address")
}

pub(super) fn remote(socket: &OwnedFd) -> Option<SocketAddr> {
    getpeername(socket).ok().flatten().and_then(|address| SocketAddr::try_from(address).ok())
}

pub(super) fn inode(socket: &OwnedFd) -> Result<u64> {
    Ok(fstat(socket).context("reading a socket's inode")?.st_ino)
}

/// Waits until the other end has closed.
pub(super) fn await_end(socket: &OwnedFd) -> Result<()> {
    sockopt::set_socket_timeout(socket, Timeout::Recv, Some(CALL_TIMEOUT))?;
    let mut byte = [0_u8; 1];
    let received = rustix::io::read(socket, &mut byte).context("waiting for the other end to close")?;
    anyhow::ensure!(received == 0, "data where the end of a connection was expected");
    Ok(())
}

/// Waits until the connection is over on this side too: then the other end, which closed first, is in `TIME_WAIT`.
pub(super) fn await_closed(socket: &OwnedFd) -> Result<()> {
    let deadline = std::time::Instant::now() + CALL_TIMEOUT;
    loop {
        if tcp_state(socket)? == CLOSED {
            return Ok(());
        }
        anyhow::ensure!(std::time::Instant::now() < deadline, "a connection does not come to its end");
        std::thread::yield_now();
    }
}

/// The first byte of `TCP_INFO`.
fn tcp_state(socket: &OwnedFd) -> Result<u8> {
    let mut state = 0_u8;
    let mut length: libc::socklen_t = 1;
    // SAFETY: the kernel writes at most `length` bytes, and `state` has one.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut state).cast(),
            &raw mut length,
        )
    };
    anyhow::ensure!(result == 0 && length == 1, "TCP_INFO: {}", std::io::Error::last_os_error());
    Ok(state)
}
