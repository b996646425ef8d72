//! Files below a folder that is taken for the root: bounded, never a device or a pipe, and no link leads out.

use rustix::fs::{Dir, Mode, OFlags, ResolveFlags, fstat, open, openat2, readlinkat};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
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

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// Something else has the name.
    #[error("it is not a regular file")]
    NotRegular,
    /// It holds more than this many bytes.
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    /// What the system said.
    #[error("{0}")]
    System(io::Error),
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::Missing,
            _ => Self::System(error),
        }
    }
}

/// A folder, open.
#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    trust: Trust,
}

impl Root {
    /// A folder of root's.
    pub(crate) fn open(path: &Path) -> Option<Self> {
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
        self.load(path, most).ok()
    }

    /// The same, or why not.
    ///
    /// # Errors
    /// If there is none, it is not regular, too large, or the system says no.
    pub(crate) fn load(&self, path: &str, most: usize) -> Result<Vec<u8>, Unreadable> {
        // NONBLOCK: opening a pipe must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        regular(self.open_at(path, flags).map_err(io::Error::from)?, most)
    }

    /// Where a link points, as it stands there; `None` if it is no link.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let link = self.at(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        readlinkat(link, c"", Vec::new()).ok()?.into_string().ok()
    }

    /// The names in a folder, as far as they are text and not too many.
    pub(super) fn names(&self, path: &str) -> Vec<String> {
        self.names_up_to(path, ENTRIES)
    }

    /// The same, with a bound of the caller's.
    pub(crate) fn names_up_to(&self, path: &str, most: usize) -> Vec<String> {
        let folder = self.at(path, OFlags::RDONLY | OFlags::DIRECTORY);
        let Some(entries) = folder.and_then(|folder| Dir::read_from(folder).ok()) else { return Vec::new() };
        let names =
            entries.take(most).filter_map(|entry| entry.ok()?.file_name().to_str().ok().map(str::to_owned));
        names.filter(|name| name != "." && name != "..").collect()
    }

    /// When a file changed last, and how long it is: the same again means the same content.
    pub(super) fn stamp(&self, path: &str) -> Option<(i64, i64, u64)> {
        let stat = fstat(self.at(path, OFlags::PATH)?).ok()?;
        Some((stat.st_mtime, stat.st_size, stat.st_ino))
    }

    fn at(&self, path: &str, flags: OFlags) -> Option<OwnedFd> {
        self.open_at(path, flags).ok()
    }

    fn open_at(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = match self.trust {
            Trust::Links => ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
            Trust::Nothing => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
        };
        let path = path.trim_start_matches('/');
        openat2(&self.folder, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }
}

/// What an open file holds, if it is a regular one and not too large. It was opened with NONBLOCK.
///
/// # Errors
/// As above, or what the system says.
pub(crate) fn regular(file: impl Into<File>, most: usize) -> Result<Vec<u8>, Unreadable> {
    let file = file.into();
    if !file.metadata()?.is_file() {
        return Err(Unreadable::NotRegular);
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(Unreadable::TooLarge(most)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;
    use rustix::fs::FileType;
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
        assert!(matches!(root.load("pipe", 9), Err(Unreadable::NotRegular)), "and it did not wait");
        assert!(matches!(root.load("b", 9), Err(Unreadable::Missing)));
        assert!(matches!(root.load("a/file", 4), Err(Unreadable::TooLarge(4))));
    }

    #[test]
    fn the_hosts_links_stay_inside_and_a_users_are_not_followed() {
        let scratch = Scratch::new("links");
        scratch.write("etc/passwd", "inside");
        scratch.write("u/alice/real", "hers");
        symlink("/etc/passwd", scratch.path().join("u/alice/link")).expect("a link");
        symlink("real", scratch.path().join("u/alice/near")).expect("a link");
        let root = Root::open(scratch.path()).expect("a folder");
        assert_eq!(root.link("u/alice/link").as_deref(), Some("/etc/passwd"));
        assert_eq!((root.link("etc/passwd"), root.link("nothing")), (None, None));
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
