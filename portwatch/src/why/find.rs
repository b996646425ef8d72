//! Target + history → the conflicts that are told. What a word can mean is tried in turn, the likeliest first.

use super::history::History;
use super::target::Target;
use crate::model::Conflict;
use crate::store::Query;
use jiff::Timestamp;

/// Earlier conflicts that are told in one line each.
pub const EARLIER: usize = 5;
/// Further ones that are counted, and no more.
const COUNTED: u32 = 1_000;
/// Bytes that the kernel keeps of a name.
const COMM: usize = 15;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The newest first, at most one and [`EARLIER`].
    pub conflicts: Vec<Conflict>,
    /// How many more there are.
    pub more: usize,
    /// There may be more than that.
    pub is_cut: bool,
    /// How the target was understood, where that is not plain.
    pub note: Option<String>,
    /// What may be missing, in sentences.
    pub gaps: Vec<String>,
    /// What the others are asked for with in `portwatch history`; empty where that has no flag for it.
    pub filter: String,
}

/// Looks for a target, in conflicts since a time.
///
/// # Errors
/// If the history could not be read.
pub fn find(history: &dyn History, target: &Target, since: Option<Timestamp>) -> anyhow::Result<Found> {
    let found = search(history, target, since)?;
    Ok(Found { gaps: history.gaps(), ..found })
}

fn search(history: &dyn History, target: &Target, since: Option<Timestamp>) -> anyhow::Result<Found> {
    let base = Query { since, limit: Some(COUNTED), ..Query::default() };
    let search = Search { history, base };
    match target {
        Target::Last => search.last(),
        Target::Port { port, protocol } => {
            let of = protocol.map_or_else(String::new, |protocol| format!(" --protocol {protocol}"));
            let filter = format!("--port {port}{of}");
            let query = Query { ports: vec![*port..=*port], protocol: *protocol, ..search.base.clone() };
            let found = search.ask(&query, filter)?;
            if !found.conflicts.is_empty() || protocol.is_some() {
                return Ok(found);
            }
            let note = format!("Nothing is recorded about port {port}; this is about pid {port}.");
            Ok(search.pid(u32::from(*port))?.noted(note))
        }
        Target::Pid(pid) => search.pid(*pid),
        Target::Unit(unit) => search.unit(unit),
        Target::Id(id) => match search.history.by_id(id)? {
            Some(conflict) => Ok(Found { conflicts: vec![conflict], ..Found::default() }),
            None => search.name(id),
        },
        Target::Name(name) => search.name(name),
    }
}

struct Search<'a> {
    history: &'a dyn History,
    base: Query,
}

impl Search<'_> {
    fn ask(&self, query: &Query, filter: String) -> anyhow::Result<Found> {
        let conflicts = self.history.newest(query, 1 + EARLIER)?;
        // Whole reports are read only of those that are told.
        let count = if conflicts.len() > EARLIER { self.history.count(query)? } else { conflicts.len() };
        let (more, is_cut) = (count.saturating_sub(conflicts.len()), count >= COUNTED as usize);
        Ok(Found { conflicts, more, is_cut, filter, ..Found::default() })
    }

    /// One is asked for: the others have nothing to do with it.
    fn last(&self) -> anyhow::Result<Found> {
        let conflicts = self.history.newest(&self.base, 1)?;
        Ok(Found { conflicts, ..Found::default() })
    }

    fn pid(&self, pid: u32) -> anyhow::Result<Found> {
        self.ask(&Query { pid: Some(pid), ..self.base.clone() }, String::new())
    }

    /// Where the unit was refused; failing that where it was in the way.
    fn unit(&self, unit: &str) -> anyhow::Result<Found> {
        let word = crate::text::command_line(&[unit]);
        let either = Query { unit: Some(unit.to_owned()), ..self.base.clone() };
        let refused = Query { only_victim: true, ..either.clone() };
        let found = self.ask(&refused, format!("--victim {word}"))?;
        if !found.conflicts.is_empty() {
            return Ok(found);
        }
        Ok(self.ask(&either, format!("--culprit {word}"))?.noted(in_the_way(unit)))
    }

    /// By victim, by culprit, by unit, and by as much of the name as the kernel keeps.
    fn name(&self, name: &str) -> anyhow::Result<Found> {
        let mut found = self.one_name(name)?;
        let kept = cut(name);
        if found.conflicts.is_empty() && kept != name {
            let shown = crate::text::printable(kept);
            found = self
                .one_name(kept)?
                .noted(format!("The kernel keeps 15 characters of a name: this is about {shown}."));
        }
        Ok(found)
    }

    fn one_name(&self, name: &str) -> anyhow::Result<Found> {
        let word = crate::text::command_line(&[name]);
        let victim = Query { victim: Some(name.to_owned()), ..self.base.clone() };
        let found = self.ask(&victim, format!("--victim {word}"))?;
        if !found.conflicts.is_empty() {
            return Ok(found);
        }
        let culprit = Query { culprit: Some(name.to_owned()), ..self.base.clone() };
        let found = self.ask(&culprit, format!("--culprit {word}"))?;
        if !found.conflicts.is_empty() {
            return Ok(found.noted(in_the_way(name)));
        }
        self.unit(&format!("{name}.service"))
    }
}

impl Found {
    fn noted(self, note: String) -> Self {
        let note = (!self.conflicts.is_empty()).then_some(note);
        Self { note, ..self }
    }
}

fn in_the_way(name: &str) -> String {
    format!("{} was not refused itself; it was in the way of others.", crate::text::printable(name))
}

/// As much of a name as the kernel keeps.
fn cut(name: &str) -> &str {
    let end = (0..=COMM.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}
