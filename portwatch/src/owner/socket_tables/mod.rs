//! The kernel's own tables of sockets on one port, in the network namespace of the calling thread: asked of sock_diag,
//! or, where that is not to be had, read from /proc.

mod bounds;
mod destroy;
mod diag;
mod proc_net;
mod sctp;

pub(crate) use bounds::{Bounds, States};
pub(crate) use destroy::destroys_sockets;

use crate::model::{Protocol, State};
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;

/// Address family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// A socket as its table shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The protocol.
    pub protocol: Protocol,
    /// The state.
    pub state: State,
    /// The local address; `None` where only the port is known.
    pub local: Option<SocketAddr>,
    /// The remote address, if it is connected.
    pub remote: Option<SocketAddr>,
    /// The creator's uid; TIME_WAIT and orphans keep none.
    pub uid: Option<u32>,
    /// The inode; 0 for sockets without a file.
    pub inode: u64,
    /// When TIME_WAIT is over.
    pub ends_in_ms: Option<u32>,
}

/// What the tables of one namespace had on a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// The sockets.
    pub entries: Vec<Entry>,
    /// Why /proc was read instead of asking sock_diag, if it was.
    pub no_diag: Option<String>,
    /// Tables that could not be read either way.
    pub unreadable: Vec<String>,
}

/// Reads the tables of these protocols for one local port.
pub fn read(port: u16, protocols: &[Protocol]) -> Tables {
    let mut tables = Tables::default();
    for &protocol in protocols {
        if protocol == Protocol::Sctp {
            read_sctp(&mut tables, port);
            continue;
        }
        for family in [Family::V4, Family::V6] {
            read_one(&mut tables, port, protocol, family);
        }
    }
    tables
}

/// SCTP has one list for both families, and only where its module is loaded. sock_diag knows no more of it.
fn read_sctp(tables: &mut Tables, port: u16) {
    match sctp::read(port) {
        Ok(entries) => tables.entries.extend(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tables.unreadable.push(format!("sctp ({error})")),
    }
}

fn read_one(tables: &mut Tables, port: u16, protocol: Protocol, family: Family) {
    let refused = match diag::dump(protocol, family, port) {
        Ok(entries) => return tables.entries.extend(entries),
        Err(error) => error,
    };
    match proc_net::read(protocol, family, port) {
        Ok(entries) => {
            tables.entries.extend(entries);
            tables.no_diag.get_or_insert_with(|| refused.to_string());
        }
        // The kernel has no such protocol: IPv6 may be switched off, UDP-Lite is gone from new kernels.
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_absent(protocol, family) => {}
        Err(error) => tables.unreadable.push(format!("{} ({refused}; {error})", file_name(protocol, family))),
    }
}

/// Hands over every socket of TCP, UDP or UDP-Lite that is within bounds, whatever its port: one by one, because there may
/// be a million. After a failure half-way some come twice. Returns the tables that could not be read to their end.
pub(crate) fn each(protocol: Protocol, bounds: Bounds, take: &mut dyn FnMut(Entry)) -> Vec<String> {
    let mut unreadable = Vec::new();
    for family in [Family::V4, Family::V6] {
        let Err(refused) = diag::each(protocol, family, 0, bounds, take) else { continue };
        let name = file_name(protocol, family);
        if refused.kind() == io::ErrorKind::TimedOut {
            unreadable.push(format!("{name} ({refused})"));
            continue;
        }
        match proc_net::each(protocol, family, bounds, take) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_absent(protocol, family) => {}
            Err(error) => unreadable.push(format!("{name} ({refused}; {error})")),
            Ok(()) => {}
        }
    }
    unreadable
}

/// The same, but without the connections of TCP: cheap however many there are. What cannot be read is left out: a table that
/// is not there has no sockets, and one that cannot be read was told by whoever read it all.
pub fn standing(protocol: Protocol, take: &mut dyn FnMut(Entry)) {
    let states = if protocol.is_datagram() { States::All } else { States::Unconnected };
    drop(each(protocol, Bounds { states, ..Bounds::default() }, take));
}

/// Which of these ports somebody has; `None` if that cannot be told. One look for all of them: each goes through all sockets
/// of the namespace.
pub(crate) fn used(wanted: &[u16], protocols: &[Protocol]) -> Option<HashSet<u16>> {
    let span = (*wanted.iter().min()?, *wanted.iter().max()?);
    let mut ports = HashSet::new();
    for &protocol in protocols {
        if protocol == Protocol::Sctp {
            for &port in wanted {
                let tables = read(port, &[protocol]);
                ports.extend((!tables.entries.is_empty()).then_some(port));
                tables.unreadable.is_empty().then_some(())?;
            }
            continue;
        }
        let bounds = Bounds { ports: Some(span), ..Bounds::default() };
        let unreadable =
            each(protocol, bounds, &mut |entry| ports.extend(entry.local.map(|local| local.port())));
        unreadable.is_empty().then_some(())?;
    }
    Some(ports)
}

/// Whether a missing table means that there can be no such socket. TCP is there wherever /proc is.
fn is_absent(protocol: Protocol, family: Family) -> bool {
    let has_proc = std::path::Path::new("/proc/thread-self/net/tcp").exists();
    has_proc && (family == Family::V6 || protocol != Protocol::Tcp)
}

/// Name of the table in /proc.
fn file_name(protocol: Protocol, family: Family) -> String {
    format!("{protocol}{}", if family == Family::V6 { "6" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt as _;

    fn inode(socket: &impl AsRawFd) -> u64 {
        std::fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).expect("an open socket").ino()
    }

    #[test]
    fn sock_diag_and_proc_tell_the_same_of_real_sockets() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let client = TcpStream::connect(at).expect("a connection");
        let (server, _) = listener.accept().expect("a connection");
        let udp = UdpSocket::bind(at).expect("the same number in UDP");
        let mut asked = diag::dump(Protocol::Tcp, Family::V4, at.port()).expect("sock_diag");
        asked.extend(diag::dump(Protocol::Udp, Family::V4, at.port()).expect("sock_diag"));
        let mut told = proc_net::read(Protocol::Tcp, Family::V4, at.port()).expect("/proc");
        told.extend(proc_net::read(Protocol::Udp, Family::V4, at.port()).expect("/proc"));
        for all in [&mut asked, &mut told] {
            all.sort_by_key(|entry| entry.inode);
        }
        assert_eq!(asked, told);
        assert_eq!(asked.len(), 3);
        let of = |inode| *asked.iter().find(|entry| entry.inode == inode).expect("our socket");
        assert_eq!((of(inode(&listener)).state, of(inode(&listener)).remote), (State::Listen, None));
        assert_eq!(of(inode(&server)).state, State::Established);
        assert_eq!(of(inode(&server)).remote, client.local_addr().ok());
        assert_eq!((of(inode(&udp)).protocol, of(inode(&udp)).local), (Protocol::Udp, Some(at)));
        let client_port = client.local_addr().expect("an address").port();
        assert_eq!(read_all(client_port).iter().filter(|entry| entry.inode == inode(&client)).count(), 1);
    }

    fn read_all(port: u16) -> Vec<Entry> {
        let tables = read(port, &[Protocol::Tcp, Protocol::Udp, Protocol::UdpLite]);
        assert!(tables.unreadable.is_empty() && tables.no_diag.is_none(), "{tables:?}");
        tables.entries
    }
}
