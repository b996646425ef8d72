//! A file that is not ours to use is given another name. Nothing is ever deleted.

use super::StoreError;
use super::place::beside;
use jiff::Timestamp;
use std::fs::rename;
use std::path::{Path, PathBuf};

/// Renames the file, and what SQLite keeps beside it. Returns the new name.
pub(super) fn set_aside(path: &Path, what: &str) -> Result<PathBuf, StoreError> {
    let to = free_name(path, what, Timestamp::now());
    // What is beside goes first: should this be cut short, a new history must not meet the old one's log.
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let (from, to) = (beside(path, suffix), beside(&to, suffix));
        if from.symlink_metadata().is_ok() {
            rename(&from, &to).map_err(|error| StoreError::system(&from, "setting aside", error))?;
        }
    }
    Ok(to)
}

/// A name that nothing has, with the time in it. Only the holder of the lock makes such names.
fn free_name(path: &Path, what: &str, now: Timestamp) -> PathBuf {
    let stem = beside(path, &format!(".{what}-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let is_free =
        |name: &PathBuf| ["", "-wal", "-shm"].iter().all(|end| beside(name, end).symlink_metadata().is_err());
    let others = (2_u32..).map(|number| beside(&stem, &format!(".{number}")));
    std::iter::once(stem.clone()).chain(others).find(is_free).unwrap_or(stem)
}
