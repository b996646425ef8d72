//! Joins reports with truths, in whatever order they come, and counts.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::judge::{self, Outcome, Scene};
use super::table::Table;
use super::truth::{Truth, number_of};

/// Failures that are printed in full; the rest is counted.
const SHOWN: u64 = 20;

/// A conflict that was answered for: its number, and the troupe that waits to hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) troupe: usize,
    pub(super) number: u32,
}

struct Waiting {
    troupe: usize,
    truth: Truth,
    since: Instant,
}

/// Where a conflict without a name was, as far as a report on it tells.
type Place = (u64, String, String, u64);

/// The state of one run.
pub(super) struct Referee {
    scenes: Vec<Scene>,
    patience: Duration,
    seed: u64,
    /// Staged, but not reported yet.
    waiting: HashMap<u32, Waiting>,
    /// Reported before those who did it said so.
    early: HashMap<u32, Value>,
    /// The latest count of every report in the soak's namespaces, and how many refusals it stands for in truth.
    counts: HashMap<String, (u64, u64)>,
    /// Reports of nobody: the next one at the same place is the same conflict to portwatch.
    nameless: HashMap<Place, Value>,
    /// Refused calls in all.
    refused: u64,
    /// Refused calls of others on this machine, by report.
    elsewhere: BTreeMap<String, u64>,
    pub(super) table: Table,
}

impl Referee {
    pub(super) fn new(scenes: Vec<Scene>, patience: Duration, seed: u64) -> Self {
        Self {
            scenes,
            patience,
            seed,
            waiting: HashMap::new(),
            early: HashMap::new(),
            counts: HashMap::new(),
            nameless: HashMap::new(),
            refused: 0,
            elsewhere: BTreeMap::new(),
            table: Table::default(),
        }
    }

    /// A conflict was staged.
    pub(super) fn staged(&mut self, troupe: usize, truth: Truth) -> Option<Answered> {
        self.refused += truth.asked.refused;
        let number = truth.number;
        match self.early.remove(&number) {
            Some(report) => Some(self.judge(troupe, &truth, &report)),
            None => {
                self.waiting.insert(number, Waiting { troupe, truth, since: Instant::now() });
                None
            }
        }
    }

    /// portwatch has said something.
    pub(super) fn reported(&mut self, report: Value) -> Option<Answered> {
        let id = report["id"].to_string();
        let count = report["count"].as_u64().unwrap_or(0);
        if !self.scenes.iter().any(|scene| report["netns"] == scene.netns) {
            self.elsewhere.insert(id, count);
            return None;
        }
        let is_repeat = self.counts.contains_key(&id);
        self.counts.entry(id).or_default().0 = count;
        let number = report["victim"]["comm"].as_str().and_then(number_of);
        match number.and_then(|number| Some((number, self.waiting.remove(&number)?))) {
            Some((_, waiting)) => Some(self.judge(waiting.troupe, &waiting.truth, &report)),
            None if is_repeat => None,
            None => {
                match number {
                    Some(number) if !self.early.contains_key(&number) => {
                        self.early.insert(number, report);
                    }
                    _ => self.stray(&report),
                }
                None
            }
        }
    }

    /// Conflicts that were waited for in vain; all of them, if this is the end.
    pub(super) fn give_up(&mut self, is_the_end: bool) -> Vec<Answered> {
        let is_late = |waiting: &Waiting| is_the_end || waiting.since.elapsed() > self.patience;
        let late: Vec<u32> = self.waiting.iter().filter(|(_, w)| is_late(w)).map(|(&n, _)| n).collect();
        late.into_iter().filter_map(|number| self.without_report(number)).collect()
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Refused calls that portwatch has told of, here and elsewhere.
    pub(super) fn told(&self) -> u64 {
        self.counts.values().map(|(count, _)| count).chain(self.elsewhere.values()).sum()
    }

    /// What does not add up when all is over.
    pub(super) fn close(&mut self) -> Vec<String> {
        for report in std::mem::take(&mut self.early).into_values() {
            self.stray(&report);
        }
        let counted: u64 = self.counts.values().map(|(count, _)| count).sum();
        let mut faults = Vec::new();
        if counted != self.refused && self.table.total(Outcome::Missed) == 0 {
            faults.push(format!("{} calls were refused, but {counted} were counted", self.refused));
        }
        faults
    }

    /// Without a culprit, a second conflict at a place is the first one's repeat: it has no report of its own, but the
    /// count shows that it was seen.
    fn without_report(&mut self, number: u32) -> Option<Answered> {
        let Waiting { troupe, truth, .. } = self.waiting.remove(&number)?;
        let place = place_of(&truth, self.scenes.get(troupe)?);
        let counted = self.nameless.get(&place).map(|report| report["id"].to_string());
        let has_room = counted
            .and_then(|id| self.counts.get_mut(&id))
            .filter(|(count, known)| *count >= *known + truth.asked.refused);
        let outcome = match has_room {
            Some((_, known)) => {
                *known += truth.asked.refused;
                if truth.pace == super::truth::Pace::Raced { Outcome::RacedUnnamed } else { Outcome::Unnamed }
            }
            None => Outcome::Missed,
        };
        self.note(&truth, outcome, "no report of its own", &Value::Null);
        Some(Answered { troupe, number })
    }

    fn judge(&mut self, troupe: usize, truth: &Truth, report: &Value) -> Answered {
        let answered = Answered { troupe, number: truth.number };
        let Some(scene) = self.scenes.get(troupe) else { return answered };
        let (outcome, mismatches) = judge::judge(truth, report, scene);
        if report["holders"][0]["process"].is_null() {
            self.nameless.insert(place_of(truth, scene), report.clone());
        }
        self.counts.entry(report["id"].to_string()).or_default().1 += truth.asked.refused;
        let complaint: Vec<_> = mismatches
            .iter()
            .map(|m| format!("{}: expected {}, got {}", m.field, m.expected, m.got))
            .collect();
        self.note(truth, outcome, &complaint.join("\n  "), report);
        answered
    }

    fn note(&mut self, truth: &Truth, outcome: Outcome, complaint: &str, report: &Value) {
        self.table.count(truth.kind, outcome);
        if outcome.is_failure() && self.table.failures() <= SHOWN {
            println!(
                "FAIL {outcome:?} {} seed={}\n  {complaint}\n  truth: {truth:?}\n  report: {report}",
                truth.kind.name(),
                self.seed
            );
        }
    }

    fn stray(&mut self, report: &Value) {
        self.table.strays += 1;
        if self.table.strays <= SHOWN {
            println!("FAIL a report on what nobody staged, seed={}\n  report: {report}", self.seed);
        }
    }
}

fn place_of(truth: &Truth, scene: &Scene) -> Place {
    let asked = &truth.asked;
    let protocol = asked.transport.protocol().to_owned();
    (scene.netns, protocol, asked.wanted.ip().to_string(), asked.wanted.port().into())
}

#[cfg(test)]
#[path = "referee_tests.rs"]
mod tests;
