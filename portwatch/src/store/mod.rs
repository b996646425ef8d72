//! The history of conflicts: one SQLite file, one writer, any number of readers.
//!
//! The agent writes through [`run`]; `why` and `history` read through [`Reader`], while the agent runs, after it has
//! stopped and after it was killed. Whatever befalls the file costs history and is counted; it never stops the agent.

mod aside;
mod migrate;
mod names;
mod past;
mod pending;
mod place;
mod query;
mod reader;
mod retention;
mod row;
mod run;
mod schema;
mod summary;
mod writer;

pub use past::PastVictim;
pub use query::{By, Query};
pub use reader::Reader;
pub use retention::Retention;
pub use run::{Counts, run, run_logging};
pub use writer::Writer;

pub use crate::model::SummaryRow;

use rusqlite::ErrorCode;
use std::path::{Path, PathBuf};

/// Where the agent keeps it.
pub const DEFAULT_PATH: &str = "/var/lib/portwatch/history.db";

/// What can go wrong with the file. The messages are complete: what happened, what it means, what to type.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no file, or nothing in it yet.
    #[error(
        "there is no history at {}: no agent has run on this host yet, or it keeps its history in another place\n  \
         remedy: start the agent (`portwatch agent`), or say where the history is with --store PATH", .0.display()
    )]
    Missing(PathBuf),
    /// It may not be read or written.
    #[error(
        "{} may not be opened: {why}\n  remedy: run it as root, or as a member of the group portwatch", path.display()
    )]
    Forbidden {
        /// The file, or the directory it is in.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Not made by portwatch.
    #[error("{} is not a history of portwatch: {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// Made by portwatch, and broken.
    #[error(
        "{} is damaged: {what}\n  the agent sets a damaged history aside and begins a new one when it starts", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        what: String,
    },
    /// Made by a later version of portwatch.
    #[error(
        "{} was written by a later portwatch (layout {found}; this one knows up to {known}); it is left as it is\n  \
         remedy: use that version, or another file with --store PATH", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// Ours.
        known: i32,
    },
    /// Somebody else could put another file in its place.
    #[error("{} is no safe place for the history: {why}", path.display())]
    Unsafe {
        /// The file or its directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Another agent writes to it.
    #[error(
        "another portwatch agent writes to {}\n  remedy: stop that one, or give this one a file of its own with --store PATH", .0.display()
    )]
    Taken(PathBuf),
    /// No room on the disk.
    #[error(
        "no room left for the history at {}: {what}\n  remedy: free some space on that disk, or keep less history", path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        what: String,
    },
    /// Everything else that SQLite says.
    #[error("the history at {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// Everything else that the system says.
    #[error("{doing} {}: {source}", path.display())]
    System {
        /// Of what.
        path: PathBuf,
        /// What was to be done.
        doing: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

impl StoreError {
    /// What SQLite said of a file, by what it means.
    fn of(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let what = source.to_string();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Self::Foreign { path, what: "it is no SQLite database".into() },
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged { path, what },
            Some(ErrorCode::DiskFull) => Self::Full { path, what },
            Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => Self::Forbidden { path, why: what },
            _ => Self::Sqlite { path, source },
        }
    }

    /// One row is at fault, and not the file.
    fn is_of_a_row(&self) -> bool {
        let Self::Sqlite { source, .. } = self else { return false };
        let code = source.sqlite_error_code();
        matches!(
            code,
            None | Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch)
        )
    }

    /// What the system said of a file.
    fn system(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            std::io::ErrorKind::PermissionDenied => Self::Forbidden { path, why: source.to_string() },
            _ => Self::System { path, doing, source },
        }
    }
}
