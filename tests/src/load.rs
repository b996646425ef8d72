//! `lineup load`: portwatch under load: storms of refusals, full tables, its start, and what connections cost amid it.
//!
//! What is measured is told in lines `BENCH key=value …`, which `cargo xtask bench` makes tables of; what must hold on any
//! machine in lines `ok` or `FAIL`.

mod cast;
mod cost;
mod latency;
mod storm;
mod tracer;
mod victims;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Load {
    /// Refuse thousands of calls a second under an agent, and compare what it counted with what was refused
    Storm(storm::Args),
    /// Measure the time from a refusal to its printed line, in quiet and amid a storm
    Latency(latency::Args),
    /// Be refused again and again (started by the others)
    #[command(hide = true)]
    Victims(victims::Args),
}

/// Measures; whether all that must hold held.
pub(crate) fn run(load: &Load) -> Result<bool> {
    match load {
        Load::Storm(args) => storm::run(args),
        Load::Latency(args) => latency::run(args),
        Load::Victims(args) => victims::run(args).map(|()| true),
    }
}

/// The middle one, and the one that only a hundredth exceed; zeros of nothing.
fn median_and_p99<T: Copy + Default + Ord>(values: &mut [T]) -> (T, T) {
    values.sort_unstable();
    let at = |part: usize| values.get(part.min(values.len().saturating_sub(1))).copied().unwrap_or_default();
    (at(values.len() / 2), at(values.len() * 99 / 100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_hundredth() {
        let mut values: Vec<u32> = (1..=200).rev().collect();
        assert_eq!(median_and_p99(&mut values), (101, 199));
        assert_eq!(median_and_p99(&mut [7_u32]), (7, 7));
        assert_eq!(median_and_p99::<u32>(&mut []), (0, 0));
    }
}
