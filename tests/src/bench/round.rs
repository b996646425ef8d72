//! One round of an operation: from one tick of the kernel's timer to another, with as many operations before as it takes
//! until the kernel's deferred work is under way.
//!
//! What an operation leaves for later (memory that waits for a grace period) is done in batches, some ticks later. A round
//! that began at rest would count fewer batches than it causes, and one that ended anywhere one more or less.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

/// Ticks that lead in.
const LEAD_IN: u32 = 6;
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// At least.
    pub(super) length: Duration,
    /// The process that watches, where there is one.
    pub(super) watcher: Option<u32>,
}

/// What a round took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) time: u64,
    pub(super) operations: u32,
    /// And those before it.
    pub(super) with_lead_in: u32,
}

impl Taken {
    pub(super) fn each(self) -> f64 {
        self.time as f64 / f64::from(self.operations)
    }
}

impl Round {
    /// Times the turns by that clock.
    pub(super) fn time(self, clock: ClockId, mut turn: impl FnMut() -> Result<()>) -> Result<Taken> {
        let lead_in = (0..LEAD_IN).map(|_| until_tick(&mut turn)).sum::<Result<u32>>()?;
        let (start, mut operations) = (time_of(clock), 0);
        let mut time = 0;
        while u128::from(time) < self.length.as_nanos() {
            operations += until_tick(&mut turn)?;
            time = time_of(clock) - start;
        }
        Ok(Taken { time, operations, with_lead_in: lead_in + operations })
    }
}

/// Takes turns until the timer has ticked; returns how many. This clock goes by ticks and costs next to nothing to read.
fn until_tick(turn: &mut impl FnMut() -> Result<()>) -> Result<u32> {
    let before = time_of(ClockId::MonotonicCoarse);
    let mut turns = 0;
    loop {
        black_box(turn()?);
        turns += 1;
        if time_of(ClockId::MonotonicCoarse) != before {
            return Ok(turns);
        }
    }
}

fn time_of(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    (time.tv_sec * 1_000_000_000 + time.tv_nsec).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_counted() {
        let mut turns = 0;
        let count = || {
            turns += 1;
            Ok(())
        };
        let round = Round { length: Duration::from_millis(10), watcher: None };
        let taken = round.time(ClockId::Monotonic, count).unwrap();
        assert_eq!(taken.with_lead_in, turns);
        assert!(taken.operations < turns && taken.time >= 10_000_000);
    }
}
