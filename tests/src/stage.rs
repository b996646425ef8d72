//! `lineup stage`: plays every scenario without portwatch, and so checks the ground truth itself against the kernel.

use anyhow::Result;

use crate::scenario::{self, Scenario};

/// Plays the scenarios; says whether the kernel refused as each of them claims.
pub(crate) fn run(only: &[String]) -> Result<bool> {
    let mut failed = 0;
    for scenario in scenario::selected(only)? {
        if let Some(reason) = scenario.needs.lacking() {
            println!("skip {} {reason}", scenario.name);
            continue;
        }
        match play(scenario) {
            Ok(words) => println!("ok {} {words}", scenario.name),
            Err(error) => {
                failed += 1;
                println!("FAIL {} {error:#}", scenario.name);
            }
        }
    }
    Ok(failed == 0)
}

fn play(scenario: &Scenario) -> Result<String> {
    let (mut stage, holder) = scenario.set_up()?;
    let case = scenario.play(&mut stage, holder)?;
    Ok(format!("{case}, {}x", case.refusal.count))
}
