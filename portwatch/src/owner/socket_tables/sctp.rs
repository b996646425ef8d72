//! /proc/net/sctp: `eps` has the sockets that listen, `assocs` the associations. A socket that is only bound is in neither.

use super::Entry;
use crate::model::{Protocol, State};
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};

/// Every socket with this local port, in the namespace of the calling thread; a listener once for each of its addresses.
pub(super) fn read(port: u16) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for line in lines("eps")? {
        entries.extend(endpoint(&line?, port).into_iter().flatten());
    }
    for line in lines("assocs")? {
        let Some(next) = association(&line?, port) else { continue };
        // An association that nobody has accepted is its listener's, and one socket may have many.
        if !entries.iter().any(|known| known.inode == next.inode && known.inode != 0) {
            entries.push(next);
        }
    }
    Ok(entries)
}

fn lines(name: &str) -> io::Result<impl Iterator<Item = io::Result<String>>> {
    let file = std::fs::File::open(format!("/proc/thread-self/net/sctp/{name}"))?;
    Ok(BufReader::new(file).lines().skip(1))
}

/// Reads a line of `eps`: `ENDPT SOCK STY SST HBKT LPORT UID INODE LADDRS…`.
fn endpoint(line: &str, port: u16) -> Option<Vec<Entry>> {
    let mut fields = line.split_ascii_whitespace().skip(3);
    let state = State::from_wire(fields.next()?.parse().ok()?);
    let at: u16 = fields.nth(1)?.parse().ok()?;
    let uid: u32 = fields.next()?.parse().ok()?;
    let inode: u64 = fields.next()?.parse().ok()?;
    let entry = |address| Entry {
        protocol: Protocol::Sctp,
        state,
        local: Some(SocketAddr::new(address, at)),
        remote: None,
        uid: (inode != 0).then_some(uid),
        inode,
        ends_in_ms: None,
    };
    (at == port).then(|| fields.filter_map(address).map(entry).collect())
}

/// Reads a line of `assocs`: `ASSOC SOCK STY SST ST HBKT ASSOC-ID TX_QUEUE RX_QUEUE UID INODE LPORT RPORT LADDRS… <-> RADDRS…`
/// and more.
fn association(line: &str, port: u16) -> Option<Entry> {
    let (before, after) = line.split_once(" <-> ")?;
    let mut fields = before.split_ascii_whitespace().skip(4);
    let state = state(fields.next()?.parse().ok()?);
    let uid: u32 = fields.nth(4)?.parse().ok()?;
    let inode: u64 = fields.next()?.parse().ok()?;
    let at: u16 = fields.next()?.parse().ok()?;
    let remote_port: u16 = fields.next()?.parse().ok()?;
    let local = primary(&fields).map(|ip| SocketAddr::new(ip, at));
    let remote = primary(&after.split_ascii_whitespace()).map(|ip| SocketAddr::new(ip, remote_port));
    (at == port).then_some(Entry {
        protocol: Protocol::Sctp,
        state,
        local,
        remote,
        uid: (inode != 0).then_some(uid),
        inode,
        ends_in_ms: None,
    })
}

/// The address in use, which is starred; else the first.
fn primary<'a>(fields: &(impl Iterator<Item = &'a str> + Clone)) -> Option<IpAddr> {
    let starred = fields.clone().find(|field| field.starts_with('*'));
    starred.or_else(|| fields.clone().next()).and_then(address)
}

fn address(field: &str) -> Option<IpAddr> {
    field.trim_start_matches('*').parse().ok()
}

/// `enum sctp_state`, in the words of TCP.
const fn state(number: u8) -> State {
    match number {
        0 => State::Close,
        1 | 2 => State::SynSent,
        3 => State::Established,
        4 | 5 => State::FinWait1,
        6 => State::CloseWait,
        7 => State::LastAck,
        _ => State::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_have_a_line_for_all_their_addresses() {
        let line = "ffff8881 ffff8882 2   10  57   36412  1000 48213 10.0.0.7 0000:0000:0000:0000:0000:0000:0000:0001 ";
        let entries = endpoint(line, 36_412).expect("an endpoint on the port");
        let addresses: Vec<_> = entries.iter().filter_map(|entry| entry.local).collect();
        assert_eq!(addresses, ["10.0.0.7:36412".parse().unwrap(), "[::1]:36412".parse().unwrap()]);
        assert!(
            entries.iter().all(|one| (one.state, one.inode, one.uid) == (State::Listen, 48_213, Some(1000)))
        );
        assert_eq!(endpoint(line, 36_413), None);
        assert_eq!(endpoint("", 1), None);
    }

    #[test]
    fn associations_show_the_addresses_in_use() {
        let line = "ffff8881 ffff8882 2   1   3  0       3        0        0    1000 48214 42010  8080 10.0.0.7 *127.0.0.1 <-> *127.0.0.1 10.0.0.9 \t    7500    10    10   10    0    0        0        1        0   212992   212992";
        let entry = association(line, 42_010).expect("an association on the port");
        assert_eq!(entry.local, "127.0.0.1:42010".parse().ok());
        assert_eq!(entry.remote, "127.0.0.1:8080".parse().ok());
        assert_eq!((entry.state, entry.inode), (State::Established, 48_214));
        assert_eq!(association(line, 8080), None);
        assert_eq!(association("nonsense <-> more", 8080), None);
    }
}
