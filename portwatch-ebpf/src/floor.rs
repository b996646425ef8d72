//! An object of programs that do nothing, one of each kind that portwatch attaches: what its hooks cost by themselves. The
//! benchmark attaches them in portwatch's place.
#![no_std]
#![no_main]

use aya_ebpf::macros::{btf_tracepoint, fentry, fexit, kprobe, kretprobe};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext, FExitContext, ProbeContext, RetProbeContext};

#[fentry]
pub(crate) fn empty_fentry(_: FEntryContext) -> i32 {
    0
}

#[fexit]
pub(crate) fn empty_fexit(_: FExitContext) -> i32 {
    0
}

#[btf_tracepoint]
pub(crate) fn empty_typed(_: BtfTracePointContext) -> i32 {
    0
}

#[kprobe]
pub(crate) fn empty_kprobe(_: ProbeContext) -> u32 {
    0
}

#[kretprobe]
pub(crate) fn empty_kretprobe(_: RetProbeContext) -> u32 {
    0
}

/// Trampolines take only programs under the GPL.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
