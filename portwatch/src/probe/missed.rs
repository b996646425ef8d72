//! Probes that the kernel did not call because it was inside another probe on the same CPU. It counts them by link (6.7 on), before
//! and apart from what it counts by program.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use aya::Ebpf;

use super::program_info;

/// `BPF_OBJ_GET_INFO_BY_FD`.
const GET_INFO: libc::c_long = 15;
/// `BPF_LINK_GET_FD_BY_ID`.
const FD_BY_ID: libc::c_long = 30;
/// `BPF_LINK_GET_NEXT_ID`.
const NEXT_ID: libc::c_long = 31;
/// As much of `struct bpf_link_info` as reaches the count of a probe; no kernel moves what is once there.
const INFO_BYTES: usize = 64;
const LINK_TYPE: usize = 0;
const PROGRAM: usize = 8;
const PERF_TYPE: usize = 16;
const MISSED: usize = 48;
/// `BPF_LINK_TYPE_PERF_EVENT`.
const PERF_EVENT: u32 = 7;
/// `BPF_PERF_EVENT_KPROBE` and `BPF_PERF_EVENT_KRETPROBE`.
const PROBES: [u32; 2] = [3, 4];
/// Links that are looked at, on a host with very many.
const MOST_LINKS: usize = 65_536;

/// `union bpf_attr` for these commands.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    id_or_fd: u32,
    next_id_or_length: u32,
    info: u64,
}

/// The probes of the loaded programs; empty on kernels that do not count.
#[derive(Debug, Default)]
pub(super) struct Probes(Vec<(String, OwnedFd)>);

impl Probes {
    /// Finds the links of all loaded programs.
    pub(super) fn of(ebpf: &Ebpf) -> Self {
        let programs: Vec<_> =
            ebpf.programs().filter_map(|(name, program)| Some((program_info::id(program)?, name))).collect();
        let name_of = |id| programs.iter().find(|(program, _)| *program == id).map(|(_, name)| *name);
        let mut probes = Vec::new();
        let mut link = 0;
        for _ in 0..MOST_LINKS {
            let Some(next) = next_id(link) else { break };
            link = next;
            let Some(fd) = open(link) else { continue };
            let name = info(&fd).filter(is_probe).and_then(|info| name_of(word(&info, PROGRAM)));
            probes.extend(name.map(|name| (name.to_owned(), fd)));
        }
        Self(probes)
    }

    /// How often the kernel did not call the probes of a program.
    pub(super) fn missed(&self, program: &str) -> u64 {
        let own = self.0.iter().filter(|(name, _)| name == program);
        own.filter_map(|(_, fd)| info(fd)).map(|info| missed(&info)).sum()
    }
}

fn next_id(link: u32) -> Option<u32> {
    let mut attributes = Attributes { id_or_fd: link, ..Attributes::default() };
    (bpf(NEXT_ID, &mut attributes) == 0).then_some(attributes.next_id_or_length)
}

fn open(link: u32) -> Option<OwnedFd> {
    let fd = bpf(FD_BY_ID, &mut Attributes { id_or_fd: link, ..Attributes::default() });
    // SAFETY: the kernel has just given this descriptor to the caller.
    i32::try_from(fd).ok().filter(|fd| *fd >= 0).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn info(link: &OwnedFd) -> Option<[u8; INFO_BYTES]> {
    let mut info = [0_u8; INFO_BYTES];
    let mut attributes = Attributes {
        id_or_fd: link.as_raw_fd().cast_unsigned(),
        next_id_or_length: INFO_BYTES as u32,
        info: info.as_mut_ptr() as u64,
    };
    (bpf(GET_INFO, &mut attributes) == 0).then_some(info)
}

fn bpf(command: libc::c_long, attributes: &mut Attributes) -> libc::c_long {
    let size = size_of::<Attributes>() as libc::c_uint;
    // SAFETY: the attributes are as long as is said; what they point to outlives the call, and the kernel writes no more of it
    // than the length says.
    unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) }
}

fn is_probe(info: &[u8; INFO_BYTES]) -> bool {
    word(info, LINK_TYPE) == PERF_EVENT && PROBES.contains(&word(info, PERF_TYPE))
}

fn word(info: &[u8; INFO_BYTES], at: usize) -> u32 {
    info[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn missed(info: &[u8; INFO_BYTES]) -> u64 {
    info[MISSED..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_have_the_count() {
        let mut info = [0_u8; INFO_BYTES];
        info[LINK_TYPE] = 7;
        info[PERF_TYPE] = 4;
        info[PROGRAM..][..4].copy_from_slice(&77_u32.to_ne_bytes());
        info[MISSED..][..8].copy_from_slice(&(1_u64 << 40).to_ne_bytes());
        assert!(is_probe(&info));
        assert_eq!((word(&info, PROGRAM), missed(&info)), (77, 1 << 40));
        info[PERF_TYPE] = 5;
        assert!(!is_probe(&info), "a tracepoint");
        info[LINK_TYPE] = 3;
        assert!(!is_probe(&info), "of a cgroup");
    }

    #[test]
    fn a_link_that_is_not_there_is_none() {
        assert!(open(u32::MAX).is_none());
    }
}
