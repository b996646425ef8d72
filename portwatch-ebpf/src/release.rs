//! A socket let go of its port, or handed it to its TIME_WAIT stand-in.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use portwatch_common::{LastOwner, PortKey, Socket};

use crate::field::Typed;
use crate::maps::{DATAGRAMS, LAST};
use crate::{ports, sock};

/// The socket, or its TIME_WAIT stand-in, has no port any more.
#[inline(always)]
pub(crate) fn released(sk: u64) {
    ports::remove(sk);
}

/// The kernel had no port to give, and the record was made before it looked for one.
#[inline(always)]
pub(crate) fn never_given(sk: u64) {
    ports::remove(sk);
    let _ = DATAGRAMS.remove(sk);
}

/// The kernel replaced the socket by a TIME_WAIT one, which keeps the port and knows no owner.
#[inline(always)]
pub(crate) fn handed_over(sk: u64, time_wait: u64) {
    if let Some(record) = ports::find(sk) {
        // SAFETY: a map value; the socket is locked, so nobody else changes it meanwhile.
        ports::insert(time_wait, unsafe { &*record });
    }
}

/// Keeps the record under the port too, with the addresses that identify the connection, unless that was done before.
#[inline(never)]
pub(crate) fn remember(sk: *const u8, address: u64) {
    let Some(record) = ports::find(address) else { return };
    // SAFETY: a map value, which only hooks of this socket change.
    let record = unsafe { &mut *record.cast_mut() };
    if record.task.pad == REMEMBERED {
        return;
    }
    record.task.pad = REMEMBERED;
    let mut socket = Socket::default();
    sock::endpoints::<Typed>(sk, &mut socket);
    let mut last = LastOwner {
        assignment: *record,
        // SAFETY: a helper without arguments.
        released_ns: unsafe { bpf_ktime_get_boot_ns() },
        local: socket.local,
        remote: socket.remote,
        remote_port: socket.remote_port,
        family: socket.family,
        pad: 0,
    };
    last.assignment.task.pad = 0;
    // Behind the part of the socket that the verifier knows by type.
    let port = sock::kept_port(address as *const u8);
    let key = key(last.assignment.netns, port, last.assignment.protocol, &socket);
    // LRU: cannot be full.
    let _ = LAST.insert(key, last, 0);
}

/// In a record of `PORTS`: `LAST` has it too.
const REMEMBERED: u32 = 1;

/// Where `LAST` keeps a connection of this port.
#[inline(always)]
pub(crate) fn key(netns: u32, port: u16, protocol: u8, socket: &Socket) -> PortKey {
    // All of an IPv4 address and the end of an IPv6 one: where the connections of one port differ.
    let [a, b, c, d, .., w, x, y, z] = socket.remote;
    let address = u32::from_ne_bytes([a, b, c, d]) ^ u32::from_ne_bytes([w, x, y, z]);
    let mixed = (address ^ u32::from(socket.remote_port)).wrapping_mul(0x9e37_79b1);
    PortKey { netns, port, protocol, slot: (mixed >> 24) as u8 }
}
