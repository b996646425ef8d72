//! What a port costs with each backend against none, in guest instructions.
//!
//! Deterministic: under QEMU's instruction counting a guest nanosecond is one instruction.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Args;
use crate::build;
use crate::kernels::{self, Arch};
use crate::vm::{Machine, run_guest};

/// In the order of measuring.
const WATCHERS: [&str; 7] =
    ["none", "fexit", "floor-fexit", "kprobe", "floor-kprobe", "tracepoint", "floor-tracepoint"];

/// One measurement.
#[derive(Debug, PartialEq)]
struct Row {
    watcher: String,
    operation: String,
    instructions: u64,
    spread: f64,
}

pub(super) fn section(args: &Args) -> Result<String> {
    let mut tables = String::new();
    for series in args.kernels() {
        let (release, rows) = measure(series)?;
        writeln!(tables, "{}", table(&release, &rows)?)?;
    }
    Ok(tables)
}

fn measure(series: &str) -> Result<(String, Vec<Row>)> {
    let kernel = kernels::obtain(Arch::X86_64, series)?;
    let binaries = build::static_for(Arch::X86_64)?;
    let machine = Machine { icount: true, timeout: Duration::from_secs(1_800), ..Machine::usual(&kernel) };
    let mut command: Vec<String> =
        ["/init", "bench", "--portwatch", "/bin/portwatch"].map(str::to_owned).into();
    command.extend(WATCHERS.iter().flat_map(|watcher| ["--watcher".to_owned(), (*watcher).to_owned()]));
    eprintln!("  count instructions on Linux {}: emulated, one to two minutes", kernel.release);
    let mut rows = Vec::new();
    let code = run_guest(&machine, &binaries, &command, &mut |line| match parse(line) {
        Some(row) => rows.push(row),
        None => eprintln!("    {line}"),
    })?;
    ensure!(
        code == 0 && !rows.is_empty(),
        "the measurement on Linux {} failed (exit code {code})",
        kernel.release
    );
    Ok((kernel.release, rows))
}

/// `BENCH watcher=fexit op=tcp-connection instructions=132937 spread=0.01`
fn parse(line: &str) -> Option<Row> {
    let fields = line.strip_prefix("BENCH ")?;
    let field = |name: &str| {
        fields.split(' ').find_map(|field| field.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
    };
    Some(Row {
        watcher: field("watcher")?.to_owned(),
        operation: field("op")?.to_owned(),
        instructions: field("instructions")?.parse().ok()?,
        spread: field("spread")?.parse().ok()?,
    })
}

fn table(release: &str, rows: &[Row]) -> Result<String> {
    let mut out = format!("Linux {release}, guest instructions an operation:\n\n");
    out.push_str(
        "| operation | watcher | instructions | added | ratio | spread |\n|---|---|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let base = rows.iter().find(|other| other.watcher == "none" && other.operation == row.operation);
        let base = base.context("the measurement without portwatch is missing")?.instructions;
        let Row { watcher, operation, instructions, spread } = row;
        let added = i128::from(*instructions) - i128::from(base);
        let ratio = *instructions as f64 / base as f64;
        writeln!(
            out,
            "| {operation} | {watcher} | {instructions} | {added:+} | {ratio:.3} | {spread:.2} % |"
        )?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_read() {
        let row = parse("BENCH watcher=fexit op=tcp-connection instructions=132937 spread=0.01");
        assert_eq!(row.as_ref().map(|row| row.instructions), Some(132_937));
        assert_eq!(parse("BENCH watcher=fexit"), None);
        assert_eq!(parse("something else"), None);
    }

    #[test]
    fn the_table_compares_with_none() {
        let row = |watcher: &str, instructions| Row {
            watcher: watcher.into(),
            operation: "tcp".into(),
            instructions,
            spread: 0.0,
        };
        let table = table("6.12", &[row("none", 100), row("fexit", 103)]).expect("a table");
        assert!(table.contains("| tcp | fexit | 103 | +3 | 1.030 | 0.00 % |"), "{table}");
    }
}
