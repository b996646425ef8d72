//! Writing the ring buffer, and counting what found it full.

use aya_ebpf::helpers::bpf_probe_read_user_buf;
use aya_ebpf::helpers::generated::bpf_probe_read_user;
use portwatch_common::identity::{belongs_to_socket, belongs_to_time_wait};
use portwatch_common::{
    Assignment, Holder, Process, Socket, counter,
    record::{ARGV_BYTES, found_by, tag},
};

use crate::field::{Probed, field};
use crate::maps::{DATAGRAMS, EVENTS, count};
use crate::walk::Outcome;
use crate::{connection, last, ports, sock, task, words};

/// Holders wait for the refusal that closes their group.
const NO_WAKEUP: u64 = 1;
/// The kernel's adaptive wake-up only fires for a reader that has caught up, which a silent holder prevents.
pub(crate) const WAKEUP: u64 = 2;

/// Announces the current process with its arguments.
#[inline(never)]
pub(crate) fn process() {
    let Some(mut entry) = EVENTS.reserve::<Process>(0) else {
        count(counter::PROCESSES_LOST);
        return;
    };
    let process = entry.as_mut_ptr();
    // SAFETY: the entry is ours until submitted, and every byte of it is written here.
    unsafe {
        (*process).tag = tag::PROCESS;
        task::write_current_aside(&raw mut (*process).task);
        words::clear((&raw mut (*process).argv).cast::<[u64; ARGV_BYTES / 8]>());
        (*process).argv_len = arguments(&raw mut (*process).argv);
    }
    entry.submit(WAKEUP);
}

/// Copies the arguments of the current process; returns how many bytes. Pages that are not in memory read as nothing.
#[inline(always)]
unsafe fn arguments(into: *mut [u8; ARGV_BYTES]) -> u32 {
    let mm: u64 = field!(Probed, task::current_address(), task_mm);
    if mm == 0 {
        return 0;
    }
    let start: u64 = field!(Probed, mm as *const u8, mm_arg_start);
    let end: u64 = field!(Probed, mm as *const u8, mm_arg_end);
    let length = end.wrapping_sub(start);
    if length >= ARGV_BYTES as u64 {
        // SAFETY: the helper checks the user address; the buffer is a whole ring entry's array.
        let read = unsafe { bpf_probe_read_user_buf(start as *const u8, &mut *into) };
        return if read.is_ok() { ARGV_BYTES as u32 } else { 0 };
    }
    // The mask tells older verifiers what the comparison above already says.
    let length = length as u32 & (ARGV_BYTES as u32 - 1);
    // SAFETY: as above, and `length` is less than the array.
    let failed = unsafe { bpf_probe_read_user(into.cast(), length, start as *const _) };
    if failed == 0 { length } else { 0 }
}

/// Sends the socket at the address `sk`, met in the port table of namespace `netns`, with its assignment. Returns the
/// number of records sent, 0 where the socket is on another port after all, or [`Outcome::LOST`].
///
/// A global function, like the walks that call it.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn send_holder(sk: u64, refusal: u64, netns: u32, port: u32) -> u64 {
    let sk = sk as *const u8;
    let number: u16 = field!(Probed, sk, skc_num);
    if u32::from(number) != port || sock::netns::<Probed>(sk) != netns {
        return 0;
    }
    let Some(mut entry) = EVENTS.reserve::<Holder>(0) else {
        count(counter::HOLDERS_LOST);
        return Outcome::LOST;
    };
    // SAFETY: the entry is ours until submitted, and `meet` writes every byte of it.
    let holder = unsafe { &mut *entry.as_mut_ptr() };
    meet(sk, found_by::WALK, holder);
    holder.refusal = refusal;
    // No lock is held: the socket may have released the port, and its address may be another's by now.
    if u32::from(holder.socket.local_port) != port || holder.socket.netns != netns {
        entry.discard(NO_WAKEUP);
        return 0;
    }
    let is_unowned = holder.has_assignment == 0 && holder.socket.state == sock::TCP_TIME_WAIT;
    entry.submit(NO_WAKEUP);
    if is_unowned { 1 + last_owner(sk, refusal, number) } else { 1 }
}

/// Writes everything known of a socket and its assignment.
#[inline(always)]
pub(crate) fn meet(sk: *const u8, found_by: u8, holder: &mut Holder) {
    holder.tag = tag::HOLDER;
    holder.found_by = found_by;
    holder.pad = 0;
    holder.refusal = 0;
    holder.released_ns = 0;
    sock::describe(sk, &mut holder.socket);
    // Before the record: what the socket is now must not prove a record of later.
    let connection = expected(sk, holder.socket.state);
    // SAFETY: integers.
    unsafe { words::clear(&raw mut holder.assignment) };
    let is_known =
        ports::copy(sk as u64, &mut holder.assignment) || datagram(sk as u64, &mut holder.assignment);
    let is_own = belongs_to_socket(&holder.socket, &holder.assignment, connection);
    holder.has_assignment = is_known as u8 & is_own as u8;
    holder.assignment.task.pad = 0;
}

/// Copies the record of a socket whose release is not seen; whether there is one.
#[inline(always)]
fn datagram(sk: u64, into: &mut Assignment) -> bool {
    let Some(record) = DATAGRAMS.get_ptr(sk) else { return false };
    // SAFETY: a map value, read by copy.
    unsafe { words::copy(record, into) };
    true
}

/// What a record has in `task.pad` if it is this socket's.
#[inline(always)]
fn expected(sk: *const u8, state: u8) -> u32 {
    let (of_time_wait, of_others) =
        (sock::snd_nxt_of_time_wait::<Probed>(sk), connection::connection::<Probed>(sk));
    let is_time_wait = u32::from(state == sock::TCP_TIME_WAIT).wrapping_neg();
    of_time_wait & is_time_wait | of_others & !is_time_wait
}

/// Sends the record that `LAST` keeps for a TIME_WAIT socket. Returns the number of records sent.
#[inline(always)]
fn last_owner(tw: *const u8, refusal: u64, port: u16) -> u64 {
    let mut socket = Socket::default();
    sock::endpoints::<Probed>(tw, &mut socket);
    send_last(&socket, sock::netns::<Probed>(tw), port, refusal, sock::snd_nxt_of_time_wait::<Probed>(tw), 0)
}

/// Sends the record of a socket without a connection that was closed on this port since `since_ns`: the kernel may have met it,
/// and the walk no longer does. Returns the number of records sent.
///
/// A global function, like the walks.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn send_closed(netns: u32, port: u32, refusal: u64, since_ns: u64) -> u64 {
    send_last(&Socket::default(), netns, port as u16, refusal, 0, since_ns)
}

#[inline(always)]
fn send_last(socket: &Socket, netns: u32, port: u16, refusal: u64, snd_nxt: u32, since_ns: u64) -> u64 {
    let Some(mut entry) = EVENTS.reserve::<Holder>(0) else {
        count(counter::HOLDERS_LOST);
        return 0;
    };
    // SAFETY: a ring entry that is ours until submitted; every byte is written.
    let holder = unsafe { &mut *entry.as_mut_ptr() };
    if write_last(socket, netns, port, snd_nxt, holder) && holder.released_ns >= since_ns {
        holder.refusal = refusal;
        entry.submit(NO_WAKEUP);
        1
    } else {
        entry.discard(NO_WAKEUP);
        0
    }
}

/// Writes what `LAST` keeps of a closed socket; whether it has it.
#[inline(always)]
fn write_last(socket: &Socket, netns: u32, port: u16, snd_nxt: u32, holder: &mut Holder) -> bool {
    // SAFETY: integers.
    unsafe { words::clear(&raw mut *holder) };
    holder.tag = tag::HOLDER;
    holder.found_by = found_by::LAST;
    holder.has_assignment = 1;
    holder.socket.local_port = port;
    holder.socket.netns = netns;
    holder.socket.protocol = sock::IPPROTO_TCP;
    let key = last::key(netns, port, socket, snd_nxt);
    let Some(found) = last::find(key) else { return false };
    // SAFETY: a map value.
    let last = unsafe { &*found };
    // SAFETY: both are there.
    unsafe { words::copy(&raw const last.assignment, &raw mut holder.assignment) };
    holder.released_ns = last.released_ns;
    holder.socket.local = last.local;
    holder.socket.remote = last.remote;
    holder.socket.remote_port = last.remote_port;
    holder.socket.family = u16::from(last.family);
    holder.socket.state = last.state;
    // Without a connection any address may be meant: user space compares it with the requested one.
    let is_own = socket.remote_port == 0 || belongs_to_time_wait(last, socket, netns, port, snd_nxt);
    is_own && last::find(key) == Some(found)
}

/// Sends a holder that a verdict hook has already written down. Returns whether the ring took it.
#[inline(always)]
pub(crate) fn verdict(holder: &Holder) -> bool {
    if EVENTS.output::<Holder>(holder, NO_WAKEUP).is_err() {
        count(counter::HOLDERS_LOST);
        return false;
    }
    true
}
