//! What the entry of a kernel function knows and its return needs: kept by thread, for as long as the call takes.
//!
//! All of these functions run in the context of the process that asks, and none is entered twice by one thread.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::bucket::{NotKept, Table, bucket_of, shift_of};
use portwatch_common::{Bucket, Call, counter, map::THREAD_BITS, record::how};

use crate::maps::{CALLS, CALLS_SPILL, count};
use crate::table::{MapTable, Maps};
use crate::words;

enum CallsMaps {}

type Calls = Maps<CallsMaps>;

impl MapTable for CallsMaps {
    type Value = Call;
    const BUCKETS: &'static Array<Bucket<Call>> = &CALLS;
    const SPILL: &'static HashMap<u64, Call> = &CALLS_SPILL;

    #[inline(always)]
    fn index(key: u64) -> u32 {
        bucket_of(key, const { shift_of(THREAD_BITS) })
    }

    #[inline(always)]
    fn count_not_kept(_: NotKept) {
        count(counter::CALLS_FULL);
    }
}

/// In read-only memory, from where the helper copies it.
static NEW: Call = Call { sk: 0, port: 0, how: how::AUTOBIND, pad: [0; 5] };

/// The thread enters the function.
#[inline(always)]
pub(crate) fn enter(function: u32, sk: u64, port: u16, how: u8) {
    let key = key(function);
    if Calls::find(key).is_some_and(|call| is_unfinished(call)) {
        count(counter::PROBES_MISSED);
    }
    if let Some(call) = Calls::reserve(key, &NEW) {
        // SAFETY: a map value of this thread.
        unsafe {
            (*call).sk = sk;
            // Port, way and padding are one word.
            words::clear_from(&raw mut (*call).port);
            (*call).port = port;
            (*call).how = how;
        }
    }
}

/// The thread returns from the function: what was kept, if anything.
#[inline(always)]
pub(crate) fn leave(function: u32) -> Option<Call> {
    let key = key(function);
    // SAFETY: a map value of this thread, read by copy.
    let call = unsafe { *Calls::find(key)? };
    Calls::remove(key);
    Some(call)
}

/// Whether the thread is on its way from `inet_autobind` to a port for this socket.
#[inline(always)]
pub(crate) fn is_autobinding(function: u32, sk: u64) -> bool {
    // SAFETY: a map value of this thread, read by copy.
    Calls::find(key(function)).is_some_and(|call| unsafe { (*call).sk == sk && (*call).how == how::AUTOBIND })
}

/// An autobind may end before it asks for a port; of everything else the return was missed.
#[inline(always)]
fn is_unfinished(call: *const Call) -> bool {
    // SAFETY: a map value of this thread.
    unsafe { (*call).how != how::AUTOBIND }
}

/// The thread inside the function, as an even number; not 0 for a processor that idles.
#[inline(always)]
fn key(function: u32) -> u64 {
    bpf_get_current_pid_tgid() << 32 | u64::from(function) << 1 | 1 << 63
}
