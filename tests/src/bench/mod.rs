//! `lineup bench`: what an operation costs with a watcher of ports at work, and without.
//!
//! Meant for a machine in which a nanosecond of the clock is one instruction (QEMU with `-icount shift=0,sleep=off`);
//! anywhere else the numbers are plain nanoseconds.

mod client;
mod floor;
mod measure;
mod operation;
mod peer;
mod round;
mod slab;
mod watcher;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::{init, say};
pub(crate) use measure::Effort;
use measure::measure;
use operation::{OPERATIONS, Operation};
pub(crate) use watcher::Watcher;
use watcher::{Running, Started};

/// Measures every operation under each watcher; whether each could be measured. A watcher that this kernel does not admit is
/// told, with its own words.
pub(crate) fn run(program: &Path, watchers: &[Watcher], only: &[String], effort: Effort) -> Result<bool> {
    ensure!(effort.rounds > 0, "--rounds must be at least 1");
    let wanted = |operation: &&Operation| only.is_empty() || only.iter().any(|name| name == operation.name);
    let operations: Vec<&Operation> = OPERATIONS.iter().filter(wanted).collect();
    ensure!(!operations.is_empty(), "no operation is called so");
    if init::has_machine() {
        slab::keep_pages()?;
        OPERATIONS[0].warm_up(effort).context("warming up")?;
    }
    let mut all_measured = true;
    for watcher in watchers.iter().take_while(|_| say::is_read()) {
        match watcher.start(program).with_context(|| format!("starting {watcher}"))? {
            Started::Ready(running) => under(watcher, running, &operations, effort)?,
            Started::Unavailable(reason) => {
                say::line(format_args!("BENCH-SKIP watcher={watcher} reason={reason}"));
                all_measured &= watcher.is_peer();
            }
        }
    }
    Ok(all_measured)
}

fn under(watcher: &Watcher, mut running: Running, operations: &[&Operation], effort: Effort) -> Result<()> {
    for operation in operations {
        let measured = measure(operation, running.pid(), effort)
            .with_context(|| format!("measuring {} under {watcher}", operation.name))?;
        say::line(format_args!("BENCH watcher={watcher} op={} {measured}", operation.name));
    }
    running.stop().with_context(|| format!("stopping {watcher}"))
}
