//! Reads the history, and never writes to it: beside a running agent, after its end, and after `kill -9`.

use super::StoreError;
use super::names::Wanted;
use super::place::beside;
use super::query::{Conditions, Query, timestamp, unsigned};
use super::schema::{APPLICATION_ID, STEPS};
use crate::model::Conflict;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, params_from_iter};
use std::cell::Cell;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a reader waits for a writer; in WAL that happens only while the file is being taken into use.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open history.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
    notice: Option<String>,
    pub(super) unreadable: Cell<u64>,
}

impl Reader {
    /// Opens it for reading.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is none; else why it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                let what = "it is no file".to_owned();
                return Err(StoreError::Foreign { path: path.to_owned(), what });
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(StoreError::Missing(path.to_owned()));
            }
            Err(error) => return Err(StoreError::system(path, "looking at", error)),
        }
        let (connection, notice) = connect(path)?;
        let reader = Self { path: path.to_owned(), connection, notice, unreadable: Cell::new(0) };
        reader.check()?;
        Ok(reader)
    }

    /// What the reader of an answer must know: that the last seconds may be missing, say.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Reports that could not be read back so far, and were left out.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable.get()
    }

    /// Conflicts, newest first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn conflicts(&self, query: &Query) -> Result<Vec<Conflict>, StoreError> {
        let mut all = Vec::new();
        self.each(query, |conflict| {
            all.push(conflict);
            true
        })?;
        Ok(all)
    }

    /// The same one by one, so that a million need no memory; `false` is enough of them.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn each(&self, query: &Query, mut tell: impl FnMut(Conflict) -> bool) -> Result<(), StoreError> {
        self.sql(|connection| {
            let conditions = Conditions::of(query, &Wanted::find(connection, query)?);
            let mut statement = connection.prepare(&conditions.reports(query.limit))?;
            let mut rows = statement.query(params_from_iter(&conditions.values))?;
            while let Some(row) = rows.next()? {
                let Some(conflict) = self.report(row)? else { continue };
                if !tell(conflict) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// How many fit, by the limit of the query at most; no report is read for that.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn count(&self, query: &Query) -> Result<u64, StoreError> {
        self.sql(|connection| {
            let conditions = Conditions::of(query, &Wanted::find(connection, query)?);
            let sql = conditions.count(query.limit);
            connection.query_row(&sql, params_from_iter(&conditions.values), |row| unsigned(row, 0))
        })
    }

    /// The conflict with this id; of several boots the latest.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn by_id(&self, id: &str) -> Result<Option<Conflict>, StoreError> {
        self.sql(|connection| {
            let mut statement = connection.prepare(
                "SELECT detail.json FROM conflict JOIN detail ON detail.conflict = conflict.number \
                 WHERE id = ? ORDER BY first_time DESC LIMIT 1",
            )?;
            let found = statement.query_row([id], |row| self.report(row)).optional()?;
            Ok(found.flatten())
        })
    }

    /// How many conflicts there are, and of what time the oldest is.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn extent(&self) -> Result<(u64, Option<jiff::Timestamp>), StoreError> {
        self.sql(|connection| {
            connection.query_row("SELECT count(*), min(time) FROM conflict", [], |row| {
                Ok((unsigned(row, 0)?, row.get::<_, Option<i64>>(1)?.map(timestamp)))
            })
        })
    }

    /// A report of its JSON. One that cannot be read, by an unknown cause say, must not hide the others.
    fn report(&self, row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Conflict>> {
        let report = serde_json::from_str(row.get_ref(0)?.as_str()?).ok();
        self.unreadable.set(self.unreadable.get() + u64::from(report.is_none()));
        Ok(report)
    }

    pub(super) fn sql<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        work(&self.connection).map_err(|error| StoreError::of(&self.path, error))
    }

    fn check(&self) -> Result<(), StoreError> {
        let pragma =
            |name: &str| self.sql(|sql| sql.pragma_query_value(None, name, |row| row.get::<_, i32>(0)));
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        let known = i32::try_from(STEPS.len()).unwrap_or(i32::MAX);
        let path = self.path.clone();
        match (application, version) {
            (APPLICATION_ID, found) if found == known => Ok(()),
            (APPLICATION_ID, found) if found > known => Err(StoreError::Newer { path, found, known }),
            (APPLICATION_ID, found) => {
                let what = format!("it has no layout that can be read (layout {found})");
                Err(StoreError::Damaged { path, what })
            }
            _ if self.sql(is_empty)? => Err(StoreError::Missing(path)),
            _ => Err(StoreError::Foreign { path, what: "it is another program's SQLite database".into() }),
        }
    }
}

/// Nothing was ever put into it.
pub(super) fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

/// Three ways, the surest first.
///
/// An agent that stopped leaves the file alone. SQLite would make two more files to read it, which needs the right to
/// write and leaves them behind; so it is read as a file that nobody changes. While an agent runs, and after `kill -9`,
/// the two are there and hold the latest; SQLite reads them without the right to write. If it cannot, for want of the
/// right to read one of them, say, what the file itself holds is better than nothing.
fn connect(path: &Path) -> Result<(Connection, Option<String>), StoreError> {
    let size = |suffix: &str| std::fs::metadata(beside(path, suffix)).ok().map(|file| file.len());
    let has_log = size("-wal").is_some_and(|bytes| bytes > 0);
    if !has_log && size("-shm").is_none() {
        return Ok((open(path, true).map_err(|error| refused(path, error))?, None));
    }
    let error = match open(path, false) {
        Ok(connection) => return Ok((connection, None)),
        Err(error) => error,
    };
    let is_denied = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::ReadOnly
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::SystemIoFailure
        )
    );
    if !is_denied {
        return Err(StoreError::of(path, error));
    }
    let connection = open(path, true).map_err(|error| refused(path, error))?;
    let notice = has_log.then(|| {
        format!(
            "the latest part of the history ({}-wal) could not be read ({error}): conflicts of the last minutes may be missing; root sees them",
            path.display()
        )
    });
    Ok((connection, notice))
}

/// The file is there; if it cannot be opened all the same, that is for want of a right.
fn refused(path: &Path, error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::CannotOpen) => {
            StoreError::Forbidden { path: path.to_owned(), why: "no right to read it".to_owned() }
        }
        _ => StoreError::of(path, error),
    }
}

/// Opens and reads a first page, for SQLite does nothing before that.
fn open(path: &Path, is_unchanging: bool) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => uri.push(char::from(byte)),
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri.push_str(if is_unchanging { "?mode=ro&immutable=1" } else { "?mode=ro" });
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.busy_timeout(PATIENCE)?;
    is_empty(&connection)?;
    Ok(connection)
}
