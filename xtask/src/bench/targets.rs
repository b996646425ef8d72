//! What must hold, and whether it does: a table below each section, and the exit code of `cargo xtask bench`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

static MISSED: AtomicBool = AtomicBool::new(false);

/// Whether any target of any part was missed.
pub(super) fn any_missed() -> bool {
    MISSED.load(Ordering::Relaxed)
}

/// The targets of a section.
#[derive(Debug, Default)]
pub(super) struct Targets(Vec<(String, String, bool)>);

impl Targets {
    /// One of them: what must hold, what was measured, and whether it is met.
    pub(super) fn add(&mut self, target: impl Into<String>, measured: impl Into<String>, is_met: bool) {
        self.0.push((target.into(), measured.into(), is_met));
        if !is_met {
            MISSED.store(true, Ordering::Relaxed);
        }
    }

    /// All of them, as a table.
    pub(super) fn table(&self) -> String {
        let mut out = String::from("\n| target | measured | |\n|---|---|---|\n");
        for (target, measured, is_met) in &self.0 {
            let verdict = if *is_met { "met" } else { "**missed**" };
            // A String takes everything.
            let _ = writeln!(out, "| {target} | {measured} | {verdict} |");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_target_is_remembered() {
        let mut targets = Targets::default();
        targets.add("at most 2", "1", true);
        assert!(!any_missed());
        targets.add("at most 2", "3", false);
        assert!(any_missed());
        assert!(targets.table().ends_with("| at most 2 | 1 | met |\n| at most 2 | 3 | **missed** |\n"));
    }
}
