//! Hooks with two programs, so that no event is missed.
//!
//! The kernel skips a program that is already running on the same CPU: for events in an interrupt of it and, where programs
//! are preempted, for those of another task. So there is a stand-in right behind the lead, which does the lead's work
//! for events that the lead was not called for. An event is lost only if both are being run on the CPU when it comes.

use core::cell::UnsafeCell;

use aya_ebpf::helpers::bpf_get_smp_processor_id;
use portwatch_common::counter;

use crate::constant::constant;
use crate::maps::count;

/// A hook that has two programs: its word in `SEEN`.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    TimeWait = 0,
    TcpPortEnter,
    TcpPort,
    UdpPortEnter,
    UdpPort,
    Autobind,
    Connect,
    Begins,
    Ends,
    Destroy,
    ProcessExit,
}

/// How many there are.
const HOOKS: usize = Hook::ProcessExit as usize + 1;

/// Which of the two programs is running.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Lead,
    StandIn,
}

/// The last event of each hook on each CPU that the lead was called for; more CPUs than there is room for share.
static SEEN: [Words; 1 << CPU_BITS] = [const { Words([const { UnsafeCell::new(0) }; ROOM]) }; 1 << CPU_BITS];
const CPU_BITS: u32 = 8;
const ROOM: usize = 16;
const _: () = assert!(HOOKS <= ROOM);

/// Longer than the words in use, so that CPUs do not write each other's lines of the cache, wherever the kernel puts the first.
#[repr(C, align(128))]
struct Words([UnsafeCell<u64>; ROOM]);

// SAFETY: words, each read and written whole. Whoever writes over another's makes a stand-in work once too often, which its
// work allows for.
unsafe impl Sync for Words {}

/// Where the lead of this CPU leaves word. A lookup in a table for each CPU takes more instructions.
#[inline(always)]
pub(crate) fn word(hook: Hook) -> Word {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() } as usize;
    Word(SEEN[cpu & (SEEN.len() - 1)].0[hook as usize].get())
}

/// A word that a lead leaves for its stand-in.
///
/// It is looked for before the event is read, which then need not outlast the helper's call in a register.
pub(crate) struct Word(*mut u64);

impl Word {
    /// Leaves word, before the work, that the lead was called for this event.
    #[inline(always)]
    pub(crate) fn leave(self, event: u64) {
        // SAFETY: see `Words`.
        unsafe { self.0.write_volatile(event) };
    }

    /// Whether the event is the stand-in's, since the lead was not called for it.
    #[inline(always)]
    pub(crate) fn misses(self, event: u64) -> bool {
        // SAFETY: see `Words`. The word is used up: the same socket may come again.
        unsafe {
            if self.0.read_volatile() == event {
                self.0.write_volatile(0);
                return false;
            }
        }
        true
    }
}

/// [`Word::leave`], for a hook that only processes come to: without preemption it has no stand-in.
#[inline(always)]
pub(crate) fn seen_in_process(hook: Hook, event: u64) {
    if constant!(tuning.preempts) != 0 {
        word(hook).leave(event);
    }
}

/// Does the lead's work. A function of its own: most often there is none, and then few registers are saved.
#[inline(never)]
pub(crate) fn stand_in(work: impl FnOnce()) {
    count(counter::STOOD_IN);
    work();
}

/// The same of system calls, by thread: one that comes between a lead and its stand-in must not make the stand-in tell once
/// more what the lead has told. Threads whose numbers end in the same bits share a word.
static CALLS_SEEN: Threads = Threads([const { UnsafeCell::new(0) }; 1 << THREAD_BITS]);
const THREAD_BITS: u32 = 13;

struct Threads([UnsafeCell<u64>; 1 << THREAD_BITS]);

// SAFETY: as of `Words`.
unsafe impl Sync for Threads {}

#[inline(always)]
fn word_of(thread: u64) -> Word {
    Word(CALLS_SEEN.0[thread as usize & (CALLS_SEEN.0.len() - 1)].get())
}

/// Leaves word that the lead was called at the end of this thread's call; only where there is a stand-in.
#[inline(always)]
pub(crate) fn call_seen(thread: u64) {
    if constant!(tuning.preempts) != 0 {
        word_of(thread).leave(thread);
    }
}

/// Whether the end of this thread's call is the stand-in's.
#[inline(always)]
pub(crate) fn call_is_missed(thread: u64) -> bool {
    word_of(thread).misses(thread)
}
