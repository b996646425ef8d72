//! `lineup load`: portwatch under load: storms of refusals, full tables, its start, and what connections cost amid it.
//!
//! What is measured is told in lines `BENCH key=value …`, which `cargo xtask bench` makes tables of; what must hold on any
//! machine in lines `ok` or `FAIL`.

mod bpf;
mod cast;
mod connections;
mod cost;
mod latency;
mod live;
mod records;
mod scale;
mod sockets;
mod start;
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
    /// Measure a connection with an empty table and with a full one
    Connect(scale::ConnectArgs),
    /// Fill an agent's table, and measure its memory and how soon a conflict is named
    Table(scale::TableArgs),
    /// Measure the start where thousands of sockets are there already
    Snapshot(scale::SnapshotArgs),
    /// Give the table less room than there are sockets, and compare what is counted and said
    Full(scale::FullArgs),
    /// Measure how long it takes to be ready and to end
    Start(start::StartArgs),
    /// Tell what the kernel has of every program, and count its runs while connections come and go
    Programs(start::ProgramsArgs),
    /// Compare connections a second, and what they take, with portwatch and without
    Live(live::Args),
    /// Make connections (started by `live`)
    #[command(hide = true)]
    Client(live::ClientArgs),
    /// Hold many sockets (started by the others)
    #[command(hide = true)]
    Sockets(sockets::Args),
    /// Be refused again and again (started by the others)
    #[command(hide = true)]
    Victims(victims::Args),
}

/// Measures; whether all that must hold held.
pub(crate) fn run(load: &Load) -> Result<bool> {
    match load {
        Load::Storm(args) => storm::run(args),
        Load::Latency(args) => latency::run(args),
        Load::Connect(args) => scale::connect(args),
        Load::Table(args) => scale::table(args),
        Load::Snapshot(args) => scale::snapshot(args),
        Load::Full(args) => scale::full(args),
        Load::Start(args) => start::start(args),
        Load::Programs(args) => start::each_program(args),
        Load::Live(args) => live::run(args),
        Load::Client(args) => live::connect(args).map(|()| true),
        Load::Sockets(args) => sockets::run(args).map(|()| true),
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
