//! A socket was given a port: remember who asked, how and when.

use core::arch::asm;
use core::mem::MaybeUninit;

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use portwatch_common::bucket::{BucketRef, Slot};
use portwatch_common::{Assignment, ProcessKey, Recent, Task, counter, record::how};

use crate::atomic::Atomic;
use crate::connection::{connection, connects, is_on_port, is_own};
use crate::constant::constant;
use crate::field::{Access, Probed};
use crate::maps::{DATAGRAMS, PROCESS, count, cpu};
use crate::{emit, ports, sctp, sock, task};

const BPF_ANY: u64 = 0;
/// For how long a process that keeps coming is not looked up again.
const STALE_NS: u64 = 1_000_000_000;

/// What an earlier record of the same socket means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// It is out of date: this is a fresh assignment.
    Replace,
    /// It is the true one (a bound socket that connects), unless it belongs to a former life of the same address, or to a
    /// port that the socket has let go meanwhile.
    Keep,
}

/// What a socket was given.
#[derive(Clone, Copy)]
pub(crate) struct Given {
    /// IPPROTO_*.
    pub(crate) protocol: u16,
    /// The port; 0 where the kernel has not chosen yet.
    pub(crate) port: u16,
    /// [`how`].
    pub(crate) how: u8,
}

/// Records that the current task was given a port for the socket `sk`, whose address as a number is `key`.
///
/// In line: where protocol and way are known, all that hangs on them is settled before the program runs.
#[inline(always)]
pub(crate) fn record<A: Access>(sk: *const u8, key: u64, given: Given, earlier: Earlier) {
    counted::<A>(sk, key, given, counter::assigned(given.protocol, given.how) as usize, earlier);
}

/// [`record`], by the index of its counter.
#[inline(always)]
fn counted<A: Access>(sk: *const u8, key: u64, given: Given, counter: usize, earlier: Earlier) {
    let now = now();
    // Always there. To go on without it would be a second path for the verifier through all that follows.
    let Some(here) = cpu() else { return };
    if let Some(counter) = here.counters.get_mut(counter) {
        *counter = counter.wrapping_add(1);
    }
    if let Some(process) = store::<A>(sk, key, given, now, earlier)
        && !is_recent(&here.recent, process, now)
    {
        announce(process.start_ns, process.tgid, now);
    }
}

/// [`record`], for hooks that have other things on their stack, or come to pass less often than connections.
#[inline(never)]
pub(crate) fn record_apart<A: Access>(sk: *const u8, key: u64, given: Given, earlier: Earlier) {
    let mut counter = counter::assigned(given.protocol, given.how) as usize;
    // SAFETY: registers only. The compiler forgets that this is no more than there are counters, which the verifier cannot know,
    // so that it is looked at. It must be an instruction: the kernel refuses two notes of lines about one.
    unsafe { asm!("{counter} = {counter}", counter = inout(reg) counter, options(pure, nomem, nostack)) };
    counted::<A>(sk, key, given, counter, earlier);
}

/// [`record`], where the socket is an address only, and connections do not come by.
#[inline(always)]
pub(crate) fn record_met(sk: *const u8, given: Given, earlier: Earlier) {
    let Given { protocol, port, how } = given;
    let keep = u32::from(earlier == Earlier::Keep);
    record_numbers(sk as u64, u32::from(protocol) << 16 | u32::from(port), u32::from(how), keep);
}

/// A global function: the verifier checks it once, by itself.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn record_numbers(sk: u64, protocol_and_port: u32, how: u32, keep: u32) -> u32 {
    let given =
        Given { protocol: (protocol_and_port >> 16) as u16, port: protocol_and_port as u16, how: how as u8 };
    let earlier = if keep == 0 { Earlier::Replace } else { Earlier::Keep };
    record_apart::<Probed>(sk as *const u8, sk, given, earlier);
    0
}

/// Records a socket that the start-up snapshot met in the open files of `owner`.
#[inline(always)]
pub(crate) fn record_preexisting(sk: *const u8, protocol: u16, port: u16, owner: Task) {
    let assignment = Assignment {
        task: Task { pad: connection::<Probed>(sk), ..owner },
        assigned_ns: 0,
        inode: sock::inode::<Probed>(sk),
        netns: sock::netns::<Probed>(sk),
        port,
        protocol: protocol as u8,
        how: if sock::port_locked(sk) { how::PREEXISTING } else { how::PREEXISTING_CHOSEN },
    };
    count(counter::PREEXISTING);
    let key = sk as u64;
    if is_apart(protocol) {
        return store_apart(key, protocol, &assignment, Earlier::Keep);
    }
    match ports::reserve_unless(key, |record| is_own::<Probed>(record, sk, assignment.inode, port)) {
        Slot::UpToDate => {}
        Slot::Reserved(slot) => {
            // SAFETY: the slot is claimed.
            unsafe { slot.value().write(assignment) };
            slot.publish::<Atomic>(key);
        }
        Slot::Overflow(bucket) => ports::spill(bucket, key, &assignment),
    }
}

/// Whether records of the protocol are not in `PORTS`.
#[inline(always)]
fn is_apart(protocol: u16) -> bool {
    protocol == sock::IPPROTO_SCTP || (sock::is_datagram(protocol) && constant!(tuning.datagrams) != 0)
}

/// Keeps what the current task was given; which process that is, unless it has been announced.
///
/// It is written where it stays, and read last, so that nothing of it has to outlast a call.
#[inline(always)]
fn store<A: Access>(sk: *const u8, key: u64, given: Given, now: u64, earlier: Earlier) -> Option<ProcessKey> {
    if is_apart(given.protocol) {
        let mut apart = MaybeUninit::uninit();
        let written = write::<A>(apart.as_mut_ptr(), sk, given, now, task::write_current);
        store_apart(key, given.protocol, written, earlier);
        return Some(process_key(&written.task));
    }
    let is_known =
        |record: &mut Assignment| earlier == Earlier::Keep && connects::<A>(record, sk, given.port);
    match ports::reserve_unless(key, is_known) {
        Slot::Reserved(slot) => {
            let written = write::<A>(slot.value(), sk, given, now, task::write_current);
            slot.publish::<Atomic>(key);
            return Some(process_key(&written.task));
        }
        Slot::UpToDate => {}
        Slot::Overflow(bucket) => store_beside::<A>(bucket, key, sk, given, now),
    }
    announce_current();
    None
}

/// A function of its own: with much on its stack a program gets one elsewhere, since 6.13, which costs some at each call.
#[inline(never)]
fn store_beside<A: Access>(
    bucket: Option<BucketRef<Assignment>>,
    key: u64,
    sk: *const u8,
    given: Given,
    now: u64,
) {
    let mut beside = MaybeUninit::uninit();
    let written = write::<A>(beside.as_mut_ptr(), sk, given, now, task::write_current_aside);
    ports::spill(bucket, key, written);
}

#[inline(always)]
fn store_apart(key: u64, protocol: u16, assignment: &Assignment, earlier: Earlier) {
    if protocol == sock::IPPROTO_SCTP {
        sctp::note(key, assignment);
    }
    let is_known = |record: &Assignment| {
        earlier == Earlier::Keep && record.inode == assignment.inode && is_on_port(record, assignment.port)
    };
    // SAFETY: a map value, of a socket that the caller has.
    if !DATAGRAMS.get_ptr(key).is_some_and(|record| is_known(unsafe { &*record })) {
        // An LRU table makes room by itself.
        let _ = DATAGRAMS.insert(key, assignment, BPF_ANY);
    }
}

/// Writes that the current task, which `task` writes, was given a port.
#[inline(always)]
fn write<'a, A: Access>(
    to: *mut Assignment,
    sk: *const u8,
    given: Given,
    now: u64,
    task: unsafe fn(*mut Task),
) -> &'a Assignment {
    let Given { protocol, port, how } = given;
    // SAFETY: room for a record, that nobody else reads yet; every member is written.
    unsafe {
        task(&raw mut (*to).task);
        (*to).task.pad = connection::<A>(sk);
        (*to).assigned_ns = now;
        (*to).inode = sock::inode::<A>(sk);
        (*to).netns = sock::netns::<A>(sk);
        (*to).port = port;
        (*to).protocol = protocol as u8;
        (*to).how = how;
        &*to
    }
}

/// Announces the process that runs now.
#[inline(never)]
pub(crate) fn announce_current() {
    let process = process_key(&task::current_aside());
    let now = now();
    if !cpu().is_some_and(|here| is_recent(&here.recent, process, now)) {
        announce(process.start_ns, process.tgid, now);
    }
}

/// Tells user space of the current process once, while it certainly lives, so that the dead keep their names.
///
/// A function of its own, for the sake of its caller's stack.
#[inline(never)]
fn announce(start_ns: u64, tgid: u32, now: u64) {
    let process = ProcessKey { start_ns, tgid, pad: 0 };
    if let Some(here) = cpu() {
        here.recent = Recent { process, asked_ns: now };
    }
    if PROCESS.get_ptr(process).is_some() {
        return;
    }
    // LRU: cannot be full. Losing a race to another thread of the process announces it twice, which is harmless.
    let _ = PROCESS.insert(process, 0, BPF_ANY);
    emit::process();
}

/// Whether this is the process that came last on this CPU, so that it is in `PROCESS` already; a second later that is asked
/// again, which keeps it among those that the table does not drop.
#[inline(always)]
fn is_recent(recent: &Recent, process: ProcessKey, now: u64) -> bool {
    let ProcessKey { start_ns, tgid, .. } = recent.process;
    // Where another task comes between two of the words, they fit neither of the two.
    start_ns == process.start_ns && tgid == process.tgid && now.wrapping_sub(recent.asked_ns) < STALE_NS
}

/// A thread of the current process ends, before its files are closed. The last one to come here ends the process.
#[inline(always)]
pub(crate) fn ended() {
    if let Some(ended_ns) = PROCESS.get_ptr_mut(process_key(&task::current_aside())) {
        // SAFETY: an aligned word of a map value; of several threads that write, any may be the last.
        unsafe { *ended_ns = now() };
    }
}

#[inline(always)]
fn process_key(task: &Task) -> ProcessKey {
    ProcessKey { start_ns: task.start_ns, tgid: task.tgid, pad: 0 }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
