//! What user space does, routine by routine: by the clock, as a multiple of a fixed computation, and in instructions.
//!
//! The clock is that of a machine with other things to do; so each time is also told as a multiple of a computation that
//! is measured in the same run, and what does not take too long is counted under valgrind, where nothing disturbs.

mod clock;
mod count;
mod memory;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::facts::this_machine;
use super::{Args, Section};
use crate::{project, run};
use clock::Timed;

/// Rows of the large history.
const ROWS: u32 = 1_000_000;
/// Of this one all others are told as multiples.
const REFERENCE: &str = "reference/parse-json";
/// Not counted: mostly the kernel's work, and valgrind hides the clock's page that these read the time from.
const UNCOUNTED: &str = "lookups/";
/// What takes longer is not counted: under valgrind it takes fifty times as long.
const COUNTED: Duration = Duration::from_millis(200);

/// The finished benchmarks, and what they are run on.
struct Bench {
    program: PathBuf,
    history: PathBuf,
}

impl Bench {
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("PORTWATCH_BENCH_HISTORY", &self.history).env("CRITERION_HOME", clock::folder());
        command
    }
}

/// One routine, measured.
#[derive(Debug)]
struct Row {
    name: String,
    time: Timed,
    instructions: Option<u64>,
}

pub(super) fn section(_: &Args) -> Result<Section> {
    let bench = Bench { program: build()?, history: history()? };
    let mut rows = Vec::new();
    let times = clock::measure(&bench)?;
    let is_counted = |name: &str, time: &Timed| time.fastest < COUNTED && !name.starts_with(UNCOUNTED);
    let counted: Vec<&str> =
        times.iter().filter(|(name, time)| is_counted(name, time)).map(|(name, _)| name.as_str()).collect();
    let mut counts = count::measure(&bench, &counted)?;
    for (name, time) in times {
        let instructions = counts.remove(&name);
        rows.push(Row { name, time, instructions });
    }
    let text = format!("{}:\n\n{}\n{}", this_machine()?, table(&rows)?, memory::measure()?);
    Ok(Section { text, faults: Vec::new() })
}

/// Builds the benchmarks; the second cargo has nothing left to do and tells where they are.
fn build() -> Result<PathBuf> {
    let cargo = || {
        let mut cargo = Command::new(project::cargo());
        cargo.current_dir(project::root()).args(["bench", "--no-run", "--locked"]);
        cargo.args(["--package", "portwatch", "--bench", "userspace"]);
        cargo
    };
    run::quiet(&mut cargo(), "build the benchmarks", "with the optimisations of a release")?;
    let messages = run::output(cargo().args(["--message-format", "json"]))?;
    let program = messages.lines().rev().find_map(|line| program(line, "userspace"));
    program.context("cargo does not tell where the benchmarks are")
}

/// Of a message of cargo: the finished program of that name.
fn program(message: &str, name: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let is_it = message["target"]["name"] == name && message["target"]["kind"][0] == "bench";
    is_it.then(|| message["executable"].as_str().map(PathBuf::from)).flatten()
}

/// The large history; made once, by the writer that the agent has.
fn history() -> Result<PathBuf> {
    let folder = project::target().join("bench");
    let path = folder.join(format!("history-{ROWS}.db"));
    if path.exists() {
        return Ok(path);
    }
    fs::create_dir_all(&folder)?;
    let unfinished = folder.join("history-unfinished.db");
    for end in ["", "-wal", "-shm", ".lock"] {
        let _ = fs::remove_file(folder.join(format!("history-unfinished.db{end}")));
    }
    let mut fill = Command::new(project::cargo());
    fill.current_dir(project::root()).args(["run", "--release", "--locked", "--package", "portwatch"]);
    fill.args(["--example", "fill_history", "--"]).arg(&unfinished).arg(ROWS.to_string());
    let why = "a history of a million conflicts, 2.4 GiB, some minutes; kept for the next time";
    run::quiet(&mut fill, "fill a history", why)?;
    fs::rename(&unfinished, &path).context("cannot put the history in its place")?;
    Ok(path)
}

fn table(rows: &[Row]) -> Result<String> {
    let reference = rows.iter().find(|row| row.name == REFERENCE).context("the reference is missing")?;
    let reference = reference.time.fastest.as_secs_f64();
    let mut out =
        String::from("| routine | median | fastest | multiple | instructions |\n|---|---:|---:|---:|---:|\n");
    for Row { name, time, instructions } in rows {
        let Timed { median, fastest } = time;
        let multiple = digits(fastest.as_secs_f64() / reference);
        let instructions = instructions.map_or_else(|| "–".to_owned(), grouped);
        let (median, fastest) = (shown(*median), shown(*fastest));
        writeln!(out, "| {name} | {median} | {fastest} | {multiple} | {instructions} |")?;
    }
    Ok(out)
}

/// Three digits, and the unit that fits.
fn shown(time: Duration) -> String {
    let nanoseconds = time.as_secs_f64() * 1e9;
    let units = [("s", 1e9), ("ms", 1e6), ("µs", 1e3)];
    let (unit, one) = units.into_iter().find(|(_, one)| nanoseconds >= *one).unwrap_or(("ns", 1.0));
    format!("{} {unit}", digits(nanoseconds / one))
}

/// Three digits that count.
fn digits(number: f64) -> String {
    let before = if number < 1.0 { 0.0 } else { number.log10().floor() + 1.0 };
    let after = (3.0 - before).clamp(0.0, 3.0) as usize;
    format!("{number:.after$}")
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, nanoseconds: u64, instructions: Option<u64>) -> Row {
        let fastest = Duration::from_nanos(nanoseconds);
        let time = Timed { median: 2 * fastest, fastest };
        Row { name: name.to_owned(), time, instructions }
    }

    #[test]
    fn the_table_compares_with_the_reference() {
        let rows = [row(REFERENCE, 2_000, Some(30_000)), row("a/b", 1_234_567, None)];
        let table = table(&rows).expect("a table");
        assert!(table.contains("| reference/parse-json | 4.00 µs | 2.00 µs | 1.00 | 30,000 |"), "{table}");
        assert!(table.contains("| a/b | 2.47 ms | 1.23 ms | 617 | – |"), "{table}");
    }

    #[test]
    fn cargo_tells_where_the_program_is() {
        let message = r#"{"reason":"compiler-artifact","target":{"kind":["bench"],"name":"userspace"},"executable":"/t/u"}"#;
        assert_eq!(program(message, "userspace"), Some("/t/u".into()));
        assert_eq!(program(message, "other"), None);
        assert_eq!(program("{}", "userspace"), None);
    }

    #[test]
    fn numbers_are_shown_with_what_counts_of_them() {
        assert_eq!([0.01234, 1.2345, 12.345, 1234.5].map(digits), ["0.012", "1.23", "12.3", "1234"]);
        assert_eq!([7, 1_000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
        assert_eq!(shown(Duration::from_nanos(420)), "420 ns");
    }
}
