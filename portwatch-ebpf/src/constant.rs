//! Numbers that user space puts into the instructions: see [`portwatch_common::marks`].

use core::arch::asm;
use core::hint::assert_unchecked;

use portwatch_common::marks;

/// The number that lies `PLACE` bytes into [`portwatch_common::Constants`].
#[inline(always)]
pub(crate) fn number<const PLACE: usize>() -> u32 {
    let number: u64;
    // SAFETY: registers only. User space puts in 32 bits, and zeros above them.
    unsafe {
        asm!(
            "{number} = {mark} ll",
            number = out(reg) number,
            mark = const marks::number(PLACE),
            options(pure, nomem, nostack, preserves_flags),
        );
        assert_unchecked(number <= u32::MAX as u64);
    }
    number as u32
}

/// A word without its lowest bits, as many as the number says that lies `PLACE` bytes into the constants; less than 64.
///
/// Of one instruction: not every processor can shift by what is in a register of our choice.
#[inline(always)]
pub(crate) fn shifted<const PLACE: usize>(mut word: u64) -> u64 {
    // SAFETY: registers only.
    unsafe {
        asm!(
            "{word} >>= {mark}",
            word = inout(reg) word,
            mark = const marks::number(PLACE),
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    word
}

/// The place of a constant.
macro_rules! place {
    ($($name:ident).+) => { core::mem::offset_of!(portwatch_common::Constants, $($name).+) };
}
pub(crate) use place;

/// A constant, as a number that the compiler does not know.
macro_rules! constant {
    ($($name:ident).+) => { $crate::constant::number::<{ $crate::constant::place!($($name).+) }>() };
}
pub(crate) use constant;
