//! The bind() or listen() that a thread is inside: noted at its beginning, completed on the way, dropped at its end.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use portwatch_common::{Attempt, counter};

use crate::maps::{ATTEMPTS, count};

/// In read-only memory, from where the helper copies it.
static NEW: Attempt = Attempt::NEW;

/// Begins to follow a call of this thread; `None`, counted, where too many are followed already.
#[inline(always)]
pub(crate) fn begin<'a>() -> Option<&'a mut Attempt> {
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "by value it would be copied over the small stack"
    )]
    let inserted = ATTEMPTS.insert(bpf_get_current_pid_tgid(), &NEW, 0);
    if inserted.is_err() {
        count(counter::ATTEMPTS_FULL);
        return None;
    }
    current()
}

/// The call that this thread is inside, where hooks follow it.
#[inline(always)]
pub(crate) fn current<'a>() -> Option<&'a mut Attempt> {
    let attempt = ATTEMPTS.get_ptr_mut(bpf_get_current_pid_tgid())?;
    // SAFETY: the entry belongs to this thread, which is inside the followed call.
    Some(unsafe { &mut *attempt })
}

/// The call is over.
#[inline(always)]
pub(crate) fn end() {
    // Absent where the table was full.
    let _ = ATTEMPTS.remove(bpf_get_current_pid_tgid());
}
