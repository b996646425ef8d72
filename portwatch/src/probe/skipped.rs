//! Runs of a program that the kernel skipped: where it preempts a program, another task on that CPU that comes to the same
//! one passes without it. The kernel counts them (5.12 on for fexit, 6.7 on for probes); aya does not tell.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Ebpf;
use aya::programs::Program;

/// `BPF_OBJ_GET_INFO_BY_FD`.
const GET_INFO: libc::c_long = 15;
/// As much of `struct bpf_prog_info` as reaches `recursion_misses`, which no kernel has moved since it came.
const INFO_BYTES: usize = 216;
const RECURSION_MISSES: usize = 208;

/// `union bpf_attr` for that command.
#[repr(C)]
struct Attributes {
    fd: u32,
    length: u32,
    info: u64,
}

/// Runs skipped of all programs that are loaded.
pub(super) fn runs(ebpf: &Ebpf) -> u64 {
    ebpf.programs().map(|(_, program)| of(program)).sum()
}

/// 0 where the kernel does not tell.
fn of(program: &Program) -> u64 {
    let Ok(fd) = program.fd() else { return 0 };
    let mut info = [0_u8; INFO_BYTES];
    let mut attributes = Attributes {
        fd: fd.as_fd().as_raw_fd().cast_unsigned(),
        length: INFO_BYTES as u32,
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which outlives the call, and the attributes are as long
    // as is said.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, GET_INFO, &raw mut attributes, size_of::<Attributes>() as libc::c_uint)
    };
    let counted = info[RECURSION_MISSES..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    if result == 0 { counted } else { 0 }
}
