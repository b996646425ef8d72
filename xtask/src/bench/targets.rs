//! What must hold, and whether it does: a table below a section, and its faults.

use std::fmt::Write as _;

use super::Section;

/// The targets of a section.
#[derive(Debug, Default)]
pub(super) struct Targets(Vec<(String, String, bool)>);

impl Targets {
    /// One of them: what must hold, what was measured, and whether it is met.
    pub(super) fn add(&mut self, target: impl Into<String>, measured: impl Into<String>, is_met: bool) {
        self.0.push((target.into(), measured.into(), is_met));
    }

    /// The section with what must hold below it.
    pub(super) fn section(&self, text: &str) -> Section {
        let missed = self.0.iter().filter(|(.., is_met)| !is_met);
        let faults = missed.map(|(target, measured, _)| format!("{target}: {measured}")).collect();
        Section { text: format!("{text}{}", self.table()), faults }
    }

    /// All of them, as a table.
    fn table(&self) -> String {
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
    fn a_missed_target_is_a_fault() {
        let mut targets = Targets::default();
        targets.add("at most 2", "1", true);
        assert!(targets.section("").faults.is_empty());
        targets.add("at most 2", "3", false);
        let section = targets.section("before\n");
        assert_eq!(section.faults, ["at most 2: 3"]);
        assert!(section.text.starts_with("before\n"));
        assert!(section.text.ends_with("| at most 2 | 1 | met |\n| at most 2 | 3 | **missed** |\n"));
    }
}
