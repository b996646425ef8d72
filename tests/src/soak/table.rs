//! The score: a line a kind of conflict, and the last line, which other programs read.

use std::collections::BTreeMap;

use super::judge::Outcome;
use super::kind::Kind;

/// Counts of conflicts.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    counts: BTreeMap<(Kind, Outcome), u64>,
    /// Reports on what nobody staged.
    pub(super) strays: u64,
}

impl Table {
    pub(super) fn count(&mut self, kind: Kind, outcome: Outcome) {
        *self.counts.entry((kind, outcome)).or_default() += 1;
    }

    pub(super) fn total(&self, outcome: Outcome) -> u64 {
        self.counts.iter().filter(|((_, counted), _)| *counted == outcome).map(|(_, count)| count).sum()
    }

    pub(super) fn conflicts(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Conflicts that were not answered as they must be.
    pub(super) fn failures(&self) -> u64 {
        Outcome::ALL
            .into_iter()
            .filter(|outcome| outcome.is_failure())
            .map(|outcome| self.total(outcome))
            .sum()
    }

    pub(super) fn print(&self) {
        println!(
            "{:<26} {:>7} {:>12} {:>14} {:>7} {:>7} {:>5} {:>6}",
            "conflict", "right", "raced:right", "raced:unnamed", "unnamed", "inexact", "wrong", "missed"
        );
        for kind in Kind::ALL {
            let count = |outcome| self.counts.get(&(kind, outcome)).copied().unwrap_or(0);
            line(kind.name(), &Outcome::ALL.map(count));
        }
        line("all", &Outcome::ALL.map(|outcome| self.total(outcome)));
    }

    /// The last line of a run.
    pub(super) fn closing(&self, row: &str, lost: u64, seed: u64) -> String {
        let right = self.total(Outcome::Right) + self.total(Outcome::RacedRight);
        let unnamed = self.total(Outcome::Unnamed) + self.total(Outcome::RacedUnnamed);
        format!(
            "SOAK row={row} conflicts={} right={right} wrong={} unnamed={unnamed} missed={} lost={lost} seed={seed} \
             inexact={} strays={}",
            self.conflicts(),
            self.total(Outcome::Wrong),
            self.total(Outcome::Missed),
            self.total(Outcome::Inexact),
            self.strays
        )
    }
}

fn line(title: &str, counts: &[u64; 7]) {
    let [right, raced_right, raced_unnamed, unnamed, inexact, wrong, missed] = counts;
    println!(
        "{title:<26} {right:>7} {raced_right:>12} {raced_unnamed:>14} {unnamed:>7} {inexact:>7} {wrong:>5} {missed:>6}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_conflict_is_in_the_closing_line_once() {
        let mut table = Table::default();
        for outcome in Outcome::ALL {
            table.count(Kind::TcpClient, outcome);
            table.count(Kind::UdpBind, outcome);
        }
        assert_eq!((table.conflicts(), table.failures()), (14, 8));
        assert_eq!(
            table.closing("6.12/x86_64/fexit", 3, 9),
            "SOAK row=6.12/x86_64/fexit conflicts=14 right=4 wrong=2 unnamed=4 missed=2 lost=3 seed=9 inexact=2 strays=0"
        );
    }
}
