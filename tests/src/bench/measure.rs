//! Rounds of an operation, and what they come to: the middle half counts, and how far it is apart is told.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::operation::{Operation, Round};
use crate::netns::{Netns, Range};

/// As wide as it gets: in a narrow range the kernel's search for a free port would be measured too.
const RANGE: Range = Range { low: 1_024, high: 65_535 };

/// Rounds in which caches, slabs and the kernel's own late starters settle.
const WARM_UP: usize = 2;

/// What a round leaves behind for later (memory that waits for a grace period, a namespace to be taken down) is done in
/// this time. An emulated machine that counts instructions passes over it.
const SETTLE: Duration = Duration::from_millis(500);

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) operations: u32,
}

/// What an operation takes.
#[derive(Debug, PartialEq)]
pub(super) struct Measured {
    instructions: u64,
    /// Width of the middle half of the rounds, in percent of the median.
    spread: f64,
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "instructions={} spread={:.3}", self.instructions, self.spread)
    }
}

/// Repeats an operation in rounds, each in a network namespace of its own. The first rounds warm up and do not count.
pub(super) fn measure(operation: &Operation, watcher: Option<u32>, effort: Effort) -> Result<Measured> {
    let round = Round { operations: effort.operations, watcher };
    // The namespaces live until all rounds are over: taking one down is work that would run into the next round.
    let mut namespaces = Vec::new();
    let mut rounds = Vec::new();
    for _ in 0..WARM_UP + effort.rounds {
        let netns = Netns::new(RANGE)?;
        thread::sleep(SETTLE);
        rounds.push(netns.within(|| (operation.repeat)(round))? / u64::from(effort.operations));
        namespaces.push(netns);
    }
    drop(namespaces);
    thread::sleep(SETTLE);
    Ok(middle_half(&mut rounds[WARM_UP..]))
}

/// A timer of the kernel that falls into one round says nothing about the others.
fn middle_half(rounds: &mut [u64]) -> Measured {
    rounds.sort_unstable();
    let quarter = rounds.len() / 4;
    let median = rounds[rounds.len() / 2];
    let width = rounds[rounds.len() - 1 - quarter] - rounds[quarter];
    Measured { instructions: median, spread: width as f64 * 100.0 / median as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_round_does_not_move_the_median() {
        let measured = middle_half(&mut [100, 101, 99, 100, 150]);
        assert_eq!(measured, Measured { instructions: 100, spread: 1.0 });
        assert_eq!(measured.to_string(), "instructions=100 spread=1.000");
    }
}
