//! What a namespace of the prover has: two IPv6 addresses, a server, a server that answers nobody, a range of one port.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portwatch::rule::Table;
use rustix::net::{SocketFlags, acceptfrom_with, bind, connect, listen, sockopt};

use super::generator::SECOND_V6;
use super::socket::Socket;
use crate::netns::Range;

/// Where the kernel chooses for everybody who is not under test.
pub(super) const RANGE: Range = Range { low: 50_000, high: 50_999 };
/// The first port under test; those below are the servers'.
pub(super) const FIRST_PORT: u16 = 2_000;
const SERVER_PORTS: [u16; HOLDERS] = [1_100, 1_101, 1_102];
const FULL_PORTS: [u16; HOLDERS] = [1_110, 1_111, 1_112];
/// Holders in an arrangement, at most. Each has servers of its own: with one, two clients on the port under test would
/// want the same connection.
pub(super) const HOLDERS: usize = 3;
const ANY: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const LO_INDEX: i32 = 1;

#[derive(Debug)]
pub(super) struct World {
    servers: Vec<Socket>,
    range: File,
    /// They keep the queues of the other servers full.
    _full: Vec<[Socket; 2]>,
}

impl World {
    /// Sets up the namespace of the calling thread.
    pub(super) fn set_up() -> Result<Self> {
        add_address(SECOND_V6)?;
        let servers = SERVER_PORTS.map(|port| server(port, 64)).into_iter().collect::<Result<_>>()?;
        let full = FULL_PORTS.map(server_that_is_full).into_iter().collect::<Result<_>>()?;
        let path = "/proc/sys/net/ipv4/ip_local_port_range";
        let range = File::options().write(true).open(path).with_context(|| format!("opening {path}"))?;
        Ok(Self { servers, range, _full: full })
    }

    /// Does something while the kernel has only this port to give.
    pub(super) fn with_only_port<T>(&self, port: u16, work: impl FnOnce() -> T) -> Result<T> {
        self.set_range(Range { low: port, high: port })?;
        let done = work();
        self.set_range(RANGE)?;
        Ok(done)
    }

    fn set_range(&self, Range { low, high }: Range) -> Result<()> {
        let text = format!("{low} {high}");
        // At offset 0: the file takes a new value nowhere else.
        let written = self.range.write_at(text.as_bytes(), 0).context("setting the ephemeral range")?;
        ensure!(written == text.len(), "the ephemeral range was written in part");
        Ok(())
    }

    /// Where the client in this place of the arrangement connects to.
    pub(super) fn server(&self, place: usize, to: IpAddr) -> SocketAddr {
        SocketAddr::new(to, SERVER_PORTS[place])
    }

    /// Where it waits for an answer in vain.
    pub(super) fn full_server(&self, place: usize, to: IpAddr) -> SocketAddr {
        SocketAddr::new(to, FULL_PORTS[place])
    }

    /// The other end of the connection that was made last.
    pub(super) fn accept(&self, place: usize) -> Result<Socket> {
        let peer = Socket { fd: accept(&self.servers[place].fd)?, table: Table::Tcp, uid: 0 };
        abort_on_close(&peer)?;
        Ok(peer)
    }
}

pub(super) fn accept(listener: &OwnedFd) -> Result<OwnedFd> {
    Ok(acceptfrom_with(listener, SocketFlags::CLOEXEC).context("accepting a connection")?.0)
}

/// From here on close() resets the connection, so that nothing of it is left.
pub(super) fn abort_on_close(socket: &Socket) -> Result<()> {
    sockopt::set_socket_linger(&socket.fd, Some(Duration::ZERO)).context("setting SO_LINGER")
}

fn server(port: u16, backlog: i32) -> Result<Socket> {
    let server = Socket::open(Table::Tcp, ANY, 0)?;
    sockopt::set_ipv6_v6only(&server.fd, false)?;
    sockopt::set_socket_timeout(&server.fd, sockopt::Timeout::Recv, Some(Duration::from_secs(10)))?;
    bind(&server.fd, &SocketAddr::new(ANY, port)).context("binding the prover's server")?;
    listen(&server.fd, backlog)?;
    Ok(server)
}

/// A queue for one, and one in it: the kernel drops further SYNs.
fn server_that_is_full(port: u16) -> Result<[Socket; 2]> {
    let server = server(port, 0)?;
    let client = Socket::open(Table::Tcp, Ipv4Addr::LOCALHOST.into(), 0)?;
    connect(&client.fd, &SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
        .context("filling the queue of the prover's server")?;
    Ok([server, client])
}

/// `struct in6_ifreq`, which libc has not got everywhere.
#[repr(C)]
struct AddressRequest {
    address: [u8; 16],
    prefix: u32,
    index: i32,
}

fn add_address(address: Ipv6Addr) -> Result<()> {
    let socket = Socket::open(Table::Udp, ANY, 0)?;
    let request = AddressRequest { address: address.octets(), prefix: 128, index: LO_INDEX };
    // SAFETY: SIOCSIFADDR on an AF_INET6 socket reads one in6_ifreq, and `request` is one that outlives the call.
    let result = unsafe { libc::ioctl(socket.fd.as_raw_fd(), libc::SIOCSIFADDR as _, &raw const request) };
    ensure!(result == 0, "giving lo the address {address}: {}", std::io::Error::last_os_error());
    // A thread of the kernel declares it usable.
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Err(error) = bind(&socket.fd, &SocketAddr::new(address.into(), 0)) {
        ensure!(Instant::now() < deadline, "the address {address} of lo does not become usable: {error}");
        std::thread::yield_now();
    }
    Ok(())
}
