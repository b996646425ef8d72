//! cgroup v2 id → path. The id is a file handle of the cgroup file system: the kernel opens it without any search.

use rustix::fs::{CWD, Mode, OFlags, openat};
use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

/// `FILEID_KERNFS`: a handle that is just the 64-bit node id.
const KERNFS_HANDLE: i32 = 0xfe;
/// Paths remembered; a cgroup that is gone keeps its name only here.
const CAPACITY: usize = 4_096;

/// `struct file_handle` with room for such a handle.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    id: u64,
}

/// The mounted cgroup v2 hierarchy, if there is one.
#[derive(Debug)]
pub(super) struct CgroupPaths {
    mount: Option<(OwnedFd, Vec<u8>)>,
    known: HashMap<u64, String>,
}

impl CgroupPaths {
    pub(super) fn open() -> Self {
        let mount =
            fs::read("/proc/self/mountinfo").ok().and_then(|text| mount_point(&text)).and_then(|path| {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                Some((openat(CWD, path.as_slice(), flags, Mode::empty()).ok()?, path))
            });
        Self { mount, known: HashMap::new() }
    }

    /// The path below the mount, `/` for the root.
    pub(super) fn path(&mut self, id: u64) -> Option<String> {
        if let Some(path) = self.known.get(&id) {
            return Some(path.clone());
        }
        let path = self.look_up(id)?;
        if self.known.len() >= CAPACITY {
            self.known.clear(); // rare: ids do not come back, so old ones are mostly useless
        }
        self.known.insert(id, path.clone());
        Some(path)
    }

    fn look_up(&self, id: u64) -> Option<String> {
        let (mount, prefix) = self.mount.as_ref()?;
        let mut handle = Handle { bytes: 8, kind: KERNFS_HANDLE, id };
        let flags = libc::O_PATH | libc::O_CLOEXEC;
        // SAFETY: Handle is laid out as struct file_handle with 8 bytes behind it and outlives the call.
        let fd = unsafe {
            libc::open_by_handle_at(mount.as_raw_fd(), std::ptr::from_mut(&mut handle).cast(), flags)
        };
        if fd < 0 {
            return None;
        }
        // SAFETY: the kernel just gave this descriptor to us and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let full = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
        let below = full.as_os_str().as_bytes().strip_prefix(prefix.as_slice())?;
        // Removed between the two looks: it is what it was called that is wanted.
        let below = below.strip_suffix(b" (deleted)").unwrap_or(below);
        Some(if below.is_empty() { "/".to_owned() } else { crate::text::lossy(below) })
    }
}

/// Where cgroup v2 is mounted, by `/proc/self/mountinfo`.
fn mount_point(mountinfo: &[u8]) -> Option<Vec<u8>> {
    mountinfo.split(|&byte| byte == b'\n').find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (mount, kind) = line.split_once(" - ")?;
        let is_unified = kind.split(' ').next() == Some("cgroup2");
        is_unified.then(|| mount.split(' ').nth(4).map(|path| path.as_bytes().to_vec()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn the_unified_mount_is_found_among_others() {
        let text = b"29 24 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            30 29 0:26 / /sys/fs/cgroup/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu\n\
            31 29 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(text).as_deref(), Some(&b"/sys/fs/cgroup/unified"[..]));
        assert_eq!(mount_point(b"garbage\n"), None);
    }

    #[test]
    fn the_root_is_found_by_its_inode_where_that_is_permitted() {
        let mut paths = CgroupPaths::open();
        let Some((_, mount)) = &paths.mount else { return };
        let mount = std::path::Path::new(std::ffi::OsStr::from_bytes(mount)).to_owned();
        let id = fs::metadata(mount).expect("a mounted directory").ino();
        // Needs CAP_DAC_READ_SEARCH: an ordinary user gets no answer, and never a wrong one.
        assert!(paths.path(id).is_none_or(|path| path == "/"));
        assert_eq!(paths.path(u64::MAX), None);
    }
}
