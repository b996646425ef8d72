//! Network namespaces: which one something is, and what is set inside.

use crate::exit_code::Refused;
use rustix::fs::{CWD, Mode, OFlags, fstat, fstatfs, openat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// `NSFS_MAGIC`: the file system of namespaces.
const NSFS: u32 = 0x6e73_6673;
/// `NS_GET_NSTYPE`.
const GET_TYPE: libc::Ioctl = 0xb703;
/// Ports that the kernel does not choose, in the namespace of the thread that reads.
const RESERVED_PORTS: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// portwatch's own network namespace; 0 if /proc does not tell.
pub fn own() -> u32 {
    fs::metadata("/proc/self/ns/net").map_or(0, |meta| number(meta.ino()))
}

/// The namespace behind a path such as `/run/netns/blue` or `/proc/PID/ns/net`.
///
/// # Errors
/// Wrong usage, if there is no such file, it may not be read, or it is not a network namespace.
pub fn by_path(path: &Path) -> Result<u32, Refused> {
    let shown = crate::text::printable_bytes(path.as_os_str().as_encoded_bytes());
    let refused = |why: &dyn std::fmt::Display| {
        Refused::usage(format!(
            "--netns {shown}: {why}; give all, self, or a path like /run/netns/NAME or /proc/PID/ns/net"
        ))
    };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(CWD, path, flags, Mode::empty()).map_err(|error| refused(&io::Error::from(error)))?;
    let stat = fstat(&file).map_err(|error| refused(&io::Error::from(error)))?;
    if !is_network_namespace(&file) {
        return Err(refused(&"not a network namespace"));
    }
    Ok(number(stat.st_ino))
}

/// `ip_local_reserved_ports` of a namespace, as one of its processes sees it; `None` if the process is gone, is in
/// another namespace by now, or may not be followed there.
pub(super) fn reserved_ports(netns: u32, tgid: u32) -> Option<String> {
    within(netns, tgid, || reserved_here().ok()).flatten()
}

/// Does something in the namespace of a process; `None` if that is gone, is in another namespace by now, or may not be
/// followed there.
pub(super) fn within<T: Send>(netns: u32, tgid: u32, work: impl FnOnce() -> T + Send) -> Option<T> {
    if netns == own() {
        return Some(work());
    }
    let path = format!("/proc/{tgid}/ns/net");
    let namespace = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    if number(fstat(&namespace).ok()?.st_ino) != netns {
        return None;
    }
    // A namespace is entered for good, so by a thread that is not needed afterwards.
    let inside = move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).ok()?;
        Some(work())
    };
    std::thread::scope(|scope| scope.spawn(inside).join()).ok().flatten()
}

/// `ip_local_reserved_ports` of the calling thread's namespace.
///
/// # Errors
/// If /proc does not tell.
pub(crate) fn reserved_here() -> io::Result<String> {
    /// Every second port, which makes the longest list, takes 191,046 bytes.
    const LONGEST: usize = 512 * 1024;
    // In a single read: the kernel gives what fits into it and says that this was all. A reader that feels its way with
    // a few bytes, as `fs::read_to_string` does, would take the first entries for the whole list.
    let mut text = vec![0; LONGEST];
    let length = fs::File::open(RESERVED_PORTS)?.read(&mut text)?;
    text.truncate(length);
    String::from_utf8(text).map_err(io::Error::other)
}

/// `ip_local_port_range` of the calling thread's namespace.
pub(crate) fn port_range() -> Option<(u16, u16)> {
    let text = fs::read_to_string(PORT_RANGE).ok()?;
    let mut ends = text.split_ascii_whitespace().map(str::parse);
    Some((ends.next()?.ok()?, ends.next()?.ok()?))
}

fn is_network_namespace(file: &OwnedFd) -> bool {
    let is_namespace = fstatfs(file).is_ok_and(|stat| u64::try_from(stat.f_type) == Ok(u64::from(NSFS)));
    // SAFETY: NS_GET_NSTYPE takes no argument and writes no memory.
    is_namespace && unsafe { libc::ioctl(file.as_raw_fd(), GET_TYPE) } == libc::CLONE_NEWNET
}

/// Namespace numbers have 32 bits, whatever the type of an inode number.
pub(crate) fn number(inode: u64) -> u32 {
    u32::try_from(inode).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_network_namespace_or_says_why_not() {
        assert_eq!(by_path(Path::new("/proc/self/ns/net")).expect("our own"), own());
        for path in ["/proc/self/ns/pid", "/etc/passwd", "/nonexistent", "/"] {
            let error = by_path(Path::new(path)).expect_err(path);
            assert_eq!(error.code, crate::exit_code::ExitCode::Usage);
            assert!(error.message.contains(path) && !error.message.contains('\n'), "{error}");
        }
    }

    #[test]
    fn our_own_reserved_ports_are_read_directly() {
        assert_eq!(reserved_ports(own(), std::process::id()), reserved_here().ok());
        assert_eq!(reserved_ports(1, std::process::id()), None, "no longer in that namespace");
    }
}
