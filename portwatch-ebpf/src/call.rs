//! What the entry of a kernel function knows and its return needs: kept by thread, for as long as the call takes.
//!
//! All of these functions run in the context of the process that asks, and none is entered twice by one thread.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_common::{Call, CallKey, counter, record::how};

use crate::maps::{CALLS, count};

/// The thread enters the function.
#[inline(always)]
pub(crate) fn enter(function: u32, sk: u64, port: u16, how: u8) {
    let key = key(function);
    if CALLS.get_ptr(key).is_some_and(is_unfinished) {
        count(counter::PROBES_MISSED);
    }
    let call = Call { sk, port, how, pad: [0; 5] };
    if CALLS.insert(key, call, 0).is_err() {
        count(counter::CALLS_FULL);
    }
}

/// The thread returns from the function: what was kept, if anything.
#[inline(always)]
pub(crate) fn leave(function: u32) -> Option<Call> {
    let key = key(function);
    // SAFETY: a map value of this thread, read by copy.
    let call = unsafe { *CALLS.get_ptr(key)? };
    // It was there a moment ago, and nobody but this thread removes it.
    let _ = CALLS.remove(key);
    Some(call)
}

/// Whether the thread is on its way from `inet_autobind` to a port for this socket.
#[inline(always)]
pub(crate) fn is_autobinding(function: u32, sk: u64) -> bool {
    // SAFETY: a map value of this thread, read by copy.
    CALLS
        .get_ptr(key(function))
        .is_some_and(|call| unsafe { (*call).sk == sk && (*call).how == how::AUTOBIND })
}

/// An autobind may end before it asks for a port; of everything else the return was missed.
#[inline(always)]
fn is_unfinished(call: *const Call) -> bool {
    // SAFETY: a map value of this thread.
    unsafe { (*call).how != how::AUTOBIND }
}

#[inline(always)]
fn key(function: u32) -> CallKey {
    CallKey { tid: bpf_get_current_pid_tgid() as u32, function }
}
