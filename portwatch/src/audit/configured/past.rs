//! Ports that somebody was refused before, because the kernel had given them to another: the history's word.

use super::Configured;
use crate::model::{Cause, ConfiguredBy};
use crate::store::{PastVictim, Reader, StoreError};
use std::path::Path;

/// Only these come again by chance; the others have somebody who wants the same number.
const CAUSES: [Cause; 2] = [Cause::EphemeralClient, Cause::EphemeralBind];
/// Ports that are told, those refused last first.
const MOST: u32 = 1_000;

/// One a protocol and port.
pub(super) fn read(path: &Path, notes: &mut Vec<String>) -> Vec<Configured> {
    let answer = Reader::open(path).and_then(|reader| {
        notes.extend(reader.notice().map(str::to_owned));
        let rows = reader.past_victims(&CAUSES, MOST + 1)?;
        if reader.unreadable() > 0 {
            notes.push(format!("{} ports of the history are of an unknown protocol", reader.unreadable()));
        }
        Ok(rows)
    });
    let mut rows = match answer {
        Ok(rows) => rows,
        Err(StoreError::Missing(_)) => {
            notes.push(format!(
                "ports that were lost before: there is no history at {} (an agent keeps one)",
                path.display()
            ));
            return Vec::new();
        }
        Err(error) => {
            notes.push(format!("ports that were lost before: {error}"));
            return Vec::new();
        }
    };
    if rows.len() > MOST as usize {
        rows.truncate(MOST as usize);
        notes.push(format!(
            "the history has more than {MOST} ports that were lost before; the latest are told"
        ));
    }
    let one = |row: PastVictim| Configured {
        address: row.address.filter(|address| !address.is_unspecified()),
        unit: row.unit,
        netns: Some(row.netns),
        last_time: Some(row.last_time),
        count: Some(row.conflicts),
        ..Configured::new(row.port..=row.port, row.protocol, ConfiguredBy::PastVictim, row.name)
    };
    rows.into_iter().map(one).collect()
}
