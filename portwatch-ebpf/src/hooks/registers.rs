//! The registers of a system call at its end, by architecture: number and arguments are still there.

use aya_ebpf::programs::BtfTracePointContext;

use crate::constant::constant;
use crate::field::{Probed, Typed, field, present};
use crate::task;

/// The calls that matter.
#[cfg(bpf_target_arch = "x86_64")]
pub(super) mod syscall {
    pub(crate) const CONNECT: u32 = 42;
    pub(crate) const SENDTO: u32 = 44;
    pub(crate) const SENDMSG: u32 = 46;
    pub(crate) const BIND: u32 = 49;
    pub(crate) const LISTEN: u32 = 50;
    pub(crate) const SENDMMSG: u32 = 307;
}

/// The calls that matter.
#[cfg(bpf_target_arch = "aarch64")]
pub(super) mod syscall {
    pub(crate) const BIND: u32 = 200;
    pub(crate) const LISTEN: u32 = 201;
    pub(crate) const CONNECT: u32 = 203;
    pub(crate) const SENDTO: u32 = 206;
    pub(crate) const SENDMSG: u32 = 211;
    pub(crate) const SENDMMSG: u32 = 269;
}

/// In `thread_info.status`: TS_COMPAT.
#[cfg(bpf_target_arch = "x86_64")]
const OF_32_BITS: u32 = 1 << 1;
/// In `thread_info.flags`: TIF_32BIT.
#[cfg(bpf_target_arch = "aarch64")]
const OF_32_BITS: u32 = 1 << 22;

/// Number of the call.
#[inline(always)]
pub(super) fn number(ctx: &BtfTracePointContext) -> u32 {
    field!(Typed, ctx.arg(0), regs_call)
}

/// Argument 0, 1 or 4 of the call.
#[inline(always)]
pub(super) fn argument(ctx: &BtfTracePointContext, which: u32) -> u64 {
    match which {
        0 => field!(Typed, ctx.arg(0), regs_argument_0),
        #[cfg(bpf_target_arch = "x86_64")]
        1 => field!(Typed, ctx.arg(0), regs_argument_1),
        #[cfg(bpf_target_arch = "x86_64")]
        _ => field!(Typed, ctx.arg(0), regs_argument_4),
        // One after the other, from the first.
        #[cfg(bpf_target_arch = "aarch64")]
        1 => field!(Typed, ctx.arg(0), regs_argument_1, 1),
        #[cfg(bpf_target_arch = "aarch64")]
        _ => field!(Typed, ctx.arg(0), regs_argument_4, 4),
    }
}

/// Whether a program of 32 bits is calling.
#[inline(always)]
pub(super) fn is_of_32_bits() -> bool {
    if !present!(task_abi) {
        return false;
    }
    let flags: u32 = if constant!(tuning.task_btf) != 0 {
        field!(Typed, task::current_typed(), task_abi)
    } else {
        field!(Probed, task::current_address(), task_abi)
    };
    flags & OF_32_BITS != 0
}
