//! The file of TLS and passwords, in the form of Prometheus's exporter toolkit, read again whenever it or a file that it
//! names has changed.
//!
//! While it is broken nobody is let in: the last good one may be the one with the password that was to be withdrawn. What
//! was good last still decides whether the refusal is told by TLS.

mod file;
mod tls;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::basic::Verifier;
use crate::text::printable;
pub(super) use file::Rules;

/// The file is of no use. Its message is complete.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", printable(&.path.to_string_lossy()))]
pub struct WebConfigError {
    /// The file, or one that it names.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

impl WebConfigError {
    fn new(path: &Path, what: impl std::fmt::Display) -> Self {
        Self { path: path.to_path_buf(), what: what.to_string() }
    }
}

/// The file, and what it says now.
#[derive(Debug)]
pub struct WebConfig {
    path: PathBuf,
    seen: Mutex<Seen>,
    verifier: Verifier,
}

/// As it was when it was looked at last.
#[derive(Debug)]
struct Seen {
    stamps: Vec<(PathBuf, Option<Stamp>)>,
    good: Arc<Rules>,
    is_broken: bool,
}

/// What the file says now.
#[derive(Clone, Debug)]
pub(super) struct Now {
    /// The last that was good.
    pub(super) rules: Arc<Rules>,
    /// What the file says since is of no use.
    pub(super) is_broken: bool,
}

/// What changes with a file: device, inode, size, and both times, in nanoseconds too.
type Stamp = [i128; 7];

impl WebConfig {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If it cannot be read, says something that is not understood, or names a file that is of no use.
    pub fn open(path: &Path) -> Result<Self, WebConfigError> {
        let mut stamps = stamp_all(vec![path.to_path_buf()]);
        let rules = read(path, &mut stamps)?;
        let seen = Seen { stamps, good: Arc::new(rules), is_broken: false };
        Ok(Self { path: path.to_path_buf(), seen: Mutex::new(seen), verifier: Verifier::new() })
    }

    /// Whether clients must speak TLS.
    pub fn is_tls(&self) -> bool {
        self.current().rules.acceptor().is_some()
    }

    /// What it says now; reads it again if it has changed.
    pub(super) fn current(&self) -> Now {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.stamps.iter().any(|(path, then)| stamp(path) != *then) {
            let mut stamps = stamp_all(seen.stamps.iter().map(|(path, _)| path.clone()).collect());
            match read(&self.path, &mut stamps) {
                Ok(rules) => {
                    eprintln!("portwatch: {}: read again", printable(&self.path.to_string_lossy()));
                    (seen.good, seen.is_broken) = (Arc::new(rules), false);
                }
                Err(error) => {
                    eprintln!("portwatch: {error}; nobody is let in until it is mended");
                    seen.is_broken = true;
                }
            }
            seen.stamps = stamps;
        }
        Now { rules: Arc::clone(&seen.good), is_broken: seen.is_broken }
    }

    /// Whether the `Authorization` header lets in; anything does where there are no users.
    pub(super) async fn admits(&self, rules: &Rules, header: Option<&[u8]>) -> bool {
        rules.users().is_empty() || self.verifier.admits(rules.users(), header).await
    }
}

/// Reads the file and what it names. The stamps are taken before the reading: a change meanwhile is seen next time.
fn read(path: &Path, stamps: &mut Vec<(PathBuf, Option<Stamp>)>) -> Result<Rules, WebConfigError> {
    let said = file::parse(path)?;
    let mut files = vec![path.to_path_buf()];
    files.extend(said.files(path));
    let own = stamps.first().cloned();
    *stamps = stamp_all(files);
    if let (Some(first), Some(own)) = (stamps.first_mut(), own) {
        *first = own;
    }
    said.rules(path)
}

fn stamp_all(paths: Vec<PathBuf>) -> Vec<(PathBuf, Option<Stamp>)> {
    paths.into_iter().map(|path| (path.clone(), stamp(&path))).collect()
}

/// `None` where there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    let [a, b, c, d] = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()].map(i128::from);
    Some([meta.dev().into(), meta.ino().into(), meta.size().into(), a, b, c, d])
}
