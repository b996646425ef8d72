//! Copying and clearing by words.
//!
//! Of a copy of more than a few bytes, and of adjacent zeros, the compiler makes a call that goes by bytes. That takes many times
//! as many instructions, and the verifier goes along.

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Copies a value of whole words.
///
/// # Safety
/// `from` must be readable and `to` writable, both at multiples of a word.
#[inline(always)]
pub(crate) unsafe fn copy<T>(from: *const T, to: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(WORD) && align_of::<T>() == WORD) };
    let (from, to) = (from.cast::<u64>(), to.cast::<u64>());
    for word in 0..size_of::<T>() / WORD {
        // SAFETY: the caller's.
        unsafe { to.add(word).write_volatile(from.add(word).read_volatile()) };
    }
}

/// Makes a value of whole words zero.
///
/// # Safety
/// `of` must be writable, at a multiple of a word; zeros must be a value.
#[inline(always)]
pub(crate) unsafe fn clear<T>(of: *mut T) {
    const { assert!(size_of::<T>().is_multiple_of(WORD) && align_of::<T>() == WORD) };
    for word in 0..size_of::<T>() / WORD {
        // SAFETY: the caller's.
        unsafe { of.cast::<u64>().add(word).write_volatile(0) };
    }
}

/// Makes the word zero that begins with a member, and so the padding at the end of it.
///
/// # Safety
/// `member` must be at a multiple of a word, and the whole word writable.
#[inline(always)]
pub(crate) unsafe fn clear_from<T>(member: *mut T) {
    // SAFETY: the caller's.
    unsafe { member.cast::<u64>().write_volatile(0) };
}
