//! Which ports were lost before, and by whom.

use super::StoreError;
use super::query::{timestamp, unsigned};
use super::reader::Reader;
use crate::model::{Cause, Protocol};
use jiff::Timestamp;
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use std::net::IpAddr;

/// A port that somebody was refused; who and when is that of the latest time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastVictim {
    /// The protocol.
    pub protocol: Protocol,
    /// The port; never 0.
    pub port: u16,
    /// The wanted address.
    pub address: Option<IpAddr>,
    /// Network namespace, by the number that it had then.
    pub netns: u32,
    /// What a person calls the victim.
    pub name: String,
    /// Its systemd unit.
    pub unit: Option<String>,
    /// When it was refused.
    pub last_time: Timestamp,
    /// Conflicts about the port.
    pub conflicts: u64,
}

impl Reader {
    /// Ports with conflicts of these causes, one row a protocol and port, those refused last first.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn past_victims(&self, causes: &[Cause], limit: u32) -> Result<Vec<PastVictim>, StoreError> {
        let marks = vec!["?"; causes.len()].join(", ");
        // With max() SQLite takes the other columns from the row that has it.
        let sql = format!(
            "SELECT c.protocol, c.port, c.address, c.netns, v.label, v.unit, max(c.time), count(*) \
             FROM conflict AS c JOIN program AS v ON v.number = c.victim \
             WHERE c.cause IN ({marks}) AND c.port != 0 \
             GROUP BY c.protocol, c.port ORDER BY max(c.time) DESC, c.port LIMIT {limit}"
        );
        self.sql(|connection| {
            let mut statement = connection.prepare(&sql)?;
            let values = causes.iter().map(|cause| Value::Text(cause.as_str().to_owned()));
            let mut rows = statement.query(params_from_iter(values))?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                // One that a later portwatch wrote must not hide the others.
                match row.get_ref(0)?.as_str()?.parse() {
                    Ok(protocol) => all.push(of(protocol, row)?),
                    Err(_) => self.unreadable.set(self.unreadable.get() + 1),
                }
            }
            Ok(all)
        })
    }
}

fn of(protocol: Protocol, row: &rusqlite::Row<'_>) -> rusqlite::Result<PastVictim> {
    let unit: String = row.get(5)?;
    Ok(PastVictim {
        protocol,
        port: row.get(1)?,
        address: row.get_ref(2)?.as_str()?.parse().ok(),
        netns: row.get(3)?,
        name: row.get(4)?,
        unit: (!unit.is_empty()).then_some(unit),
        last_time: timestamp(row.get(6)?),
        conflicts: unsigned(row, 7)?,
    })
}
