//! The score of one backend on one kernel, and the lines in which a person and `cargo xtask test` read it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::fields::Mismatch;
use crate::product::Backend;
use crate::say;
use crate::verdict::Grade;

/// How a scenario ended.
pub(crate) enum Outcome {
    Reported {
        grade: Grade,
        mismatches: Vec<Mismatch>,
        report: Value,
    },
    /// No report within the deadline.
    Missed {
        expected: String,
    },
    /// It could not be played, for a reason that lies in this kernel.
    Skipped(String),
    /// It could not be played, or portwatch misbehaved around it.
    Broken(String),
}

/// Counts of scenarios; each that failed counts once, whatever is wrong with it.
#[derive(Default)]
pub(crate) struct Score {
    pub(crate) right: u32,
    pub(crate) failed: u32,
    wrong: u32,
    unnamed: u32,
    missed: u32,
    skipped: u32,
    failures: BTreeSet<&'static str>,
}

impl Score {
    /// Counts an outcome and prints its line.
    pub(crate) fn note(
        &mut self,
        backend: Backend,
        scenario: &'static str,
        took: Duration,
        outcome: Outcome,
    ) {
        let line = |word: &str, detail: &str| {
            say::line(format_args!("{word} {} {scenario} {} {detail}", backend.name(), took.as_millis()));
        };
        match outcome {
            Outcome::Skipped(reason) => {
                self.skipped += 1;
                line("skip", &reason);
            }
            Outcome::Broken(reason) => {
                self.fail(scenario);
                line("FAIL", &reason);
            }
            Outcome::Missed { expected } => {
                self.missed += 1;
                self.fail(scenario);
                line("FAIL", &format!("no report; expected {expected}"));
            }
            Outcome::Reported { grade, mismatches, report } => {
                match grade {
                    Grade::Right => self.right += 1,
                    Grade::Wrong => self.wrong += 1,
                    Grade::Unnamed => self.unnamed += 1,
                }
                if mismatches.is_empty() {
                    line("ok", &summary(&report));
                } else {
                    self.fail(scenario);
                    line("FAIL", &complaint(&mismatches, &report));
                }
            }
        }
    }

    /// A report on a scenario's namespace beside the one that was due.
    pub(crate) fn stray(&mut self, backend: Backend, scenario: &'static str, report: &Value) {
        self.fail(scenario);
        say::line(format_args!("FAIL {} {scenario} 0 one report too many:\n  {report}", backend.name()));
    }

    /// Prints the closing line of a row.
    pub(crate) fn close(&self, row: &str) {
        let Self { right, wrong, unnamed, missed, skipped, failed, failures: _ } = self;
        say::line(format_args!(
            "LINEUP row={row} right={right} wrong={wrong} unnamed={unnamed} missed={missed} skipped={skipped} \
             failed={failed}"
        ));
    }

    fn fail(&mut self, scenario: &'static str) {
        if self.failures.insert(scenario) {
            self.failed += 1;
        }
    }
}

/// What was established, in a few words.
fn summary(report: &Value) -> String {
    let holder = &report["holders"][0];
    let word = |value: &Value| value.as_str().unwrap_or("-").escape_debug().to_string();
    let process = &holder["process"];
    let (comm, pid) = (word(&process["comm"]), &process["pid"]);
    format!("{comm}[{pid}] {} by {}", word(&report["cause"]), word(&holder["evidence"]))
}

fn complaint(mismatches: &[Mismatch], report: &Value) -> String {
    let mut text = format!("{} fields are not as they must be", mismatches.len());
    for Mismatch { field, expected, got } in mismatches {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {field}: expected {expected}, got {got}");
    }
    let _ = write!(text, "\n  {report}");
    text
}
