//! A socket was given a port: remember who asked, how and when.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use portwatch_common::{Assignment, ProcessKey, Task, counter, record::how};

use crate::field::Access;
use crate::maps::{DATAGRAMS, PORTS, PROCESS, constant, count};
use crate::{emit, sctp, sock, task};

const BPF_ANY: u64 = 0;
const BPF_NOEXIST: u64 = 1;
const EEXIST: i32 = -17;

/// What an earlier record of the same socket means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// It is out of date: this is a fresh assignment.
    Replace,
    /// It is the true one (a bound socket that connects), unless it belongs to a former life of the same address.
    Keep,
}

/// Records that the current task was given `port` for the socket `sk`.
#[inline(never)]
pub(crate) fn record<A: Access>(sk: *const u8, protocol: u16, port: u16, how: u8, earlier: Earlier) {
    let assignment = Assignment {
        task: task::current(),
        // SAFETY: a helper without arguments.
        assigned_ns: unsafe { bpf_ktime_get_boot_ns() },
        inode: sock::inode::<A>(sk),
        netns: sock::netns::<A>(sk),
        port,
        protocol: protocol as u8,
        how,
    };
    count(counter::assigned(protocol, how));
    store(sk as u64, protocol, &assignment, earlier);
    announce(&assignment.task);
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
    if is_sctp || constant!(TUNING.datagrams) != 0 && sock::is_datagram(protocol) {
        let flags = if earlier == Earlier::Keep { BPF_NOEXIST } else { BPF_ANY };
        // An LRU table makes room by itself; EEXIST is the wanted outcome of `Keep`.
        let _ = DATAGRAMS.insert(key, assignment, flags);
        return;
    }
    if earlier == Earlier::Replace {
        if PORTS.insert(key, assignment, BPF_ANY).is_err() {
            count(counter::PORTS_FULL);
        }
        return;
    }
    match PORTS.insert(key, assignment, BPF_NOEXIST) {
        Ok(()) => {}
        Err(EEXIST) => replace_stale(key, assignment),
        Err(_) => count(counter::PORTS_FULL),
    }
}

/// Socket addresses are reused at once: a record with another inode is from a former life.
#[inline(always)]
fn replace_stale(key: u64, assignment: &Assignment) {
    if let Some(record) = PORTS.get_ptr(key) {
        // SAFETY: a map value, read by copy.
        let inode = unsafe { (*record).inode };
        if inode != assignment.inode && inode != 0 {
            // Replacing an existing element cannot find the table full.
            let _ = PORTS.insert(key, assignment, BPF_ANY);
        }
    }
}

/// Announces the process that runs now. A function of its own, for the sake of its caller's stack.
#[inline(never)]
pub(crate) fn announce_current() {
    announce(&task::current());
}

/// Tells user space of a process once, while it certainly lives, so that the dead keep their names.
#[inline(always)]
fn announce(task: &Task) {
    let key = key(task);
    if PROCESS.get_ptr(key).is_some() {
        return;
    }
    // LRU: cannot be full. Losing a race to another thread of the process announces it twice, which is harmless.
    let _ = PROCESS.insert(key, 0, BPF_ANY);
    emit::process(task);
}

/// A thread of the current process ends, before its files are closed. The last one to come here ends the process.
#[inline(always)]
pub(crate) fn ended() {
    if let Some(ended_ns) = PROCESS.get_ptr_mut(key(&task::current())) {
        // SAFETY: an aligned word of a map value; of several threads that write, any may be the last. A helper without
        // arguments.
        unsafe { *ended_ns = bpf_ktime_get_boot_ns() };
    }
}

#[inline(always)]
fn key(task: &Task) -> ProcessKey {
    ProcessKey { start_ns: task.start_ns, tgid: task.tgid, pad: 0 }
}
