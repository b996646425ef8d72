//! What was measured, in Markdown.

use std::fmt::Write as _;

use anyhow::Result;

use super::limits::Verdict;
use super::machine::{self, Measured};
use super::row::Row;
use super::{BACKENDS, CONNECTION, NONE, TRACER, floor};

/// Everything, and who could not be measured.
pub(super) fn whole(measured: &Measured) -> Result<String> {
    let mut out = format!("Linux {}, guest instructions an operation:\n\n", measured.release);
    out.push_str(
        "| operation | watcher | instructions | added | ratio | × floor | of tcptracer | spread |\n",
    );
    out.push_str("|---|---|---:|---:|---:|---:|---:|---:|\n");
    let mut rows: Vec<&Row> = measured.rows.iter().collect();
    // By operation, as it was measured first; the order of the watchers stays.
    rows.sort_by_key(|row| measured.rows.iter().position(|other| other.operation == row.operation));
    for row in &rows {
        let Row { watcher, operation, instructions, spread } = row;
        let mark = if machine::is_wide(row) { " (!)" } else { "" };
        writeln!(
            out,
            "| {operation} | {watcher} | {instructions} | {} | {spread:.2} %{mark} |",
            compared(measured, row)?
        )?;
    }
    if rows.iter().any(|row| machine::is_wide(row)) {
        out.push_str("\n(!) Its rounds are too far apart for a measurement.\n");
    }
    out.push_str(&absent(measured));
    Ok(out)
}

/// One operation on one kernel, for the README.
pub(super) fn summary(measured: &Measured) -> Result<String> {
    let mut out = format!("Linux {}:\n\n", measured.release);
    out.push_str("| watcher | instructions | added | ratio | × floor | of tcptracer |\n");
    out.push_str("|---|---:|---:|---:|---:|---:|\n");
    for row in measured.rows.iter().filter(|row| row.operation == CONNECTION) {
        writeln!(out, "| {} | {} | {} |", row.watcher, row.instructions, compared(measured, row)?)?;
    }
    out.push_str(&absent(measured));
    Ok(out)
}

/// Added, ratio, and for portwatch how it stands to the floor and to tcptracer.
fn compared(measured: &Measured, row: &Row) -> Result<String> {
    let base = measured.base(&row.operation)?;
    let added = measured.added(&row.watcher, &row.operation)?.unwrap_or_default();
    let ratio = row.instructions as f64 / base as f64;
    let added_by = |watcher: &str| measured.added(watcher, &row.operation);
    let is_portwatch = BACKENDS.contains(&row.watcher.as_str());
    let (of_floor, of_tracer) = if is_portwatch {
        (times(added, added_by(&floor(&row.watcher))?), part(added, added_by(TRACER)?))
    } else {
        (String::new(), String::new())
    };
    let added = if row.watcher == NONE { String::new() } else { format!("{added:+}") };
    Ok(format!("{added} | {ratio:.3} | {of_floor} | {of_tracer}"))
}

/// How many times the floor; nothing where there is none to speak of.
fn times(added: i64, floor: Option<i64>) -> String {
    match floor {
        Some(floor @ 1..) => format!("{:.1}", added as f64 / floor as f64),
        _ => String::new(),
    }
}

/// Which part of it; nothing where the other tool does not watch.
fn part(added: i64, of: Option<i64>) -> String {
    match (added, of) {
        (1.., Some(of)) if of > added => format!("1/{:.1}", of as f64 / added as f64),
        _ => String::new(),
    }
}

fn absent(measured: &Measured) -> String {
    let told = |watcher: &str, reason: &str| format!("\n`{watcher}` does not run on this kernel: {reason}\n");
    measured.skips.iter().map(|skip| told(&skip.watcher, &skip.reason)).collect()
}

/// What is aimed at, and whether it is reached.
pub(super) fn targets(verdicts: &[Verdict]) -> String {
    let mut out = String::from("| target | measured | |\n|---|---:|---|\n");
    for Verdict { target, measured, is_met } in verdicts {
        let word = if *is_met { "met" } else { "**missed**" };
        out.push_str(&format!("| {target} | {measured} | {word} |\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::row::Skip;
    use super::*;

    fn row(watcher: &str, instructions: u64) -> Row {
        Row { watcher: watcher.into(), operation: CONNECTION.into(), instructions, spread: 0.0 }
    }

    fn measured() -> Measured {
        let rows = vec![row(NONE, 1_000), row("fexit", 1_030), row("floor-fexit", 1_010), row(TRACER, 1_900)];
        let skip = Skip { watcher: "bindsnoop".into(), reason: "no such probe".into() };
        Measured { series: "6.12".into(), release: "6.12.1".into(), rows, skips: vec![skip] }
    }

    #[test]
    fn portwatch_is_compared_with_none_its_floor_and_the_tracer() {
        let whole = whole(&measured()).expect("a table");
        assert!(whole.contains("| tcp-connection | none | 1000 |  | 1.000 |  |  | 0.00 % |"), "{whole}");
        let fexit = "| tcp-connection | fexit | 1030 | +30 | 1.030 | 3.0 | 1/30.0 | 0.00 % |";
        assert!(whole.contains(fexit), "{whole}");
        assert!(
            whole.contains("| tcp-connection | tcptracer | 1900 | +900 | 1.900 |  |  | 0.00 % |"),
            "{whole}"
        );
        assert!(whole.contains("`bindsnoop` does not run on this kernel: no such probe"), "{whole}");
    }

    #[test]
    fn a_wide_row_is_marked() {
        let mut measured = measured();
        measured.rows[3].spread = 1.5;
        let whole = whole(&measured).expect("a table");
        assert!(whole.contains("| 1.50 % (!) |") && whole.contains("(!) Its rounds"), "{whole}");
        assert!(measured.faults().is_empty(), "another tool's row is only marked");
        measured.rows[1].spread = 0.3;
        assert_eq!(measured.faults().len(), 1);
    }

    #[test]
    fn the_summary_has_one_operation() {
        let mut measured = measured();
        measured.rows.push(Row { operation: "refusal".into(), ..row("fexit", 77) });
        let summary = summary(&measured).expect("a table");
        assert!(summary.contains("| fexit | 1030 | +30 | 1.030 | 3.0 | 1/30.0 |"), "{summary}");
        assert!(!summary.contains("77"), "{summary}");
    }
}
