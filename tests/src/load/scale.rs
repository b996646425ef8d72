//! `lineup load connect|table|snapshot|full`: what a million sockets in the table change, and what does not fit into it.

mod full;
mod table;

pub(crate) use full::FullArgs;
pub(super) use full::full;
pub(crate) use table::TableArgs;
pub(super) use table::table;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::connections::cost;
use super::median_and_p99;
use super::records::Records;
use super::sockets::Crowd;
use super::tracer::Tracer;
use crate::netns::{Netns, Range};
use crate::product::Backend;
use crate::say;

/// Apart from the ports of the crowd.
const RANGE: Range = Range { low: 50_000, high: 59_999 };

/// Beside those that are put in, room for what the machine itself has.
const ROOM: u64 = 100_000;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ConnectArgs {
    /// The program to measure
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// Records in the full table
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    records: u64,
    /// Connections in a round
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    connections: u32,
}

/// A connection with an empty table, with a full one, and with an empty one again.
pub(super) fn connect(args: &ConnectArgs) -> Result<bool> {
    const ROUNDS: usize = 5;
    let size = (args.records + ROOM).to_string();
    let words = ["--via", "kernel", "--backend", args.backend.name(), "--table-size", &size];
    let tracer = Tracer::start(&args.portwatch, &words)?;
    let ports = Records::of(tracer.pid())?;
    // Caches, slabs and the kernel's own late starters settle.
    cost(2, args.connections)?;
    let empty = cost(ROUNDS, args.connections)?;
    ports.fill(args.records)?;
    let full = cost(ROUNDS, args.connections)?;
    ports.clear(args.records)?;
    let again = cost(ROUNDS, args.connections)?;
    tracer.stop()?;
    say::line(format_args!(
        "BENCH what=connect backend={} records={} empty={empty} full={full} again={again}",
        args.backend.name(),
        args.records
    ));
    Ok(true)
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct SnapshotArgs {
    /// The program to measure
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// Sockets that are there before it is started
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    sockets: u32,
}

/// The start with that many sockets, and without them; each of them must be known then.
pub(super) fn snapshot(args: &SnapshotArgs) -> Result<bool> {
    const STARTS: usize = 5;
    let words = ["--via", "kernel", "--backend", args.backend.name()];
    let start = || {
        let begin = Instant::now();
        let tracer = Tracer::start(&args.portwatch, &words)?;
        let took = begin.elapsed().as_millis();
        let known =
            tracer.said.iter().find_map(|line| known(line)).context("it does not say what it knows")?;
        tracer.stop()?;
        Ok::<_, anyhow::Error>((took, known))
    };
    let without = (0..STARTS).map(|_| start()).collect::<Result<Vec<_>>>()?;
    let netns = Netns::new(RANGE)?;
    let crowd = Crowd::gather(&netns, args.sockets)?;
    let with = (0..STARTS).map(|_| start()).collect::<Result<Vec<_>>>()?;
    drop(crowd);
    let fewest = with.iter().map(|(_, known)| *known).min().unwrap_or_default();
    let millis = |starts: &[(u128, u64)]| {
        median_and_p99(&mut starts.iter().map(|(took, _)| *took).collect::<Vec<_>>()).0
    };
    say::line(format_args!(
        "BENCH what=snapshot backend={} sockets={} known={fewest} with_ms={} without_ms={}",
        args.backend.name(),
        args.sockets,
        millis(&with),
        millis(&without)
    ));
    let verdict = || {
        ensure!(fewest >= args.sockets.into(), "{fewest} of {} sockets are known", args.sockets);
        Ok(format!("all of {} sockets are known", args.sockets))
    };
    Ok(crate::checks::tell([("snapshot", ())], |()| verdict()))
}

/// `portwatch: backend fexit, 12 sockets from before the start known`
fn known(line: &str) -> Option<u64> {
    let (_, rest) = line.strip_prefix("portwatch: backend ")?.split_once(", ")?;
    rest.split_once(" socket")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_announcement_is_understood() {
        assert_eq!(known("portwatch: backend fexit, 12 sockets from before the start known"), Some(12));
        assert_eq!(known("portwatch: backend kprobe, 1 socket from before the start known"), Some(1));
        assert_eq!(known("portwatch: ready"), None);
    }
}
