//! The bind() or listen() that a thread is inside: noted at its beginning, completed on the way, dropped at its end.

use core::ptr;

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::bucket::{NotKept, Table, bucket_of, shift_of};
use portwatch_common::{Attempt, Bucket, counter, map::THREAD_BITS};

use crate::maps::{ATTEMPTS, ATTEMPTS_SPILL, count};
use crate::table::{MapTable, Maps};
use crate::words;

enum AttemptsMaps {}

type Attempts = Maps<AttemptsMaps>;

impl MapTable for AttemptsMaps {
    type Value = Attempt;
    const BUCKETS: &'static Array<Bucket<Attempt>> = &ATTEMPTS;
    const SPILL: &'static HashMap<u64, Attempt> = &ATTEMPTS_SPILL;

    #[inline(always)]
    fn index(key: u64) -> u32 {
        bucket_of(key, const { shift_of(THREAD_BITS) })
    }

    #[inline(always)]
    fn count_not_kept(_: NotKept) {
        count(counter::ATTEMPTS_FULL);
    }
}

/// In read-only memory, from where the helper copies it.
static NEW: Attempt = Attempt::NEW;

/// Begins to follow a call of this thread; `None`, counted, where too many are followed already.
#[inline(always)]
pub(crate) fn begin<'a>() -> Option<&'a mut Attempt> {
    let attempt = Attempts::reserve(key(), &NEW)?;
    // SAFETY: the entry belongs to this thread, which is inside the followed call.
    let attempt = unsafe { &mut *attempt };
    for has in [&mut attempt.has_address, &mut attempt.has_by_address, &mut attempt.has_by_rule] {
        // SAFETY: a member. Of three plain zeros the compiler makes a call.
        unsafe { ptr::from_mut(has).write_volatile(0) };
    }
    // SAFETY: a word each.
    unsafe {
        words::clear_from(&raw mut attempt.compared);
        words::clear_from(&raw mut attempt.judged);
    }
    Some(attempt)
}

/// The call that this thread is inside, where hooks follow it.
#[inline(always)]
pub(crate) fn current<'a>() -> Option<&'a mut Attempt> {
    let attempt = Attempts::find(key())?;
    // SAFETY: as in `begin`.
    Some(unsafe { &mut *attempt })
}

/// The call is over.
#[inline(always)]
pub(crate) fn end() {
    // Absent where the table was full.
    Attempts::remove(key());
}

/// The thread, as an even number; not 0 for a processor that idles. Process ids have 22 bits.
#[inline(always)]
fn key() -> u64 {
    bpf_get_current_pid_tgid() << 1 | 1 << 63
}
