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
    /// What other work on the machine disturbed least.
    pub(super) fastest: Duration,
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
    let read = |name: &str| {
        let file = folder.join("new").join(name);
        fs::read_to_string(&file).with_context(|| format!("criterion left no {}", file.display()))
    };
    let (estimates, sample) = (read("estimates.json")?, read("sample.json")?);
    parse(&estimates, &sample)
        .with_context(|| format!("what criterion left in {} is of another form", folder.display()))
}

/// The estimate, and of the samples the one that took least for a run.
fn parse(estimates: &str, sample: &str) -> Option<Timed> {
    let estimates: Value = serde_json::from_str(estimates).ok()?;
    let sample: Value = serde_json::from_str(sample).ok()?;
    let (runs, times) = (sample["iters"].as_array()?, sample["times"].as_array()?);
    let each = runs.iter().zip(times).filter_map(|(runs, time)| Some(time.as_f64()? / runs.as_f64()?));
    let fastest = each.min_by(f64::total_cmp)?;
    let of = |nanoseconds: f64| Duration::try_from_secs_f64(nanoseconds / 1e9).ok();
    Some(Timed { median: of(estimates["median"]["point_estimate"].as_f64()?)?, fastest: of(fastest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_criterion_leaves_is_read() {
        let estimates = r#"{"mean":{"point_estimate":9.0},"median":{"point_estimate":2000.0}}"#;
        let sample = r#"{"sampling_mode":"Linear","iters":[1.0,2.0,4.0],"times":[2000.0,3000.0,9000.0]}"#;
        let timed = Timed { median: Duration::from_micros(2), fastest: Duration::from_nanos(1_500) };
        assert_eq!(parse(estimates, sample), Some(timed));
        assert_eq!(parse("{}", sample), None);
        assert_eq!(parse(estimates, "{}"), None);
        assert_eq!(names("a/b: benchmark\n\nc/d: benchmark\n2 benchmarks\n"), ["a/b", "c/d"]);
    }
}
