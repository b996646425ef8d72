//! /proc/net/{tcp,udp,udplite}{,6}: the same sockets without sock_diag, but for those that are only bound.

use super::{Bounds, Entry, Family, file_name};
use crate::model::{Protocol, State};
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// /proc counts time in these.
const TICK_MS: u32 = 10;
/// Lines between two looks at the clock.
const CHECKED_EVERY: usize = 1_024;

/// Every socket of a protocol and family that has this local port, in the namespace of the calling thread.
pub(super) fn read(protocol: Protocol, family: Family, port: u16) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    each(protocol, family, Bounds::default(), &mut |entry| {
        if entry.local.is_some_and(|local| local.port() == port) {
            entries.push(entry);
        }
    })?;
    Ok(entries)
}

/// Every socket of a protocol and family, one by one.
pub(super) fn each(
    protocol: Protocol,
    family: Family,
    bounds: Bounds,
    take: &mut dyn FnMut(Entry),
) -> io::Result<()> {
    let path = format!("/proc/thread-self/net/{}", file_name(protocol, family));
    for (index, line) in BufReader::new(std::fs::File::open(path)?).lines().skip(1).enumerate() {
        let is_wanted = |entry: &Entry| {
            bounds.states.has(entry.state) && bounds.has(entry.local.map(|local| local.port()))
        };
        if let Some(entry) = parse(&line?, protocol).filter(is_wanted) {
            take(entry);
        }
        if index % CHECKED_EVERY == 0 {
            bounds.check()?;
        }
    }
    Ok(())
}

/// Reads a line: `sl local remote st tx:rx tr:when retransmits uid timeout inode …`.
fn parse(line: &str, protocol: Protocol) -> Option<Entry> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let local = socket_address(fields.next()?)?;
    let remote = socket_address(fields.next()?)?;
    let state = State::from_wire(u8::from_str_radix(fields.next()?, 16).ok()?);
    let (_, when) = fields.nth(1)?.split_once(':')?;
    let when = u32::from_str_radix(when, 16).ok()?;
    let uid: u32 = fields.nth(1)?.parse().ok()?;
    let inode: u64 = fields.nth(1)?.parse().ok()?;
    Some(Entry {
        protocol,
        state,
        local: Some(local),
        remote: (remote.port() != 0).then_some(remote),
        uid: (inode != 0).then_some(uid),
        inode,
        ends_in_ms: (state == State::TimeWait).then_some(when.saturating_mul(TICK_MS)),
    })
}

/// Reads `0100007F:1F90`: the address in words of the machine's own byte order, the port as a number.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    let words = address.len() / 8;
    if !address.is_ascii() || !matches!((words, address.len() % 8), (1 | 4, 0)) {
        return None;
    }
    for (word, into) in bytes.chunks_exact_mut(4).take(words).enumerate() {
        let number = u32::from_str_radix(&address[word * 8..][..8], 16).ok()?;
        into.copy_from_slice(&number.to_ne_bytes());
    }
    let [a, b, c, d, ..] = bytes;
    let ip = if words == 1 { IpAddr::V4(Ipv4Addr::new(a, b, c, d)) } else { Ipv6Addr::from(bytes).into() };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_of_a_real_table_are_read() {
        let listen = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 48213 1 00000000 100 0 0 10 0";
        let entry = parse(listen, Protocol::Tcp).expect("a socket");
        assert_eq!(entry.local, "127.0.0.1:8080".parse().ok());
        assert_eq!(
            (entry.state, entry.remote, entry.uid, entry.inode),
            (State::Listen, None, Some(1000), 48213)
        );

        let gone = "  17: 0100007F:A410 0100007F:1F90 06 00000000:00000000 03:00000FA0 00000000     0        0 0 3 00000000";
        let entry = parse(gone, Protocol::Tcp).expect("a socket");
        assert_eq!((entry.state, entry.ends_in_ms), (State::TimeWait, Some(40_000)));
        assert_eq!((entry.uid, entry.inode, entry.remote), (None, 0, "127.0.0.1:8080".parse().ok()));

        let six = "  12: 00000000000000000000000001000000:0035 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 900 2 00000000 0";
        assert_eq!(parse(six, Protocol::Udp).and_then(|entry| entry.local), "[::1]:53".parse().ok());
    }

    proptest! {
        #[test]
        fn any_line_is_a_socket_or_not(line in "\\PC{0,120}", fields in "[0-9A-F: ]{0,160}") {
            let _ = (parse(&line, Protocol::Tcp), parse(&fields, Protocol::Tcp));
        }
    }
}
