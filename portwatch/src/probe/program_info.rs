//! What the kernel counts of a program and aya does not tell.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Ebpf;
use aya::programs::Program;

/// `BPF_OBJ_GET_INFO_BY_FD`.
const GET_INFO: libc::c_long = 15;
/// As much of `struct bpf_prog_info` as reaches `recursion_misses`; no kernel moves what is once there.
const INFO_BYTES: usize = 216;
const ID: usize = 4;
const RUN_TIME_NS: usize = 192;
const RUN_COUNT: usize = 200;
const RECURSION_MISSES: usize = 208;

/// Counts of one program since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProgramInfo {
    /// 0 unless `kernel.bpf_stats_enabled` was 1 meanwhile.
    pub(super) run_ns: u64,
    pub(super) runs: u64,
    /// Events for which it was not run, because it was running on that CPU. 0 where the kernel does not count them.
    pub(super) recursion_misses: u64,
}

/// Runs of a kernel-side program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRuns {
    /// Its name in the object.
    pub name: String,
    /// 0 unless `kernel.bpf_stats_enabled` is 1, which costs a little for every run.
    pub runs: u64,
    /// Time in it, in nanoseconds.
    pub ns: u64,
}

/// `union bpf_attr` for that command.
#[repr(C)]
struct Attributes {
    fd: u32,
    length: u32,
    info: u64,
}

/// Every program that is loaded, by name.
pub(super) fn all(ebpf: &Ebpf) -> Vec<ProgramRuns> {
    let runs = |(name, program): (&str, &Program)| {
        let info = of(program)?;
        Some(ProgramRuns { name: name.to_owned(), runs: info.runs, ns: info.run_ns })
    };
    let mut all: Vec<_> = ebpf.programs().filter_map(runs).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// `None` where the program is not loaded or the kernel does not say.
pub(super) fn of(program: &Program) -> Option<ProgramInfo> {
    let info = read(program)?;
    let number = |at: usize| info[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    Some(ProgramInfo {
        run_ns: number(RUN_TIME_NS),
        runs: number(RUN_COUNT),
        recursion_misses: number(RECURSION_MISSES),
    })
}

/// The number by which the kernel knows the program.
pub(super) fn id(program: &Program) -> Option<u32> {
    read(program)?[ID..].first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

fn read(program: &Program) -> Option<[u8; INFO_BYTES]> {
    let fd = program.fd().ok()?;
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
    (result == 0).then_some(info)
}
