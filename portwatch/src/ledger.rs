//! Counts conflicts and the refusals that they stand for, each once, and puts it into one line.

use crate::model::{Cause, Conflict};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;

/// Conflicts whose repeats are recognised; as many as the correlator follows.
const REMEMBERED: usize = 4_096;

/// What was told so far.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    summary: Summary,
    /// How often each conflict was refused, by its id.
    seen: HashMap<String, u64>,
    order: VecDeque<String>,
}

impl Ledger {
    /// Takes in what has grown of a conflict; `false` if it is not known here.
    pub fn grow(&mut self, conflict: &Conflict) -> bool {
        let Some(before) = self.seen.get_mut(&conflict.id) else { return false };
        self.summary.refusals += conflict.count.saturating_sub(*before);
        *before = conflict.count;
        true
    }

    /// Takes a conflict in that is not known here yet.
    pub fn open(&mut self, conflict: &Conflict) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(conflict.id.clone());
        self.seen.insert(conflict.id.clone(), conflict.count);
        self.summary.add(conflict);
    }

    /// All of it.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// What was shown, and what was lost on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Conflicts shown.
    pub conflicts: u64,
    /// Refusals that they stand for.
    pub refusals: u64,
    /// Conflicts by class.
    pub by_cause: BTreeMap<Cause, u64>,
    /// What was lost, by the counter's name; zeros are left out of the line.
    pub lost: Vec<(String, u64)>,
}

impl Summary {
    /// The same with what was lost.
    #[must_use]
    pub fn with_lost<N: Into<String>>(&self, lost: impl IntoIterator<Item = (N, u64)>) -> Self {
        Self { lost: lost.into_iter().map(|(name, count)| (name.into(), count)).collect(), ..self.clone() }
    }

    fn add(&mut self, conflict: &Conflict) {
        self.conflicts += 1;
        self.refusals += conflict.count;
        *self.by_cause.entry(conflict.cause).or_default() += 1;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = counted(self.refusals, "refused call");
        write!(f, "portwatch: {}, {refused}", counted(self.conflicts, "conflict"))?;
        for (index, (cause, count)) in self.by_cause.iter().enumerate() {
            write!(f, "{} {count} {cause}", if index == 0 { ":" } else { "," })?;
        }
        let mut lost = self.lost.iter().filter(|(_, count)| *count > 0).peekable();
        if lost.peek().is_none() {
            return f.write_str("; nothing lost");
        }
        f.write_str("; lost:")?;
        for (index, (name, count)) in lost.enumerate() {
            write!(f, "{} {count} {}", if index == 0 { "" } else { "," }, name.replace('_', " "))?;
        }
        Ok(())
    }
}

/// `1 conflict`, `2 conflicts`.
pub fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
