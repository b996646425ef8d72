//! Hooks with two programs, so that no event is missed.
//!
//! The kernel skips a program that is already running on the same CPU: for events in an interrupt of it and, where programs
//! are preempted, for those of another task. So there is a stand-in right behind the lead, which does the lead's work
//! for events that the lead was not called for. An event is lost only if both are being run on the CPU when it comes.

use portwatch_common::counter;

use crate::maps::{SEEN, constant, count};

/// A hook that has two programs: its place in `SEEN`.
#[derive(Clone, Copy)]
#[repr(u32)]
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
    CallEnds,
    ProcessExit,
}

/// How many there are.
pub(crate) const HOOKS: u32 = Hook::ProcessExit as u32 + 1;

/// Which of the two programs is running.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Lead,
    StandIn,
}

/// Leaves word, before the work, that the lead was called for this event.
#[inline(always)]
pub(crate) fn seen(hook: Hook, event: u64) {
    if let Some(slot) = SEEN.get_ptr_mut(hook as u32) {
        // SAFETY: the slot belongs to this CPU. Whoever writes it in an interrupt makes the stand-in work once too often,
        // which its work allows for.
        unsafe { *slot = event };
    }
}

/// [`seen`], for a hook that only processes come to: without preemption it has no stand-in.
#[inline(always)]
pub(crate) fn seen_in_process(hook: Hook, event: u64) {
    if constant!(TUNING.preempts) != 0 {
        seen(hook, event);
    }
}

/// Whether the event is the stand-in's, since the lead was not called for it.
#[inline(always)]
pub(crate) fn is_missed(hook: Hook, event: u64) -> bool {
    let Some(slot) = SEEN.get_ptr_mut(hook as u32) else { return false };
    // SAFETY: as in `seen`. The word is used up: the same socket may come again.
    unsafe {
        if *slot == event {
            *slot = 0;
            return false;
        }
    }
    count(counter::STOOD_IN);
    true
}
