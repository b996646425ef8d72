//! What goes when the history becomes too old or too large: the conflicts that were silent longest.

use super::query::nanoseconds;
use jiff::Timestamp;
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// How much is kept. Whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Since the latest refusal.
    pub age: Duration,
    /// Of the file.
    pub bytes: u64,
}

impl Default for Retention {
    /// 30 days, 256 MiB.
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 86_400), bytes: 256 << 20 }
    }
}

/// Conflicts deleted at once; readers and the next batch wait no longer than that takes.
const CHUNK: usize = 500;
/// How long one round may take. The rest is for the next.
const BUDGET: Duration = Duration::from_secs(2);
/// Pages given back to the file system in one round.
const PAGES: u32 = 16_384;

/// One round.
pub(super) fn tidy(connection: &Connection, retention: Retention, now: Timestamp) -> rusqlite::Result<()> {
    let end = Instant::now() + BUDGET;
    let oldest = nanoseconds(now).saturating_sub(i64::try_from(retention.age.as_nanos()).unwrap_or(i64::MAX));
    let mut deleted = 0;
    while Instant::now() < end {
        let gone = delete_oldest(connection, oldest, CHUNK)?;
        deleted += gone;
        if gone == 0 {
            break;
        }
    }
    // A tenth is freed beyond what is needed, so that this is not done anew for every conflict.
    let used_before = used(connection)?;
    if used_before > retention.bytes {
        let target = retention.bytes / 10 * 9;
        let count: i64 = connection.query_row("SELECT count(*) FROM conflict", [], |row| row.get(0))?;
        let bytes_each = (used_before / count.unsigned_abs().max(1)).max(1);
        while Instant::now() < end {
            let Some(over) = used(connection)?.checked_sub(target).filter(|over| *over > 0) else { break };
            let rows = usize::try_from(over / bytes_each).unwrap_or(CHUNK).clamp(1, CHUNK);
            let gone = delete_oldest(connection, i64::MAX, rows)?;
            deleted += gone;
            if gone == 0 {
                break;
            }
        }
    }
    if deleted > 0 {
        forget_programs(connection)?;
    }
    give_back(connection)
}

fn delete_oldest(connection: &Connection, before: i64, rows: usize) -> rusqlite::Result<usize> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM conflict WHERE number IN (SELECT number FROM conflict WHERE time < ?1 ORDER BY time LIMIT ?2)",
    )?;
    delete.execute(rusqlite::params![before, i64::try_from(rows).unwrap_or(i64::MAX)])
}

/// Programs that no conflict speaks of any more.
fn forget_programs(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM program WHERE NOT EXISTS (SELECT 1 FROM conflict WHERE victim = program.number) \
         AND NOT EXISTS (SELECT 1 FROM conflict WHERE culprit = program.number) \
         AND NOT EXISTS (SELECT 1 FROM holder WHERE program = program.number)",
        [],
    )?;
    Ok(())
}

/// Bytes of the pages in use.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    Ok(pages.unsigned_abs().saturating_mul(pragma("page_size")?.unsigned_abs()))
}

/// The pragma frees a page a step.
fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
