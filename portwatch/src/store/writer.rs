//! The one writer: takes the place, sets aside what is not ours, writes in batches, keeps the file small.

use super::aside::set_aside;
use super::migrate::migrate;
use super::place::Place;
use super::reader::is_empty;
use super::retention::{Retention, tidy};
use super::schema::{APPLICATION_ID, STEPS};
use super::{StoreError, row};
use crate::model::Conflict;
use crate::sink::Told;
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How long a writer waits for another: a person with the sqlite3 tool.
const PATIENCE: Duration = Duration::from_secs(2);
/// A file larger than this is read through only if there is a reason to doubt it: it takes a second each 500 MB.
const CHECKED: u64 = 512 << 20;
/// To this size the log is cut when all of it is in the file.
const LOG: i64 = 4 << 20;

/// An open history that is ours to write.
#[derive(Debug)]
pub struct Writer {
    // Closed before the place is given up.
    connection: Connection,
    retention: Retention,
    place: Place,
}

/// What a file turned out to be.
enum Found {
    Empty,
    Ours,
    /// To be set aside: as what, and why.
    Not(&'static str, String),
}

impl Writer {
    /// Opens it, and makes it if there is none; with it what the log is to say: that a file was set aside, say.
    ///
    /// # Errors
    /// If it cannot be written here, another agent writes to it, or a later portwatch made it.
    pub fn open(path: &Path, retention: Retention) -> Result<(Self, Vec<String>), StoreError> {
        Self::open_doubting(path, retention, false)
    }

    /// The same; `doubt` has the file read through, however large it is.
    pub(super) fn open_doubting(
        path: &Path,
        retention: Retention,
        doubt: bool,
    ) -> Result<(Self, Vec<String>), StoreError> {
        let place = Place::take(path)?;
        let path = &place.path;
        let mut notices = Vec::new();
        let (found, connection) = match examine(path, doubt)? {
            (Found::Not(what, why), connection) => {
                drop(connection);
                let to = set_aside(path, what)?;
                notices.push(format!(
                    "{} is {what} ({why}); it is now {} and a new history begins. Nothing of it was deleted",
                    path.display(),
                    to.display()
                ));
                place.make_file()?;
                (Found::Empty, None)
            }
            other => other,
        };
        let mut connection = match connection {
            Some(connection) => connection,
            None => connect(path)?,
        };
        let mode = set_up(&mut connection, &found).map_err(|error| StoreError::of(path, error))?;
        if mode != "wal" {
            notices.push(format!(
                "{} has no write-ahead log (journal mode {mode}): who reads the history may have to wait",
                path.display()
            ));
        }
        Ok((Self { connection, retention, place }, notices))
    }

    /// Writes conflicts, all or none. One that is known is overwritten if it has grown.
    ///
    /// # Errors
    /// If the disk is full, or the file cannot be written.
    pub fn write(&mut self, batch: &[Told]) -> Result<(), StoreError> {
        self.write_all(batch.iter().map(|told| &*told.conflict))
    }

    pub(super) fn write_all<'a>(
        &mut self,
        batch: impl IntoIterator<Item = &'a Conflict>,
    ) -> Result<(), StoreError> {
        let path = &self.place.path;
        let connection = &mut self.connection;
        let write = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            batch.into_iter().try_for_each(|conflict| row::write(&transaction, conflict))?;
            transaction.commit()
        };
        write().map_err(|error| StoreError::of(path, error))
    }

    /// Deletes what is too old or too much, and takes the log into the file. To be called about once a minute.
    ///
    /// # Errors
    /// As of `write`.
    pub fn maintain(&mut self) -> Result<(), StoreError> {
        let tidied = tidy(&self.connection, self.retention, Timestamp::now()).and_then(|()| {
            // Whoever reads just now is not waited for.
            self.connection.busy_timeout(Duration::ZERO)?;
            let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.connection.busy_timeout(PATIENCE)?;
            checkpoint
        });
        tidied.map_err(|error| StoreError::of(&self.place.path, error))
    }
}

/// What the file is, and the connection that found out.
fn examine(path: &Path, doubt: bool) -> Result<(Found, Option<Connection>), StoreError> {
    let connection = connect(path)?;
    let is_small = fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED);
    let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
    let look = || -> rusqlite::Result<(Found, i32)> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        let found = match application {
            0 if is_empty(&connection)? => Found::Empty,
            APPLICATION_ID if version > known => Found::Ours,
            APPLICATION_ID if version < 1 => Found::Not("damaged", "its version is missing".into()),
            APPLICATION_ID if doubt || is_small => match quick_check(&connection)? {
                None => Found::Ours,
                Some(fault) => Found::Not("damaged", fault),
            },
            APPLICATION_ID => Found::Ours,
            _ => Found::Not("foreign", "another program's SQLite database".into()),
        };
        Ok((found, version))
    };
    match look() {
        Ok((Found::Ours, found)) if found > known => {
            Err(StoreError::Newer { path: path.to_owned(), found, known })
        }
        Ok((Found::Ours, version)) if version == known && row::has_columns(&connection).is_err() => {
            Ok((Found::Not("damaged", "tables or columns are missing".into()), Some(connection)))
        }
        Ok((found, _)) => Ok((found, Some(connection))),
        Err(error) => match StoreError::of(path, error) {
            StoreError::Damaged { what, .. } => Ok((Found::Not("damaged", what), Some(connection))),
            StoreError::Foreign { what, .. } => Ok((Found::Not("foreign", what), Some(connection))),
            other => Err(other),
        },
    }
}

/// The first fault, if there is one.
fn quick_check(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then(|| said.lines().last().unwrap_or_default().to_owned()))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        Ok(connection)
    };
    open().map_err(|error| StoreError::of(path, error))
}

/// Today's layout, and how it is written. Returns the journal mode.
fn set_up(connection: &mut Connection, found: &Found) -> rusqlite::Result<String> {
    if matches!(found, Found::Empty) {
        // Only a file without tables takes it.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    // After a loss of power the last seconds may be missing; the file is whole all the same.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {LOG}"), [], |_| Ok(()))?;
    connection.pragma_update(None, "trusted_schema", false)?;
    migrate(connection, APPLICATION_ID, STEPS)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(mode)
}
