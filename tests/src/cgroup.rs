//! cgroups of version 2: one of the lineup's own, and what the one it was started in means for a report.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Access, access};

/// Where the hierarchy of version 2 is mounted, if anywhere.
fn mount_point() -> Option<PathBuf> {
    mount_point_in(&fs::read_to_string("/proc/self/mounts").ok()?)
}

fn mount_point_in(mounts: &str) -> Option<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(2) == Some(&"cgroup2"))
        .find_map(|fields| fields.get(1).map(PathBuf::from))
}

/// Where a cgroup of this path is.
pub(crate) fn folder(path: &str) -> Option<PathBuf> {
    Some(mount_point()?.join(path.trim_start_matches('/')))
}

/// Whether the lineup can make a cgroup of its own.
pub(crate) fn is_writable() -> bool {
    mount_point().is_some_and(|path| access(&path, Access::WRITE_OK).is_ok())
}

/// Whether all that the lineup starts looks like one service or one container, and so every holder that bound its
/// port by number like the victim's predecessor.
pub(crate) fn is_one_service() -> bool {
    fs::read_to_string("/proc/self/cgroup").is_ok_and(|cgroups| names_service(&cgroups))
}

fn names_service(cgroups: &str) -> bool {
    const CONTAINER_ID: usize = 64;
    cgroups.contains(".service")
        || cgroups.split(|letter: char| !letter.is_ascii_hexdigit()).any(|word| word.len() == CONTAINER_ID)
}

/// A cgroup of the lineup's own; removed on drop, when everybody in it has ended.
pub(crate) struct Cgroup {
    root: PathBuf,
    /// Below the root, where it is gone with its last folder.
    path: PathBuf,
}

impl Cgroup {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let root = mount_point().context("no cgroup2 file system is mounted")?;
        let path = root.join(name);
        // One left over by a lineup that was killed is as good.
        fs::create_dir_all(&path).with_context(|| format!("making the cgroup {}", path.display()))?;
        Ok(Self { root, path })
    }

    /// Moves a process into it. Sockets that it opened before stay where they were made.
    pub(crate) fn admit(&self, pid: u32) -> Result<()> {
        let path = self.path.join("cgroup.procs");
        fs::write(&path, pid.to_string()).with_context(|| format!("writing {pid} to {}", path.display()))
    }

    /// Removes it and the folders that only led to it.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir(&self.path)
            .with_context(|| format!("removing the cgroup {}, which must be empty", self.path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let below = |path: &Path| path != self.root && path.starts_with(&self.root);
        for folder in self.path.ancestors().take_while(|path| below(path)) {
            // A folder in which others are stays. An empty one that stays behind costs nothing and is used again.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_version_is_found_among_the_first() {
        let mounts =
            "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount_point_in(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount_point_in("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn services_and_containers_are_known_by_their_names() {
        assert!(names_service("0::/system.slice/runner.service\n"));
        assert!(names_service(&format!("0::/docker/{}\n", "0f".repeat(32))));
        assert!(!names_service("0::/user.slice/session-3.scope\n4:memory:/0123456789abcdef\n"));
    }
}
