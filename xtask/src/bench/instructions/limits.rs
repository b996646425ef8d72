//! `xtask/bench-limits.toml`: what portwatch may add to an operation. Targets are written by hand; what was last accepted as
//! normal is recorded by `cargo xtask bench --part instructions --update-limits`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::machine::Measured;
use super::{BACKENDS, TRACER, floor};
use crate::project;

const FILE: &str = "xtask/bench-limits.toml";
/// What follows in the file is recorded.
const RECORDED: &str = "# Recorded: ";
/// A row that adds little differs by more than its twentieth from one build to the next.
const SLACK_PERCENT: i64 = 5;
const SLACK: i64 = 100;

/// Operation → instructions that are added.
type Added = BTreeMap<String, i64>;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    target: Vec<Target>,
    /// By series and backend.
    #[serde(default)]
    recorded: BTreeMap<String, BTreeMap<String, Added>>,
}

/// What is aimed at, on every kernel.
#[derive(Clone, Debug, Deserialize)]
struct Target {
    backend: String,
    operation: String,
    #[serde(flatten)]
    bound: Bound,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Bound {
    /// Instructions.
    AtMost(i64),
    /// So many times what empty programs on the same hooks add.
    TimesFloor(f64),
    /// One part in so many of what tcptracer adds.
    PartOfTcptracer(f64),
}

/// A target and what was measured.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) target: String,
    pub(super) measured: String,
    pub(super) is_met: bool,
}

impl Verdict {
    /// As an error, if the target is missed.
    pub(super) fn fault(self, release: &str) -> Option<String> {
        let Self { target, measured, is_met } = self;
        (!is_met).then(|| format!("Linux {release}: {target}: measured {measured}"))
    }
}

impl Limits {
    pub(super) fn read() -> Result<Self> {
        let path = project::root().join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
        toml::from_str(&text).with_context(|| format!("cannot understand {FILE}"))
    }

    /// Every target against what was measured.
    pub(super) fn targets(&self, measured: &Measured) -> Result<Vec<Verdict>> {
        self.target.iter().map(|target| target.judge(measured)).collect()
    }

    /// What is dearer than it was, or was never recorded.
    pub(super) fn regressions(&self, measured: &Measured) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (backend, operation, added) in own(measured)? {
            let of = format!("Linux {}: {operation} under {backend} adds {added}", measured.release);
            let known = self.recorded.get(&measured.series).and_then(|by| by.get(backend)?.get(operation));
            match known {
                None => found.push(format!("{of}, and {FILE} has no record of it: --update-limits")),
                Some(limit) if is_above(added, *limit) => found.push(format!("{of}; recorded is {limit}")),
                Some(_) => {}
            }
        }
        Ok(found)
    }

    /// Takes what was measured for normal, and writes it down.
    pub(super) fn record(&mut self, measured: &Measured) -> Result<()> {
        let by_backend = self.recorded.entry(measured.series.clone()).or_default();
        by_backend.clear();
        for (backend, operation, added) in own(measured)? {
            by_backend.entry(backend.to_owned()).or_default().insert(operation.to_owned(), added);
        }
        let path = project::root().join(FILE);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {FILE}"))?;
        fs::write(&path, self.written(&text)?).with_context(|| format!("cannot write {FILE}"))?;
        println!("{FILE}: {} recorded", measured.series);
        Ok(())
    }

    /// The file anew: what stands above the recorded part stays as it is.
    fn written(&self, text: &str) -> Result<String> {
        let at =
            text.find(RECORDED).with_context(|| format!("{FILE} has no line that begins {RECORDED:?}"))?;
        let title = text[at..].lines().next().unwrap_or_default();
        let mut out = format!("{}{title}\n", &text[..at]);
        for (series, by_backend) in &self.recorded {
            for (backend, added) in by_backend {
                out.push_str(&format!("\n[recorded.\"{series}\".{backend}]\n"));
                out.extend(added.iter().map(|(operation, added)| format!("{operation} = {added}\n")));
            }
        }
        Ok(out)
    }
}

/// What portwatch adds: backend, operation, instructions.
fn own(measured: &Measured) -> Result<Vec<(&str, &str, i64)>> {
    let mut all = Vec::new();
    for row in measured.rows.iter().filter(|row| BACKENDS.contains(&row.watcher.as_str())) {
        let added = measured.added(&row.watcher, &row.operation)?.unwrap_or_default();
        all.push((row.watcher.as_str(), row.operation.as_str(), added));
    }
    Ok(all)
}

fn is_above(added: i64, limit: i64) -> bool {
    let excess = added - limit;
    excess > SLACK && excess * 100 > limit.max(0) * SLACK_PERCENT
}

impl Target {
    fn judge(&self, measured: &Measured) -> Result<Verdict> {
        let Self { backend, operation, bound } = self;
        let added_by = |watcher: &str| -> Result<i64> {
            match measured.added(watcher, operation)? {
                Some(added) => Ok(added),
                None => bail!("{operation} under {watcher} was not measured on Linux {}", measured.release),
            }
        };
        let added = added_by(backend)?;
        let (bound, measured, is_met) = match bound {
            Bound::AtMost(most) => (format!("{most} instructions"), added.to_string(), added <= *most),
            Bound::TimesFloor(most) => {
                let floor = added_by(&floor(backend))?;
                let times = added as f64 / floor as f64;
                let told = format!("{added}, {times:.2} times");
                // A row without a watcher that is too dear lets everything else look cheap.
                (format!("{most} times the floor"), told, floor > 0 && times <= *most)
            }
            Bound::PartOfTcptracer(parts) => {
                let found = added_by(TRACER)? as f64 / added as f64;
                (format!("1/{parts} of {TRACER}"), format!("{added}, 1/{found:.1}"), found >= *parts)
            }
        };
        Ok(Verdict { target: format!("{backend}, {operation}: at most {bound}"), measured, is_met })
    }
}

#[cfg(test)]
mod tests;
