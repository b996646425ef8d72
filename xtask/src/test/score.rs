//! The outcome of a test run: steps and lineup rows, counted and printed. A row of nothing but skips has failed.

use anyhow::Result;

use super::parts::Part;
use super::play::Played;

/// What one backend achieved on one kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    name: String,
    right: u64,
    wrong: u64,
    unnamed: u64,
    missed: u64,
    skipped: u64,
    failed: u64,
    /// Scenarios played.
    played: u64,
    /// Why the row was not played.
    skip: Option<String>,
    /// Why the row counts as failed, apart from its scenarios.
    fault: Option<String>,
}

/// Lines of a program's own complaints that are repeated in the end, where they are not among thousands of others.
const COMPLAINTS: usize = 8;

/// What a program said was wrong, each on a line of its own.
fn complaints(played: &Played) -> String {
    let lines = played.lines.iter().filter(|line| line.starts_with("FAIL"));
    lines.take(COMPLAINTS).map(|line| format!("\n    {line}")).collect()
}

/// Everything so far.
#[derive(Debug, Default)]
pub(super) struct Score {
    passed: u64,
    failed: u64,
    skipped: u64,
    failures: Vec<String>,
    rows: Vec<Row>,
    /// What test programs other than the lineup had to say.
    summaries: Vec<String>,
}

impl Score {
    /// Counts a step that is good or not.
    pub(super) fn judge(&mut self, what: &str, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => self.fault(format!("{what}: {error:#}")),
        }
    }

    /// Counts the rows of this machine: a backend that its kernel does not admit is a skip, but one must have run.
    pub(super) fn host(&mut self, outcome: Result<Played>, backends: &[&str]) {
        let rows = self.rows_of("this kernel", outcome, backends);
        if !rows.is_empty() && rows.iter().all(|row| row.skip.is_some()) {
            self.fault("this kernel: no backend could run, so nothing was tested on it".to_owned());
        }
        self.add(rows);
    }

    /// Counts the rows of a virtual machine, whose kernel must admit every backend.
    pub(super) fn machine(&mut self, name: &str, outcome: Result<Played>, backends: &[&str]) {
        let mut rows = self.rows_of(name, outcome, backends);
        for row in &mut rows {
            if let Some(reason) = row.skip.take() {
                row.fault = Some(format!("the backend must run on this kernel, but: {reason}"));
            }
        }
        self.add(rows);
    }

    /// Counts another program than the lineup as one test.
    pub(super) fn part(&mut self, row: &str, part: &Part, outcome: Result<Played>) {
        let words = outcome.as_ref().map(complaints).unwrap_or_default();
        let skips = |played: &Played| played.lines.iter().filter(|line| line.starts_with("SKIP ")).count();
        self.skipped += outcome.as_ref().map_or(0, skips) as u64;
        match outcome.and_then(|played| (part.judge)(&played)) {
            Ok(summary) => {
                self.passed += 1;
                self.summaries.push(format!("{row}: {summary}"));
            }
            Err(error) => self.fault(format!("{row}: {}: {error:#}{words}", part.name)),
        }
    }

    fn rows_of(&mut self, name: &str, outcome: Result<Played>, backends: &[&str]) -> Vec<Row> {
        let Played { lines, code } = match outcome {
            Ok(played) => played,
            Err(error) => {
                self.fault(format!("{name}: {error:#}"));
                return Vec::new();
            }
        };
        let rows: Vec<Row> = lines.iter().filter_map(|line| parse(line)).collect();
        for backend in backends.iter().filter(|backend| !rows.iter().any(|row| row.name.ends_with(*backend)))
        {
            self.fault(format!("{name}: the lineup said nothing about the backend {backend}"));
        }
        // A failed row and a refused backend speak for themselves.
        if code != 0 && rows.iter().any(|row| row.skip.is_none()) && rows.iter().all(|row| row.failed == 0) {
            self.fault(format!(
                "{name}: every scenario is right, and still the lineup ended with exit code {code}"
            ));
        }
        rows
    }

    fn add(&mut self, mut rows: Vec<Row>) {
        for row in &mut rows {
            if row.skip.is_none() && row.fault.is_none() && row.right == 0 {
                row.fault = Some("not one culprit was named: a row of skips proves nothing".to_owned());
            }
            if let Some(fault) = &row.fault {
                self.failures.push(format!("{}: {fault}", row.name));
                self.failed += 1;
            }
            if row.failed > 0 {
                self.failures.push(format!("{}: {} scenarios failed", row.name, row.failed));
            }
            self.passed += row.played.saturating_sub(row.failed);
            self.failed += row.failed;
            self.skipped += row.skipped + u64::from(row.skip.is_some());
        }
        self.rows.append(&mut rows);
    }

    fn fault(&mut self, text: String) {
        eprintln!("FAILED {text}");
        self.failures.push(text);
        self.failed += 1;
    }

    /// Passed, failed, skipped.
    #[cfg(test)]
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        (self.passed, self.failed, self.skipped)
    }

    /// A run in which nothing passed proves nothing.
    pub(super) fn is_green(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Prints the table of rows, the failures and, as the last line, the counts.
    pub(super) fn print(&self) {
        if !self.rows.is_empty() {
            println!("\n{:<52} right wrong unnamed missed skipped failed", "kernel/architecture/backend");
        }
        for row in &self.rows {
            let Row { name, right, wrong, unnamed, missed, skipped, failed, .. } = row;
            match &row.skip {
                Some(reason) => println!("{name:<52} SKIPPED: {reason}"),
                None => println!(
                    "{name:<52} {right:>5} {wrong:>5} {unnamed:>7} {missed:>6} {skipped:>7} {failed:>6}"
                ),
            }
        }
        println!();
        for summary in &self.summaries {
            println!("{summary}");
        }
        for failure in &self.failures {
            println!("FAILED {failure}");
        }
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped);
    }
}

/// `LINEUP row=R right=N wrong=N unnamed=N missed=N skipped=N failed=N`, or `LINEUP-SKIP row=R reason=…`.
fn parse(line: &str) -> Option<Row> {
    if let Some(rest) = line.strip_prefix("LINEUP-SKIP row=") {
        let (name, reason) = rest.split_once(" reason=")?;
        return Some(Row { name: name.to_owned(), skip: Some(reason.to_owned()), ..Row::default() });
    }
    let mut row = Row::default();
    for field in line.strip_prefix("LINEUP ")?.split(' ') {
        let (key, value) = field.split_once('=')?;
        let number = || value.parse().ok();
        match key {
            "row" => value.clone_into(&mut row.name),
            "right" => row.right = number()?,
            "wrong" => row.wrong = number()?,
            "unnamed" => row.unnamed = number()?,
            "missed" => row.missed = number()?,
            "skipped" => row.skipped = number()?,
            "failed" => row.failed = number()?,
            _ => {}
        }
    }
    // A scenario that could not even be staged is among the failed only.
    row.played = (row.right + row.wrong + row.unnamed + row.missed).max(row.failed);
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "LINEUP row=6.12/x86_64/fexit right=33 wrong=0 unnamed=2 missed=0 skipped=1 failed=0";

    fn judged(lines: &[&str], machine: bool) -> Score {
        let mut score = Score::default();
        let lines = Ok(Played { lines: lines.iter().map(|line| (*line).to_owned()).collect(), code: 0 });
        if machine {
            score.machine("vm", lines, &["fexit"]);
        } else {
            score.host(lines, &["fexit"]);
        }
        score
    }

    #[test]
    fn an_exit_code_that_no_row_explains_fails() {
        let mut score = Score::default();
        score.machine("vm", Ok(Played { lines: vec![GOOD.to_owned()], code: 1 }), &["fexit"]);
        assert!(!score.is_green());
    }

    #[test]
    fn a_good_row_counts_its_scenarios() {
        let score = judged(&["noise", GOOD], true);
        assert!(score.is_green());
        assert_eq!((score.passed, score.failed, score.skipped), (35, 0, 1));
    }

    #[test]
    fn a_row_of_nothing_but_skips_fails() {
        let row = "LINEUP row=6.12/x86_64/fexit right=0 wrong=0 unnamed=0 missed=0 skipped=35 failed=0";
        assert!(!judged(&[row], true).is_green());
    }

    #[test]
    fn a_run_of_nothing_fails() {
        assert!(!Score::default().is_green());
    }

    #[test]
    fn a_missing_row_fails() {
        assert!(!judged(&["noise"], true).is_green());
        assert!(!judged(&["noise"], false).is_green());
    }

    #[test]
    fn a_refused_backend_is_a_failure_in_a_machine_and_alone_on_this_kernel() {
        let skip = "LINEUP-SKIP row=6.18/x86_64/fexit reason=refused";
        assert!(!judged(&[skip], true).is_green());
        assert!(!judged(&[skip], false).is_green(), "nothing was tested");
        let tracepoint =
            "LINEUP row=6.18/x86_64/tracepoint right=33 wrong=0 unnamed=2 missed=0 skipped=0 failed=0";
        let score = judged(&[skip, tracepoint], false);
        assert!(score.is_green());
        assert_eq!(score.skipped, 1);
    }

    #[test]
    fn a_failed_scenario_fails_the_run() {
        let row = "LINEUP row=6.12/x86_64/fexit right=32 wrong=1 unnamed=2 missed=0 skipped=0 failed=1";
        let score = judged(&[row], true);
        assert!(!score.is_green());
        assert_eq!((score.passed, score.failed), (34, 1));
    }
}
