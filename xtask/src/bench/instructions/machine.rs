//! The machine that counts instructions, and what it measured.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::row::{Row, Skip};
use super::{BACKENDS, NONE, floor};
use crate::build::{self, Profile};
use crate::kernels::{self, Arch};
use crate::vm::{Machine, run_guest};

/// Wider apart than this, in percent, the rounds of portwatch's own are no measurement.
const SPREAD: f64 = 0.2;
/// The same where a process is woken that hashes by chance and is scheduled by time.
const SPREAD_OF_REPORTS: f64 = 1.0;
const REPORTS: &str = "refusal-report";
/// The same in every run, whatever is put into the machine: the kernel sizes its tables by it.
const MEMORY_MIB: u32 = 2_048;
/// An emulated machine beside other work.
const TIMEOUT: Duration = Duration::from_secs(3 * 3_600);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    rounds: u32,
    /// Of a round, in the machine's own time: a million instructions each.
    milliseconds: u32,
}

impl Effort {
    pub(super) const WHOLE: Self = Self { rounds: 5, milliseconds: 100 };
    /// For the tests.
    pub(super) const QUICK: Self = Self { rounds: 3, milliseconds: 100 };
}

/// What a kernel was measured with.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) series: String,
    /// `uname -r`.
    pub(super) release: String,
    pub(super) rows: Vec<Row>,
    pub(super) skips: Vec<Skip>,
}

/// Measures every operation under these watchers, which are names or commands in the machine.
pub(super) fn measure(
    series: &str,
    watchers: &[String],
    files: &[(PathBuf, String)],
    effort: Effort,
) -> Result<Measured> {
    let kernel = kernels::obtain(Arch::X86_64, series)?;
    let binaries = build::static_for(Arch::X86_64, Profile::Release)?;
    let (memory_mib, files) = (MEMORY_MIB, files.to_vec());
    let machine = Machine { icount: true, timeout: TIMEOUT, memory_mib, files, ..Machine::usual(&kernel) };
    let mut command = ["/init", "bench", "--portwatch", "/bin/portwatch"].map(str::to_owned).to_vec();
    command.extend(["--rounds".to_owned(), effort.rounds.to_string()]);
    command.extend(["--milliseconds".to_owned(), effort.milliseconds.to_string()]);
    command.extend(watchers.iter().flat_map(|watcher| ["--watcher".to_owned(), watcher.clone()]));
    eprintln!("  count instructions on Linux {}, {} watchers, emulated", kernel.release, watchers.len());
    let mut measured =
        Measured { series: series.to_owned(), release: kernel.release.clone(), rows: vec![], skips: vec![] };
    let code = run_guest(&machine, &binaries, &command, &mut |line| {
        eprintln!("    {line}");
        measured.take(Row::parse(line));
        measured.skips.extend(Skip::parse(line));
    })?;
    ensure!(
        code == 0 && !measured.rows.is_empty(),
        "the measurement on Linux {} failed (exit code {code}); its words are above",
        kernel.release
    );
    Ok(measured)
}

impl Measured {
    /// Of what is measured twice the last counts: by then the kernel has all the memory that it takes.
    fn take(&mut self, row: Option<Row>) {
        let Some(row) = row else { return };
        let is_it = |known: &&mut Row| known.watcher == row.watcher && known.operation == row.operation;
        match self.rows.iter_mut().find(is_it) {
            Some(known) => *known = row,
            None => self.rows.push(row),
        }
    }

    pub(super) fn find(&self, watcher: &str, operation: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.watcher == watcher && row.operation == operation)
    }

    /// What an operation takes without any watcher.
    pub(super) fn base(&self, operation: &str) -> Result<u64> {
        let row = self.find(NONE, operation);
        Ok(row.with_context(|| format!("{operation} was not measured without a watcher"))?.instructions)
    }

    /// What a watcher adds to an operation.
    pub(super) fn added(&self, watcher: &str, operation: &str) -> Result<Option<i64>> {
        let Some(row) = self.find(watcher, operation) else { return Ok(None) };
        Ok(Some(row.instructions.cast_signed() - self.base(operation)?.cast_signed()))
    }

    /// Rows of portwatch's own whose rounds are too far apart.
    pub(super) fn faults(&self) -> Vec<String> {
        let told = |row: &Row| {
            let Row { watcher, operation, spread, .. } = row;
            let most = allowed(row);
            format!("Linux {}: {operation} under {watcher}: spread {spread:.2} % > {most} %", self.release)
        };
        self.rows.iter().filter(|row| is_own(&row.watcher) && is_wide(row)).map(told).collect()
    }
}

/// Whether the rounds of a row are too far apart for a measurement.
pub(super) fn is_wide(row: &Row) -> bool {
    row.spread > allowed(row)
}

fn allowed(row: &Row) -> f64 {
    if row.operation == REPORTS { SPREAD_OF_REPORTS } else { SPREAD }
}

/// Whether it is portwatch, or what it is compared with before all: other tools wake when they like.
fn is_own(watcher: &str) -> bool {
    watcher == NONE || BACKENDS.iter().any(|backend| watcher == *backend || watcher == floor(backend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_measurements_the_last_counts_in_the_place_of_the_first() {
        let mut measured =
            Measured { series: "6.1".into(), release: "6.1.0".into(), rows: vec![], skips: vec![] };
        for (watcher, instructions) in [(NONE, 126_700), ("fexit", 126_800), (NONE, 125_500)] {
            let row = Row { watcher: watcher.into(), operation: "op".into(), instructions, spread: 0.0 };
            measured.take(Some(row));
        }
        measured.take(None);
        let rows: Vec<_> = measured.rows.iter().map(|row| (row.watcher.as_str(), row.instructions)).collect();
        assert_eq!(rows, [(NONE, 125_500), ("fexit", 126_800)]);
        assert_eq!(measured.added("fexit", "op").expect("there is one"), Some(1_300));
    }
}
