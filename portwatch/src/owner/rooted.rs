//! Files below a folder that is taken for the root: bounded, never a device or a pipe, and no link leads out.

use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Entries of a folder that are looked at.
const ENTRIES: usize = 4_096;

/// Whose links are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Those of the host's root user, who may well have moved /var/lib/docker to another disk.
    Links,
    /// Nobody's: the folder is a user's, who could point anywhere. Another file system is not entered either: one of
    /// the user's own may never answer.
    Nothing,
}

/// A folder, open.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    trust: Trust,
}

impl Root {
    /// A folder of root's.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Some(Self { folder: open(path, flags, Mode::empty()).ok()?, trust: Trust::Links })
    }

    /// A folder of an ordinary user below this one; `None` if it is not theirs.
    pub(super) fn of_user(&self, path: &str, uid: u32) -> Option<Self> {
        let folder = self.at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        let is_theirs = fstat(&folder).ok()?.st_uid == uid;
        is_theirs.then_some(Self { folder, trust: Trust::Nothing })
    }

    /// What a regular file holds; `None` if it holds more than `most` bytes.
    pub(super) fn read(&self, path: &str, most: usize) -> Option<Vec<u8>> {
        // NONBLOCK: opening a pipe must not wait for a writer.
        let file = self.at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let is_regular = FileType::from_raw_mode(fstat(&file).ok()?.st_mode) == FileType::RegularFile;
        let mut bytes = Vec::new();
        let limit = u64::try_from(most).ok()?.saturating_add(1);
        (is_regular && File::from(file).take(limit).read_to_end(&mut bytes).is_ok() && bytes.len() <= most)
            .then_some(bytes)
    }

    /// The names in a folder, as far as they are text and not too many.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        let folder = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY);
        let Some(entries) = folder.and_then(|folder| Dir::read_from(folder).ok()) else { return Vec::new() };
        let names = entries
            .take(ENTRIES)
            .filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
        names.filter(|name| name != "." && name != "..").collect()
    }

    /// When a file changed last, and how long it is: the same again means the same content.
    pub(super) fn stamp(&self, path: &str) -> Option<(i64, i64, u64)> {
        let stat = fstat(self.at(path, OFlags::PATH)?).ok()?;
        Some((stat.st_mtime, stat.st_size, stat.st_ino))
    }

    fn at(&self, path: &str, flags: OFlags) -> Option<OwnedFd> {
        let resolve = match self.trust {
            Trust::Links => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            Trust::Nothing => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
        };
        let path = path.trim_start_matches('/');
        openat2(&self.folder, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    #[test]
    fn files_are_bounded_and_regular() {
        let scratch = Scratch::new("rooted");
        scratch.write("a/file", "12345");
        let root = Root::open(scratch.path()).expect("a folder");
        assert_eq!(root.read("/a/file", 5).as_deref(), Some(&b"12345"[..]));
        assert_eq!(root.read("a/file", 4), None);
        assert_eq!((root.read("a", 9), root.read("b", 9), root.names("a/file").len()), (None, None, 0));
        assert_eq!(root.names("a"), ["file"]);
        rustix::fs::mknodat(rustix::fs::CWD, scratch.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0)
            .expect("a pipe");
        assert_eq!(root.read("pipe", 9), None, "and it did not wait");
    }

    #[test]
    fn the_hosts_links_stay_inside_and_a_users_are_not_followed() {
        let scratch = Scratch::new("links");
        scratch.write("etc/passwd", "inside");
        scratch.write("u/alice/real", "hers");
        symlink("/etc/passwd", scratch.path().join("u/alice/link")).expect("a link");
        symlink("real", scratch.path().join("u/alice/near")).expect("a link");
        let root = Root::open(scratch.path()).expect("a folder");
        assert_eq!(root.read("u/alice/link", 99).as_deref(), Some(&b"inside"[..]), "not the real one");
        let uid = std::fs::metadata(scratch.path()).expect("a folder").uid();
        assert!(root.of_user("u/alice", uid + 1).is_none(), "somebody else's");
        let home = root.of_user("/u/alice", uid).expect("hers");
        assert_eq!(home.read("real", 99).as_deref(), Some(&b"hers"[..]));
        for outside in ["link", "near", "../../etc/passwd", "../alice/real"] {
            assert_eq!(home.read(outside, 99), None, "{outside}");
        }
    }
}
