//! Rounds of an operation, and what they come to: the middle half counts, and how far it is apart is told.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::operation::Operation;
use super::round::Round;
use crate::netns::{Netns, Range};

/// As wide as it gets: in a narrow range the kernel's search for a free port would be measured too.
const RANGE: Range = Range { low: 1_024, high: 65_535 };

/// Rounds in which the kernel gets the memory that the later ones are given again.
const WARM_UP: usize = 1;

/// What a round leaves behind for later (memory that waits for a grace period, a namespace to be taken down) is done in
/// this time. An emulated machine that counts instructions passes over it.
const SETTLE: Duration = Duration::from_millis(500);

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Of a round.
    pub(crate) length: Duration,
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
    let round = Round { length: effort.length * operation.lengths, watcher };
    let mut rounds = Vec::new();
    for _ in 0..WARM_UP + effort.rounds {
        let netns = Netns::new(RANGE)?;
        thread::sleep(SETTLE);
        rounds.push(netns.within(|| (operation.repeat)(round))?.each());
        // With all that the round has left in TIME_WAIT.
        drop(netns);
        thread::sleep(SETTLE);
    }
    Ok(middle_half(&mut rounds[WARM_UP..]))
}

/// A timer of the kernel that falls into one round says nothing about the others.
fn middle_half(rounds: &mut [f64]) -> Measured {
    rounds.sort_by(f64::total_cmp);
    let quarter = rounds.len() / 4;
    let median = rounds[rounds.len() / 2];
    let width = rounds[rounds.len() - 1 - quarter] - rounds[quarter];
    Measured { instructions: median.round() as u64, spread: width * 100.0 / median }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_round_does_not_move_the_median() {
        let measured = middle_half(&mut [100.0, 101.0, 99.0, 100.0, 150.0]);
        assert_eq!(measured, Measured { instructions: 100, spread: 1.0 });
        assert_eq!(measured.to_string(), "instructions=100 spread=1.000");
    }
}
