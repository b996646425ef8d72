//! The SCTP sockets on a port of any network namespace, in the form of the kernel side's records.

use super::namespaces::{Namespace, Namespaces};
use super::socket_tables::{self, Entry};
use crate::model::{Protocol, State};
use portwatch_common::Socket;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Looks where a process leads, if it is still there, else for another way into the namespace.
pub(super) fn sockets(netns: u32, tgid: Option<u32>, port: u16) -> Vec<Socket> {
    let door = |tgid| PathBuf::from(format!("/proc/{tgid}/ns/net"));
    let near = Namespace { number: netns, name: None, doors: tgid.map(door).into_iter().collect() };
    let look = |namespace: &Namespace| namespace.within(|| socket_tables::read(port, &[Protocol::Sctp])).ok();
    let farther = || Namespaces::find().all.into_iter().find(|one| one.number == netns);
    let tables = look(&near).or_else(|| look(&farther()?)).unwrap_or_default();
    tables.entries.iter().filter_map(|entry| socket(netns, entry)).collect()
}

fn socket(netns: u32, entry: &Entry) -> Option<Socket> {
    let local = entry.local?;
    let (family, address) = wire(local);
    Some(Socket {
        inode: entry.inode,
        local: address,
        remote: entry.remote.map_or([0; 16], |remote| wire(remote).1),
        netns,
        uid: entry.uid.unwrap_or(0),
        local_port: local.port(),
        remote_port: entry.remote.map_or(0, |remote| remote.port()),
        protocol: libc::IPPROTO_SCTP as u16,
        family,
        kind: libc::SOCK_STREAM as u16,
        state: State::to_wire(entry.state),
        ..Socket::default()
    })
}

fn wire(address: SocketAddr) -> (u16, [u8; 16]) {
    match address.ip() {
        IpAddr::V4(v4) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&v4.octets());
            (libc::AF_INET as u16, bytes)
        }
        IpAddr::V6(v6) => (libc::AF_INET6 as u16, v6.octets()),
    }
}
