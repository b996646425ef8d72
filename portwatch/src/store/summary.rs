//! Conflicts summed up by who had the port, who was refused, or the class.

use super::StoreError;
use super::names::Wanted;
use super::query::{By, Conditions, Query, timestamp, unsigned};
use super::reader::Reader;
use crate::model::{PORTS_SHOWN, SummaryRow};
use rusqlite::{Connection, params_from_iter};
use std::collections::BTreeMap;

impl Reader {
    /// Groups, those with the most conflicts first. The limit of the query is that of the groups.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn summary(&self, by: By, query: &Query) -> Result<Vec<SummaryRow>, StoreError> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        self.sql(|connection| {
            let labels = labels(connection, by)?;
            let conditions = Conditions::of(query, &Wanted::find(connection, query)?);
            let mut statement = connection.prepare(&conditions.groups(by))?;
            let mut rows = statement.query(params_from_iter(&conditions.values))?;
            while let Some(row) = rows.next()? {
                let name = match by {
                    By::Cause => row.get::<_, String>(0)?,
                    By::Victim | By::Culprit => {
                        labels.get(&row.get::<_, i64>(0)?).cloned().unwrap_or_default()
                    }
                };
                groups.entry(name).or_default().add(row)?;
            }
            Ok(())
        })?;
        let mut rows: Vec<_> = groups.into_iter().map(|(name, group)| group.row(name)).collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.conflicts, row.refusals, row.last)));
        rows.truncate(query.limit.map_or(usize::MAX, |limit| limit as usize));
        Ok(rows)
    }
}

/// Names of programs by their number.
fn labels(connection: &Connection, by: By) -> rusqlite::Result<BTreeMap<i64, String>> {
    if by == By::Cause {
        return Ok(BTreeMap::new());
    }
    let mut statement = connection.prepare("SELECT number, label FROM program")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// A group while its ports are put together.
#[derive(Debug, Default)]
struct Group {
    ports: BTreeMap<u16, u64>,
    conflicts: u64,
    refusals: u64,
    first: Option<i64>,
    last: i64,
}

impl Group {
    fn add(&mut self, row: &rusqlite::Row<'_>) -> rusqlite::Result<()> {
        let refusals = unsigned(row, 3)?;
        *self.ports.entry(row.get(1)?).or_default() += refusals;
        self.conflicts += unsigned(row, 2)?;
        self.refusals += refusals;
        let first = row.get(4)?;
        self.first = Some(self.first.map_or(first, |known| known.min(first)));
        self.last = self.last.max(row.get(5)?);
        Ok(())
    }

    fn row(self, name: String) -> SummaryRow {
        let mut ports: Vec<_> = self.ports.into_iter().collect();
        ports.sort_by_key(|&(port, refusals)| (std::cmp::Reverse(refusals), port));
        SummaryRow {
            name,
            conflicts: self.conflicts,
            refusals: self.refusals,
            port_count: ports.len() as u64,
            ports: ports.into_iter().take(PORTS_SHOWN).map(|(port, _)| port).collect(),
            first: timestamp(self.first.unwrap_or_default()),
            last: timestamp(self.last),
        }
    }
}
