//! A socket was given a port: remember who asked, how and when.

use core::arch::asm;

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use portwatch_common::{Assignment, Cpu, ProcessKey, Recent, Task, counter, record::how};

use crate::field::Access;
use crate::maps::{DATAGRAMS, PROCESS, constant, count, cpu};
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
    let Given { protocol, port, how } = given;
    let now = now();
    let assignment = Assignment {
        task: task::current(),
        assigned_ns: now,
        inode: sock::inode::<A>(sk),
        netns: sock::netns::<A>(sk),
        port,
        protocol: protocol as u8,
        how,
    };
    let mut here = cpu();
    if let Some(counter) = here.as_mut().and_then(|cpu| cpu.counters.get_mut(counter)) {
        *counter = counter.wrapping_add(1);
    }
    store(key, protocol, &assignment, earlier);
    announce(here, &assignment.task, now);
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

/// Records a socket that the start-up snapshot met in the open files of `owner`.
#[inline(always)]
pub(crate) fn record_preexisting(sk: *const u8, protocol: u16, port: u16, owner: Task) {
    let assignment = Assignment {
        task: owner,
        assigned_ns: 0,
        inode: sock::inode::<crate::field::Probed>(sk),
        netns: sock::netns::<crate::field::Probed>(sk),
        port,
        protocol: protocol as u8,
        how: if sock::port_locked(sk) { how::PREEXISTING } else { how::PREEXISTING_CHOSEN },
    };
    count(counter::PREEXISTING);
    store(sk as u64, protocol, &assignment, Earlier::Keep);
}

#[inline(always)]
fn store(key: u64, protocol: u16, assignment: &Assignment, earlier: Earlier) {
    let is_sctp = protocol == sock::IPPROTO_SCTP;
    if is_sctp {
        sctp::note(key, assignment);
    }
    let is_known = |record: &Assignment| earlier == Earlier::Keep && is_true(record, assignment);
    if !is_sctp && (!sock::is_datagram(protocol) || constant!(TUNING.datagrams) == 0) {
        return ports::insert_unless(key, assignment, is_known);
    }
    // SAFETY: a map value, of a socket that the caller has.
    if !DATAGRAMS.get_ptr(key).is_some_and(|record| is_known(unsafe { &*record })) {
        // An LRU table makes room by itself.
        let _ = DATAGRAMS.insert(key, assignment, BPF_ANY);
    }
}

/// Whether the record found at a socket's address is the socket's own. Addresses are reused at once: another inode is from a
/// former life; and a socket that was disconnected has another port.
#[inline(always)]
fn is_true(record: &Assignment, assignment: &Assignment) -> bool {
    (record.inode == assignment.inode || record.inode == 0)
        && (record.port == assignment.port || record.port == 0)
}

/// Announces the process that runs now. A function of its own, for the sake of its caller's stack.
#[inline(never)]
pub(crate) fn announce_current() {
    announce(cpu(), &task::current(), now());
}

/// Tells user space of a process once, while it certainly lives, so that the dead keep their names.
#[inline(always)]
fn announce(here: Option<&mut Cpu>, task: &Task, now: u64) {
    let key = key(task);
    if here.is_some_and(|cpu| is_recent(&mut cpu.recent, key, now)) || PROCESS.get_ptr(key).is_some() {
        return;
    }
    // LRU: cannot be full. Losing a race to another thread of the process announces it twice, which is harmless.
    let _ = PROCESS.insert(key, 0, BPF_ANY);
    emit::process(task);
}

/// Whether this is the process that came last on this CPU, so that it is in `PROCESS` already; a second later that is asked
/// again, which keeps it among those that the table does not drop.
#[inline(always)]
fn is_recent(recent: &mut Recent, key: ProcessKey, now: u64) -> bool {
    // Where another task comes between two of the words, they fit neither of the two.
    if recent.process == key && now.wrapping_sub(recent.asked_ns) < STALE_NS {
        return true;
    }
    *recent = Recent { process: key, asked_ns: now };
    false
}

/// A thread of the current process ends, before its files are closed. The last one to come here ends the process.
#[inline(always)]
pub(crate) fn ended() {
    if let Some(ended_ns) = PROCESS.get_ptr_mut(key(&task::current())) {
        // SAFETY: an aligned word of a map value; of several threads that write, any may be the last.
        unsafe { *ended_ns = now() };
    }
}

#[inline(always)]
fn key(task: &Task) -> ProcessKey {
    ProcessKey { start_ns: task.start_ns, tgid: task.tgid, pad: 0 }
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
