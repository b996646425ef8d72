//! A conflict as rows.

use super::names::Program;
use super::query::nanoseconds;
use crate::model::{Conflict, Evidence, Holder, Process};
use rusqlite::{Connection, OptionalExtension as _, params};

const KNOWN: &str = "SELECT number, count FROM conflict WHERE id = ? AND first_time = ?";
/// Replacing a row takes its holders and its detail with it.
const CONFLICT: &str = "INSERT OR REPLACE INTO conflict (number, id, first_time, time, count, operation, errno, protocol, \
     address, port, netns, backend, cause, victim, victim_pid, culprit, culprit_pid) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const HOLDER: &str = "INSERT INTO holder (conflict, place, part, program, pid, uid, state, local, remote, assigned_by, \
     alive, evidence) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const DETAIL: &str = "INSERT INTO detail (conflict, json) VALUES (?, ?)";

/// Whether the file has the columns that are written.
pub(super) fn has_columns(connection: &Connection) -> rusqlite::Result<()> {
    [KNOWN, CONFLICT, HOLDER, DETAIL].iter().try_for_each(|sql| connection.prepare_cached(sql).map(drop))
}

/// Writes a conflict, over what is known of it if that was refused less often.
pub(super) fn write(connection: &Connection, conflict: &Conflict) -> rusqlite::Result<()> {
    let (first_time, time) = (nanoseconds(conflict.first_time), nanoseconds(conflict.time));
    let count = i64::try_from(conflict.count).unwrap_or(i64::MAX);
    let known: Option<(i64, i64)> = connection
        .prepare_cached(KNOWN)?
        .query_row(params![conflict.id, first_time], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if known.is_some_and(|(_, known)| known >= count) {
        return Ok(());
    }
    let culprit_program = Program::of_culprit(conflict);
    let culprit = conflict.culprit().filter(|_| culprit_program.is_named());
    let number = connection.prepare_cached(CONFLICT)?.insert(params![
        known.map(|(number, _)| number),
        conflict.id,
        first_time,
        time,
        count,
        conflict.operation.as_str(),
        conflict.errno.to_string(),
        conflict.protocol.as_str(),
        conflict.address.to_string(),
        conflict.port,
        conflict.netns,
        conflict.backend,
        conflict.cause.as_str(),
        Program::of(&conflict.victim).number(connection)?,
        conflict.victim.pid,
        culprit_program.number(connection)?,
        culprit.and_then(|holder| holder.process.as_ref()).map(|process| process.pid),
    ])?;
    for (place, holder) in (0_i64..).zip(&conflict.holders) {
        let process = holder.process.as_ref();
        part(connection, (number, place, "holder"), &Program::of_holder(holder), process, holder)?;
        if let Some(creator) = &holder.creator {
            part(connection, (number, place, "creator"), &Program::of(creator), Some(creator), holder)?;
        }
    }
    let json = serde_json::to_string(conflict)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    connection.prepare_cached(DETAIL)?.execute(params![number, json])?;
    Ok(())
}

fn part(
    connection: &Connection,
    (conflict, place, part): (i64, i64, &str),
    program: &Program,
    process: Option<&Process>,
    holder: &Holder,
) -> rusqlite::Result<()> {
    connection.prepare_cached(HOLDER)?.execute(params![
        conflict,
        place,
        part,
        program.number(connection)?,
        process.map(|process| process.pid),
        process.and_then(|process| process.uid),
        holder.state.as_str(),
        holder.local.map(|local| local.to_string()),
        holder.remote.map(|remote| remote.to_string()),
        holder.assigned_by.as_str(),
        holder.alive,
        holder.evidence.map(Evidence::as_str),
    ])?;
    Ok(())
}
