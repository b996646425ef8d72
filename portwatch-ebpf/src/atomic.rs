//! The atomic operations that the tables need. rustc has none for this target, whose kernels have them since 5.12.

use core::arch::asm;
use core::hint::assert_unchecked;
use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};

use portwatch_common::bucket::{WAYS, Words};

/// Words of map values.
pub(crate) enum Atomic {}

impl Words for Atomic {
    #[inline(always)]
    unsafe fn claim(word: *mut u64, old: u64, new: u64) -> bool {
        // SAFETY: required of the caller.
        unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(word, old, new).0
                == old
        }
    }

    #[inline(always)]
    unsafe fn publish(word: *mut u64, new: u64) {
        // SAFETY: required of the caller.
        unsafe { atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(word, new) };
    }

    #[inline(always)]
    unsafe fn add(word: *mut u64, amount: u64) {
        // SAFETY: required of the caller.
        unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(word, amount) };
    }

    /// The verifier does not know which slot it is afterwards: it follows the code after it once, not once for each slot. To it
    /// `found` and `expected` differ.
    #[inline(always)]
    fn hide_index(mut way: usize, mut found: u64, expected: u64) -> usize {
        const { assert!(WAYS == 4) };
        // SAFETY: registers only.
        unsafe {
            asm!(
                "{found} ^= {expected}",
                "{way} += {found}",
                // Last: 6.1 knows nothing of the result of most other operations on an unknown number.
                "{way} &= 3",
                way = inout(reg) way,
                found = inout(reg) found,
                expected = in(reg) expected,
                options(pure, nomem, nostack),
            );
            assert_unchecked(way < WAYS);
        }
        let _ = found;
        way
    }
}
