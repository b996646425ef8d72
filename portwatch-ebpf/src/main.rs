//! The kernel side of portwatch: remembers who was given which port, reports refusals. It never decides who is to blame.
//!
//! `hooks/` holds the thin entry points, one file a backend; `assign`, `release` and `refuse` hold the logic once for
//! all of them; `attempt` follows a bind() or listen() from its beginning to its end, `call` a function of the kernel; `sctp`
//! does both for SCTP; `twin` is for hooks that the kernel skips now and then; `task`, `sock`, `walk` and `field` read the
//! kernel, `constant` tells what user space knows of it; `emit` writes the ring; `maps` holds the tables, `table` (with `atomic`) knows how those are kept
//! that every connection comes to, `ports` and `last` are the largest of them; `connection` says whose a record is.
#![no_std]
#![no_main]
// Built with the pinned stable compiler, which has no atomics for this target but these.
#![feature(core_intrinsics)]
// For the instructions of `field` and `constant` that user space completes.
#![feature(asm_experimental_arch)]
#![expect(internal_features, reason = "core::intrinsics, for `atomic`")]

mod assign;
mod atomic;
mod attempt;
mod call;
mod connection;
mod constant;
mod emit;
mod field;
mod hooks;
mod last;
mod maps;
mod ports;
mod refuse;
mod release;
mod sctp;
mod sock;
mod table;
mod task;
mod twin;
mod walk;
mod words;

/// Permits the GPL-only helpers (`bpf_probe_read_kernel` and friends).
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier rejects an endless loop: a panic that could be reached would be seen at load, not at run time.
    loop {}
}
