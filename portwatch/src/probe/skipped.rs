//! Events that no program was run for: the kernel skips a program that is already running on the same CPU. It counts that
//! (5.12 on for fexit, 6.7 on for probes); aya does not tell.

use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Ebpf;
use aya::programs::Program;

use super::backend::Backend;

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

/// Events of all hooks that were skipped, at most.
pub(super) fn events(ebpf: &Ebpf, backend: Backend) -> u64 {
    let mut programs: Vec<_> = backend.hooks().iter().map(|hook| (hook.program, hook.stand_in)).collect();
    // One program may serve several hooks.
    programs.dedup();
    let runs = |name: &str| ebpf.program(name).and_then(of);
    programs
        .into_iter()
        .map(|(lead, stand_in)| least(runs(lead), stand_in.and_then(|one| runs(one.program()))))
        .sum()
}

/// An event is lost if lead and stand-in were both skipped for it, so no more often than either of them was.
fn least(lead: Option<u64>, stand_in: Option<u64>) -> u64 {
    match (lead, stand_in) {
        (Some(lead), Some(stand_in)) => lead.min(stand_in),
        (lead, _) => lead.unwrap_or(0),
    }
}

/// `None` where the program is not loaded or the kernel does not tell.
fn of(program: &Program) -> Option<u64> {
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
    let counted = info[RECURSION_MISSES..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    (result == 0).then_some(counted)
}

#[cfg(test)]
mod tests {
    use super::least;

    #[test]
    fn what_a_stand_in_saw_is_not_lost() {
        assert_eq!(least(Some(7), None), 7, "no stand-in is loaded");
        assert_eq!(least(Some(7), Some(0)), 0);
        assert_eq!(least(Some(7), Some(2)), 2);
        assert_eq!(least(None, None), 0);
    }
}
