//! The cache outside the clone: used where present, never required.

use std::fs::{self, File};
use std::path::PathBuf;
use std::{env, io};

use anyhow::{Context as _, Result};
use rustix::fs::{FlockOperation, flock};

/// The cache folder, made if it is not there: `$PORTWATCH_CACHE`, else the user's cache folder.
pub(crate) fn dir() -> Result<PathBuf> {
    let path = env::var_os("PORTWATCH_CACHE")
        .map(PathBuf::from)
        .or_else(|| env::var_os("XDG_CACHE_HOME").map(|base| PathBuf::from(base).join("portwatch")))
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/portwatch")))
        .context("no place for a cache: set PORTWATCH_CACHE to a folder")?;
    fs::create_dir_all(&path).with_context(|| format!("cannot make the cache folder {}", path.display()))?;
    Ok(path)
}

/// Held while one part of the cache is being filled; a second run waits.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "dropping the file unlocks it")] File);

/// Locks the part `name` of the cache.
pub(crate) fn lock(name: &str) -> Result<Lock> {
    let file = File::create(dir()?.join(format!("{name}.lock")))?;
    flock(&file, FlockOperation::LockExclusive).map_err(io::Error::from)?;
    Ok(Lock(file))
}
