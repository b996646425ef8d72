//! `lineup stage`: plays every scenario without portwatch, and so checks the ground truth itself against the kernel.

use anyhow::Result;

use crate::say;
use crate::scenario::{self, Scenario};

/// Plays the scenarios; says whether the kernel refused as each of them claims.
pub(crate) fn run(only: &[String]) -> Result<bool> {
    let mut failed = 0;
    for scenario in scenario::selected(only)?.into_iter().take_while(|_| say::is_read()) {
        if let Some(reason) = scenario.needs.lacking(None) {
            say::line(format_args!("skip {} {reason}", scenario.name));
            continue;
        }
        match play(scenario) {
            Ok(words) => say::line(format_args!("ok {} {words}", scenario.name)),
            Err(error) => {
                failed += 1;
                say::line(format_args!("FAIL {} {error:#}", scenario.name));
            }
        }
    }
    Ok(failed == 0)
}

fn play(scenario: &Scenario) -> Result<String> {
    let (mut stage, holder) = scenario.set_up()?;
    let cases = scenario.play(&mut stage, holder)?;
    let words: Vec<_> = cases.iter().map(|case| format!("{case}, {}x", case.refusal.count)).collect();
    Ok(words.join("; "))
}
