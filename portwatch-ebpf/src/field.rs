//! Reading kernel memory: as plain loads through typed pointers, or through `bpf_probe_read_kernel`.

use core::mem::MaybeUninit;

use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::{bpf_get_func_arg, bpf_probe_read_kernel};
use portwatch_common::offsets::ABSENT;

use crate::maps::constant;

/// A way to read a `T` that lies `offset` bytes behind `base`.
pub(crate) trait Access {
    /// The value; zero where it cannot be read.
    fn read<T: Copy + Default>(base: *const u8, offset: u32) -> T;
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
        unsafe { $crate::field::probe(&raw mut $place, $base, $crate::maps::constant!(OFFSETS.$name)) }
    };
}
pub(crate) use fill;

/// Reads a field of `base` at the offset that user space found for it.
macro_rules! field {
    ($access:ty, $base:expr, $name:ident) => {
        <$access as $crate::field::Access>::read($base, $crate::maps::constant!(OFFSETS.$name))
    };
}
pub(crate) use field;

/// Whether the running kernel has the field.
macro_rules! present {
    ($name:ident) => {
        $crate::maps::constant!(OFFSETS.$name) != portwatch_common::offsets::ABSENT
    };
}
pub(crate) use present;

/// An argument of a typed hook as a plain number: what is a key, or goes to a global function, is no typed pointer.
#[inline(always)]
pub(crate) fn number(ctx: &impl EbpfContext, argument: u32) -> u64 {
    Probed::read(ctx.as_ptr().cast(), argument * 8)
}

/// [`number`], for hooks of functions: the kernel compiles the helper to a few loads.
#[inline(always)]
pub(crate) fn function_argument(ctx: &impl EbpfContext, argument: u32) -> u64 {
    if constant!(TUNING.function_arguments) == 0 {
        return number(ctx, argument);
    }
    let mut value = 0;
    // SAFETY: user space sets the flag only where the helper exists, and it fails only for an argument that there is not.
    unsafe { bpf_get_func_arg(ctx.as_ptr(), argument, &raw mut value) };
    value
}

/// Reads the bit field that starts at bit `position`; `mask` says how many bits it has.
#[inline(always)]
pub(crate) fn bits<A: Access>(base: *const u8, position: u32, mask: u8) -> u8 {
    if position == ABSENT {
        return 0;
    }
    (A::read::<u8>(base, position / 8) >> (position % 8)) & mask
}
