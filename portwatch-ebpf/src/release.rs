//! A socket released its port, or left it to its TIME_WAIT socket.

use core::mem::MaybeUninit;

use portwatch_common::bucket::{BucketRef, Slot};
use portwatch_common::{Assignment, LastOwner, Socket};

use crate::atomic::Atomic;
use crate::field::{Access, Typed};
use crate::maps::DATAGRAMS;
use crate::{connection, last, ports, sock, words};

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

/// The kernel replaces the socket `sk` by the TIME_WAIT one `tw`; their addresses as numbers are `from` and `to`. That keeps the port
/// and has no owner.
#[inline(always)]
pub(crate) fn moved_to_time_wait<A: Access>(sk: *const u8, from: u64, tw: *const u8, to: u64) {
    // SAFETY: a map value; the socket is locked, so no other CPU changes its record.
    let is_own = |record: *mut Assignment| unsafe { (*record).task.pad } == connection::connection::<A>(sk);
    let Some(record) = ports::find(from).filter(|record| is_own(*record)) else {
        // What is there is of an earlier TIME_WAIT socket at this address, whose release was skipped.
        ports::remove(to);
        return;
    };
    let snd_nxt = sock::snd_nxt_of_time_wait::<A>(tw);
    match ports::reserve_unless(to, |_| false) {
        Slot::UpToDate => {}
        Slot::Reserved(slot) => {
            // SAFETY: the slot is claimed; the socket is locked, so no other CPU changes its record.
            unsafe { copy_to_time_wait(record, slot.value(), snd_nxt) };
            slot.publish::<Atomic>(to);
        }
        Slot::Overflow(bucket) => spill_time_wait(bucket, to, record, snd_nxt),
    }
}

/// # Safety
/// `record` must be readable and `to` writable.
#[inline(always)]
unsafe fn copy_to_time_wait(record: *const Assignment, to: *mut Assignment, snd_nxt: u32) {
    // SAFETY: required of the caller.
    unsafe {
        words::copy(record, to);
        (*to).task.pad = snd_nxt;
    }
}

/// A function of its own, for the sake of its caller's stack.
#[inline(never)]
fn spill_time_wait(bucket: Option<BucketRef<Assignment>>, key: u64, record: *const Assignment, snd_nxt: u32) {
    let mut copy = MaybeUninit::<Assignment>::uninit();
    // SAFETY: a record, and room for one, which is written.
    let copy = unsafe {
        copy_to_time_wait(record, copy.as_mut_ptr(), snd_nxt);
        copy.assume_init_ref()
    };
    ports::spill(bucket, key, copy);
}

/// Keeps the record of a socket that is closed under its port too, with what identifies the connection, unless that was done.
/// `state` is TIME_WAIT if the kernel may have made such a socket of it, else CLOSE.
#[inline(never)]
pub(crate) fn remember(sk: *const u8, address: u64, state: u8) {
    let Some(record) = ports::find(address) else { return };
    // SAFETY: a map value that only hooks of this socket change.
    let record = unsafe { &mut *record };
    // Odd: done already. Another connection: the record of an earlier socket at this address.
    if record.task.pad != connection::connection::<Typed>(sk) {
        return;
    }
    // Behind the part of the socket that the verifier knows by type.
    let port = sock::kept_port(address as *const u8);
    if port == 0 {
        // It never had one.
        return;
    }
    record.task.pad |= REMEMBERED;
    let mut socket = Socket::default();
    sock::endpoints::<Typed>(sk, &mut socket);
    let has_connection = socket.remote_port != 0;
    let snd_nxt = if has_connection { sock::snd_nxt(address as *const u8) } else { 0 };
    let mut last = LastOwner {
        assignment: *record,
        released_ns: last::now(),
        local: socket.local,
        remote: socket.remote,
        remote_port: socket.remote_port,
        family: socket.family as u8,
        state,
        snd_nxt,
    };
    last.assignment.task.pad = 0;
    last.assignment.port = port;
    last::keep(last::key(last.assignment.netns, port, &socket, snd_nxt), &last);
}

/// In the connection of a record in `PORTS`: `LAST` has the record too.
const REMEMBERED: u32 = 1;
