//! A socket let go of its port, or handed it to its TIME_WAIT stand-in.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use portwatch_common::{LastOwner, Socket};

use crate::field::Typed;
use crate::maps::DATAGRAMS;
use crate::{last, ports, sock};

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
    if socket.remote_port == 0 {
        // Never connected: it leaves nothing behind.
        return;
    }
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
    last.assignment.port = sock::kept_port(address as *const u8);
    last::keep(last::key(last.assignment.netns, last.assignment.port, &socket), &last);
}

/// In a record of `PORTS`: `LAST` has it too.
const REMEMBERED: u32 = 1;
