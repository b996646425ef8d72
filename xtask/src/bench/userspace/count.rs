//! Instructions by valgrind: a count that no other work on the machine changes.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context as _, Result};

use super::Bench;
use crate::setup::apt;
use crate::{project, run};

/// The function of the benchmarks within which is counted.
const INSIDE: &str = "--toggle-collect=*stopwatch::counted*";

/// Counts one run of each routine.
pub(super) fn measure(bench: &Bench, names: &[&str]) -> Result<HashMap<String, u64>> {
    apt::install(&[apt::VALGRIND], "to count instructions")?;
    let valgrind = run::find("valgrind").context("valgrind is not there")?;
    let left = project::target().join("bench").join("callgrind.out");
    eprintln!("  count the instructions of user space: {} routines, some seconds each at most", names.len());
    let mut counts = HashMap::new();
    for name in names {
        let mut command = bench.command(&valgrind);
        command.args(["--quiet", "--tool=callgrind", INSIDE]);
        command.arg(format!("--callgrind-out-file={}", left.display()));
        // Once, for this is what a program of this kind does when it is not told to measure.
        command.arg(&bench.program).args(["--test", "--exact", name]);
        run::output(&mut command)?;
        let text = fs::read_to_string(&left).with_context(|| format!("no count at {}", left.display()))?;
        counts.insert((*name).to_owned(), total(&text).with_context(|| format!("no count of {name}"))?);
    }
    let _ = fs::remove_file(&left);
    Ok(counts)
}

/// What was counted in all; nothing is not a count.
fn total(callgrind: &str) -> Option<u64> {
    let total = callgrind.lines().find_map(|line| line.strip_prefix("totals: "))?;
    total.trim().parse().ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        assert_eq!(total("# callgrind format\nevents: Ir\nsummary: 99\n1 2\ntotals: 100\n"), Some(100));
        assert_eq!(total("totals: 0\n"), None, "the function was never entered");
        assert_eq!(total(""), None);
    }
}
