//! sock_diag: one request, one dump, the port filtered by the kernel. Written out by hand: the two structures of
//! `linux/inet_diag.h` are stable, and a crate for them brings fifteen others.

#[cfg(test)]
mod tests;

use super::{Bounds, Entry, Family};
use crate::model::{Protocol, State};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use rustix::net::{recv, send, socket_with};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// `struct inet_diag_msg`.
const MESSAGE: usize = 72;
/// `INET_DIAG_REQ_BYTECODE`, and of its operations "source port at least" and "at most".
const BYTECODE: u16 = 1;
const AT_LEAST: u8 = 2;
const AT_MOST: u8 = 3;
/// The timer that runs in TIME_WAIT.
const TIME_WAIT_TIMER: u8 = 3;
/// The kernel fills what it is given, up to 32 KiB.
const BUFFER: usize = 64 * 1024;
/// The kernel answers at once; a broken filter of system calls must not hold the command up for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Every socket of a protocol and family that has this local port.
pub(super) fn dump(protocol: Protocol, family: Family, port: u16) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    each(protocol, family, port, Bounds::default(), &mut |entry| entries.push(entry))?;
    Ok(entries)
}

/// The same one by one; port 0 stands for every port.
pub(super) fn each(
    protocol: Protocol,
    family: Family,
    port: u16,
    bounds: Bounds,
    take: &mut dyn FnMut(Entry),
) -> io::Result<()> {
    let kind = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, kind, Some(netlink::SOCK_DIAG))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    send(&socket, &request(protocol, family, port, bounds), SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::TRUNC)?;
        let Some(bytes) = buffer.get(..length) else {
            return Err(io::Error::other("an answer of sock_diag was cut"));
        };
        let mut take = |entry: Entry| {
            if bounds.has(entry.local.map(|local| local.port())) {
                take(entry);
            }
        };
        if length == 0 || read_messages(bytes, protocol, port, &mut take)? == Progress::Done {
            return Ok(());
        }
        bounds.check()?;
    }
}

fn request(protocol: Protocol, family: Family, port: u16, bounds: Bounds) -> Vec<u8> {
    const FLAGS: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let filter = bounds.ports.map_or_else(Vec::new, filter);
    let length = u32::try_from(HEADER + REQUEST + filter.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER + REQUEST + filter.len());
    bytes.extend(length.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number and sender
    bytes.extend([family_number(family), protocol_number(protocol), 0, 0]);
    bytes.extend(bounds.states.mask().to_ne_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.resize(HEADER + REQUEST, 0); // any other port, any address
    bytes.extend(filter);
    bytes
}

/// The attribute by which the kernel leaves out other ports itself: of a hundred thousand sockets that is most of the work.
/// Two `struct inet_diag_bc_op` each: how far to go if it holds, and if not, then the number. Beyond the end is "no".
fn filter((low, high): (u16, u16)) -> Vec<u8> {
    const LENGTH: u16 = 4 + 4 * 4;
    let operation = |code: u8, otherwise: u16, port: u16| {
        let [[no, no_too], [number, number_too]] = [otherwise, port].map(u16::to_ne_bytes);
        [code, 8, no, no_too, 0, 0, number, number_too]
    };
    let mut bytes = Vec::with_capacity(LENGTH.into());
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(BYTECODE.to_ne_bytes());
    bytes.extend(operation(AT_LEAST, 20, low));
    bytes.extend(operation(AT_MOST, 12, high));
    bytes
}

const fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    }
}

const fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Udp => libc::IPPROTO_UDP as u8,
        Protocol::UdpLite => libc::IPPROTO_UDPLITE as u8,
        Protocol::Sctp => libc::IPPROTO_SCTP as u8,
        // The subflows of MPTCP are in TCP's table, with the inode of the socket that the process has.
        Protocol::Tcp | Protocol::Mptcp => libc::IPPROTO_TCP as u8,
    }
}

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    Done,
}

/// Reads one packet of messages.
fn read_messages(
    mut bytes: &[u8],
    protocol: Protocol,
    port: u16,
    take: &mut dyn FnMut(Entry),
) -> io::Result<Progress> {
    while let Some((header, _)) = bytes.split_first_chunk::<HEADER>() {
        let length = usize::try_from(u32_at(header, 0)).unwrap_or(usize::MAX);
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let Some(body) = bytes.get(HEADER..length) else {
            return Err(io::Error::other("sock_diag sent a message that does not fit its packet"));
        };
        match i32::from(kind) {
            // Either may bring the error: "no such table" comes with the end of the dump.
            libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return match code {
                    0.. => Ok(Progress::Done),
                    _ => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                };
            }
            // Bound-only sockets are not filtered by the port of the request.
            _ if kind == BY_FAMILY => {
                if let Some(entry) = entry(body, protocol).filter(|entry| is_on(entry, port)) {
                    take(entry);
                }
            }
            _ => {}
        }
        // Not beyond the packet: the last message needs no padding.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

fn is_on(entry: &Entry, port: u16) -> bool {
    port == 0 || entry.local.is_some_and(|local| local.port() == port)
}

/// Reads a `struct inet_diag_msg`; `None` for what is none.
fn entry(body: &[u8], protocol: Protocol) -> Option<Entry> {
    let message: &[u8; MESSAGE] = body.first_chunk()?;
    let [family, number, timer, ..] = *message;
    let address = |at: usize| address(family, &message[at..at + 16]);
    let port = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let state = State::from_wire(number);
    let inode = u64::from(u32_at(message, 68));
    let remote_port = port(6);
    Some(Entry {
        protocol,
        state,
        local: Some(SocketAddr::new(address(8)?, port(4))),
        remote: (remote_port != 0).then_some(SocketAddr::new(address(24)?, remote_port)),
        uid: (inode != 0).then_some(u32_at(message, 64)),
        inode,
        ends_in_ms: (state == State::TimeWait && timer == TIME_WAIT_TIMER).then(|| u32_at(message, 52)),
    })
}

fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    if family == family_number(Family::V4) {
        let four: [u8; 4] = *bytes.first_chunk()?;
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen: [u8; 16] = *bytes.first_chunk()?;
    (family == family_number(Family::V6)).then(|| Ipv6Addr::from(sixteen).into())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_ne_bytes(*word))
}
