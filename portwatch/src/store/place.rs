//! The place of the history: its directory, its file, and the lock that admits one writer.
//!
//! The agent runs as root and opens a file by name, so nobody else may be able to put another one in its place.

use super::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::fs::{chown, fchown};
use std::path::{Path, PathBuf};

/// Members read the history.
const GROUP: &str = "portwatch";
const DIRECTORY_MODE: u32 = 0o750;
const FILE_MODE: u32 = 0o640;

/// A place that is ours alone while this lives.
#[derive(Debug)]
pub(super) struct Place {
    /// The file, its directory free of links.
    pub(super) path: PathBuf,
    _lock: File,
}

impl Place {
    /// Makes the directory if there is none, locks the place, and makes an empty file if there is none.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let Some(name) = path.file_name() else {
            let why = "a file is wanted, not a directory".to_owned();
            return Err(StoreError::Unsafe { path: path.to_owned(), why });
        };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        make_directory(directory)?;
        let directory = directory
            .canonicalize()
            .map_err(|error| StoreError::system(directory, "looking for the directory", error))?;
        is_safe(&directory)?;
        let path = directory.join(name);
        let lock = lock(&path)?;
        let place = Self { path, _lock: lock };
        place.make_file()?;
        Ok(place)
    }

    /// An empty file where there is none; one that is no plain file is refused.
    pub(super) fn make_file(&self) -> Result<(), StoreError> {
        let path = &self.path;
        match create(path, true) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let found = path.symlink_metadata();
                let found = found.map_err(|error| StoreError::system(path, "looking at", error))?;
                if found.is_file() {
                    return Ok(());
                }
                let why = if found.is_symlink() { "it is a symbolic link" } else { "it is no plain file" };
                Err(StoreError::Unsafe { path: path.clone(), why: why.to_owned() })
            }
            Err(error) => Err(StoreError::system(path, "making the history", error)),
        }
    }
}

/// The file of SQLite's, or ours, beside the history.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn make_directory(directory: &Path) -> Result<(), StoreError> {
    if directory.exists() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory);
    made.map_err(|error| StoreError::system(directory, "making the directory", error))?;
    if let Some(group) = group_id() {
        // Without the right to give it away it stays with the owner, who can read it.
        let _ = chown(directory, None, Some(group));
    }
    Ok(())
}

/// Whoever may write to the directory may swap the file.
fn is_safe(directory: &Path) -> Result<(), StoreError> {
    let found =
        fs::metadata(directory).map_err(|error| StoreError::system(directory, "looking at", error))?;
    let me = rustix::process::geteuid().as_raw();
    let is_sticky = found.mode() & 0o1000 != 0;
    let why = if found.uid() != 0 && found.uid() != me {
        format!("it belongs to uid {}, who could put another file in its place", found.uid())
    } else if found.mode() & 0o002 != 0 && !is_sticky {
        "everybody may write to the directory and could put another file in its place".to_owned()
    } else {
        return Ok(());
    };
    Err(StoreError::Unsafe { path: directory.to_owned(), why })
}

/// The lock goes with the process, however that ends. It is a file of its own: closing any descriptor of the history
/// itself would drop the locks that SQLite has on it.
fn lock(path: &Path) -> Result<File, StoreError> {
    let name = beside(path, ".lock");
    let file = create(&name, false).map_err(|error| StoreError::system(&name, "making the lock", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Taken(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(StoreError::system(&name, "locking", error)),
    }
}

/// Opens it, through no link; a file that is new gets its mode and group.
fn create(path: &Path, must_be_new: bool) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE).custom_flags(libc::O_NOFOLLOW);
    let made = match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && !must_be_new => return options.open(path),
        made => made?,
    };
    // The umask may have taken the group's right away.
    made.set_permissions(Permissions::from_mode(FILE_MODE))?;
    if let Some(group) = group_id() {
        let _ = fchown(&made, None, Some(group));
    }
    Ok(made)
}

fn group_id() -> Option<u32> {
    group_in(&fs::read_to_string("/etc/group").ok()?)
}

fn group_in(text: &str) -> Option<u32> {
    let mut lines = text.lines().map(|line| line.split(':'));
    lines.find_map(|mut fields| (fields.next() == Some(GROUP)).then(|| fields.nth(1)?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_found_by_its_whole_name() {
        let text = "root:x:0:\nportwatchers:x:7:\nportwatch:x:987:prometheus\n";
        assert_eq!(group_in(text), Some(987));
        assert_eq!(group_in("portwatch\n"), None);
        assert_eq!(group_in("root:x:0:portwatch\n"), None);
    }
}
