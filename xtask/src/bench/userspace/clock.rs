//! Times by criterion, which leaves its estimates as JSON.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::Bench;
use crate::{project, run};

/// Short, and long enough: most routines take microseconds.
const SETTINGS: [&str; 8] =
    ["--bench", "--noplot", "--warm-up-time", "0.3", "--measurement-time", "1", "--nresamples", "10000"];

/// How long a routine takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Timed {
    pub(super) median: Duration,
    /// Median deviation from it, as a part of it.
    pub(super) spread: f64,
}

/// Where criterion leaves what it finds.
pub(super) fn folder() -> PathBuf {
    project::target().join("bench").join("criterion")
}

/// Measures all routines, in their order.
pub(super) fn measure(bench: &Bench) -> Result<Vec<(String, Timed)>> {
    let names = names(&run::output(bench.command(&bench.program).args(["--bench", "--list"]))?);
    ensure!(!names.is_empty(), "the benchmarks do not tell their names");
    // What an earlier run left must not be taken for this one's.
    let _ = fs::remove_dir_all(folder());
    let why = "each routine again and again for a second";
    run::quiet(bench.command(&bench.program).args(SETTINGS), "measure user space by the clock", why)?;
    names.into_iter().map(|name| estimate(&folder().join(&name)).map(|time| (name, time))).collect()
}

/// `group/routine: benchmark`, a line each.
fn names(list: &str) -> Vec<String> {
    list.lines().filter_map(|line| line.strip_suffix(": benchmark")).map(str::to_owned).collect()
}

fn estimate(folder: &Path) -> Result<Timed> {
    let file = folder.join("new").join("estimates.json");
    let text = fs::read_to_string(&file).with_context(|| format!("no estimate at {}", file.display()))?;
    parse(&text).with_context(|| format!("{} is of another form", file.display()))
}

fn parse(estimates: &str) -> Option<Timed> {
    let estimates: Value = serde_json::from_str(estimates).ok()?;
    let of = |name: &str| estimates[name]["point_estimate"].as_f64();
    let (median, deviation) = (of("median")?, of("median_abs_dev")?);
    Some(Timed { median: Duration::from_secs_f64(median / 1e9), spread: deviation / median })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_criterion_leaves_is_read() {
        let text = r#"{"mean":{"point_estimate":9.0},"median":{"point_estimate":2000.0},"median_abs_dev":{"point_estimate":50.0}}"#;
        assert_eq!(parse(text), Some(Timed { median: Duration::from_micros(2), spread: 0.025 }));
        assert_eq!(parse("{}"), None);
        assert_eq!(names("a/b: benchmark\n\nc/d: benchmark\n2 benchmarks\n"), ["a/b", "c/d"]);
    }
}
