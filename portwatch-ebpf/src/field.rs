//! Reading kernel memory: as plain loads through typed pointers, or through `bpf_probe_read_kernel`.

use core::arch::asm;
use core::hint::assert_unchecked;
use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use portwatch_common::marks::MARK;
use portwatch_common::offsets::ABSENT;

use crate::constant;

/// A way to read a `T` that lies `offset` bytes behind `base`.
pub(crate) trait Access {
    /// The value; zero where it cannot be read.
    fn read<T: Copy + Default>(base: *const u8, offset: u32) -> T;

    /// The same for the field whose offset is `FIELD` bytes into [`portwatch_common::Offsets`], and `WORDS` words more.
    fn field<T: Copy + Default, const FIELD: usize, const WORDS: usize>(base: *const u8) -> T;
}

/// A load that user space completes: see [`portwatch_common::marks`].
macro_rules! marked_load {
    ($size:literal, $base:ident, $value:ident, $field:ident, $words:ident) => {
        asm!(
            concat!("{value} = *(", $size, " *)({base} + {mark})"),
            value = out(reg) $value,
            base = in(reg) $base,
            mark = const MARK.of($field, $words),
            options(pure, readonly, nostack, preserves_flags),
        )
    };
}

/// For pointers that the verifier knows by type: arguments of fentry, fexit and tp_btf programs, and what they lead to.
/// A bad pointer reads as zero, by the kernel's exception table.
pub(crate) struct Typed;

/// For any address; works in every program type.
pub(crate) struct Probed;

impl Access for Typed {
    #[inline(always)]
    fn read<T: Copy + Default>(base: *const u8, offset: u32) -> T {
        // SAFETY: the verifier refuses the program unless this load is in bounds of the pointer's type.
        unsafe { core::ptr::read_volatile(base.add(offset as usize).cast()) }
    }

    #[inline(always)]
    fn field<T: Copy + Default, const FIELD: usize, const WORDS: usize>(base: *const u8) -> T {
        let value: u64;
        // SAFETY: as in `read`, once user space has put the offset in place of the mark. Otherwise it would be two loads and
        // an addition more. The value is as long as `T`, from the lowest byte.
        unsafe {
            match size_of::<T>() {
                1 => marked_load!("u8", base, value, FIELD, WORDS),
                2 => marked_load!("u16", base, value, FIELD, WORDS),
                4 => marked_load!("u32", base, value, FIELD, WORDS),
                _ => marked_load!("u64", base, value, FIELD, WORDS),
            }
            // All loads leave zeros above what they read.
            assert_unchecked(size_of::<T>() == 8 || value >> (8 * (size_of::<T>() & 7)) == 0);
            core::mem::transmute_copy(&value)
        }
    }
}

impl Access for Probed {
    #[inline(always)]
    fn read<T: Copy + Default>(base: *const u8, offset: u32) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper checks the address and writes the whole value, zeros where it cannot be read. So there is
        // no branch on its result, which would double the verifier's work at every field.
        unsafe {
            probe(value.as_mut_ptr(), base, offset);
            value.assume_init()
        }
    }

    #[inline(always)]
    fn field<T: Copy + Default, const FIELD: usize, const WORDS: usize>(base: *const u8) -> T {
        Self::read(base, constant::number::<FIELD>() + WORDS as u32 * 8)
    }
}

/// Copies a `T` from kernel memory to `into`, without a detour over the stack.
///
/// # Safety
/// `into` must be writable.
#[inline(always)]
pub(crate) unsafe fn probe<T>(into: *mut T, base: *const u8, offset: u32) {
    // SAFETY: the helper checks the source; the caller vouches for the target.
    unsafe {
        bpf_probe_read_kernel(into.cast(), size_of::<T>() as u32, base.wrapping_add(offset as usize).cast())
    };
}

/// Copies a field of `base` to a place of the same type.
macro_rules! fill {
    ($place:expr, $base:expr, $name:ident) => {
        // SAFETY: the place is a field that we may write.
        unsafe { $crate::field::probe(&raw mut $place, $base, $crate::constant::constant!(offsets.$name)) }
    };
}
pub(crate) use fill;

/// Reads a field of `base` at the offset that user space found for it.
macro_rules! field {
    ($access:ty, $base:expr, $name:ident) => {
        field!($access, $base, $name, 0)
    };
    ($access:ty, $base:expr, $name:ident, $words:literal) => {
        <$access as $crate::field::Access>::field::<_, { $crate::constant::place!(offsets.$name) }, $words>(
            $base,
        )
    };
}
pub(crate) use field;

/// Whether the running kernel has the field.
macro_rules! present {
    ($name:ident) => {
        $crate::constant::constant!(offsets.$name) != portwatch_common::offsets::ABSENT
    };
}
pub(crate) use present;

/// An argument of a typed hook as a plain number: what is a key, or goes to a global function, is no typed pointer.
#[inline(always)]
pub(crate) fn number(ctx: &impl EbpfContext, argument: usize) -> u64 {
    // SAFETY: a word of the context, which the verifier knows the length of.
    let mut word = unsafe { ctx.as_ptr().cast::<u64>().add(argument).read_volatile() };
    // SAFETY: registers only. To the verifier a pointer whose bytes are put in order is a number of which it knows nothing; they
    // are in that order already, so the processor has nothing to do.
    unsafe { asm!("{word} = le64 {word}", word = inout(reg) word, options(pure, nomem, nostack)) };
    word
}

/// Reads the bit field that starts at bit `position`; `mask` says how many bits it has.
#[inline(always)]
pub(crate) fn bits<A: Access>(base: *const u8, position: u32, mask: u8) -> u8 {
    if position == ABSENT {
        return 0;
    }
    (A::read::<u8>(base, position / 8) >> (position % 8)) & mask
}
