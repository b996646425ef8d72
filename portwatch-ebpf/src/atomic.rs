//! The two atomic operations that `PORTS` needs. rustc knows none for this target, whose kernels have them since 5.12.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};

/// Puts `new` where `old` is; whether it was there.
///
/// # Safety
/// `place` must be an aligned word of a map value.
#[inline(always)]
pub(crate) unsafe fn claim(place: *mut u64, old: u64, new: u64) -> bool {
    // SAFETY: the caller's.
    unsafe {
        atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(place, old, new).0 == old
    }
}

/// Puts `new` there, after everything that was written before.
///
/// # Safety
/// As of [`claim`].
#[inline(always)]
pub(crate) unsafe fn publish(place: *mut u64, new: u64) {
    // SAFETY: the caller's.
    unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(place, new) };
}

/// Adds to a word that other CPUs add to too.
///
/// # Safety
/// As of [`claim`].
#[inline(always)]
pub(crate) unsafe fn add(place: *mut u64, much: u64) {
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(place, much) };
}
