//! Brings a file to today's layout, one step after the other, each whole or not at all.

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

/// Takes the steps that the file has not seen. Each is one transaction, the version with it: whatever happens in
/// between, the file has either the layout before or the one after. Returns the version before.
pub(super) fn migrate(
    connection: &mut Connection,
    application: i32,
    steps: &[&str],
) -> rusqlite::Result<usize> {
    let before = version(connection)?;
    for (index, step) in steps.iter().enumerate().skip(before) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.execute(
            "INSERT INTO migration (version, time, program) VALUES (?, ?, ?)",
            params![
                number(index + 1),
                super::query::nanoseconds(Timestamp::now()),
                concat!("portwatch ", env!("CARGO_PKG_VERSION")),
            ],
        )?;
        transaction.pragma_update(None, "application_id", application)?;
        transaction.pragma_update(None, "user_version", number(index + 1))?;
        transaction.commit()?;
    }
    Ok(before)
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(0))
}

fn number(version: usize) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema::{APPLICATION_ID, STEPS};

    const NEXT: &str = "ALTER TABLE conflict ADD COLUMN note TEXT";

    #[test]
    fn only_the_steps_not_seen_are_taken() {
        let mut file = Connection::open_in_memory().expect("memory");
        assert_eq!(migrate(&mut file, APPLICATION_ID, STEPS), Ok(0));
        assert_eq!(version(&file), Ok(STEPS.len()));
        let more: Vec<_> = STEPS.iter().copied().chain([NEXT]).collect();
        assert_eq!(migrate(&mut file, APPLICATION_ID, &more), Ok(STEPS.len()));
        file.execute("UPDATE conflict SET note = 'there'", []).expect("the new column");
        assert_eq!(migrate(&mut file, APPLICATION_ID, &more), Ok(more.len()), "nothing more to do");
        let told: i64 =
            file.query_row("SELECT count(*) FROM migration", [], |row| row.get(0)).expect("a count");
        assert_eq!(told, number(more.len()));
    }

    #[test]
    fn a_step_that_fails_leaves_the_layout_before() {
        let mut file = Connection::open_in_memory().expect("memory");
        migrate(&mut file, APPLICATION_ID, STEPS).expect("today's layout");
        let broken = format!("{NEXT}; ALTER TABLE nowhere ADD COLUMN note TEXT");
        let more: Vec<_> = STEPS.iter().copied().chain([broken.as_str()]).collect();
        migrate(&mut file, APPLICATION_ID, &more).expect_err("no such table");
        assert_eq!(version(&file), Ok(STEPS.len()));
        file.execute("UPDATE conflict SET note = 'there'", []).expect_err("the column is not there");
    }
}
