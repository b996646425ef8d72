//! A million sockets: does a connection cost more, what memory does it take, how soon is a conflict named, how long is the
//! start; and a table that is too small.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::facts::{Facts, here, in_machine, this_machine, words};
use super::targets::Targets;
use super::{Args, Section};
use crate::kernels::{self, Arch, Kernel};
use crate::vm::Machine;

/// The one series of machines, unless told otherwise.
const KERNEL: &str = "6.12";
/// A million records, and real sockets beside them.
const MEMORY_MIB: u32 = 6_144;
const BACKENDS: [&str; 3] = ["fexit", "kprobe", "tracepoint"];

const RESIDENT_KIB: f64 = 64.0 * 1024.0;
/// A full table may change a connection by so much.
const DEARER: f64 = 0.05;
const NAMED_MICROS: f64 = 50_000.0;
const START_MS: f64 = 2_000.0;
/// What a table takes may be off by the heads of its two, which are each kernel's own.
const HEADS: f64 = 4_096.0;

pub(super) fn section(args: &Args) -> Result<Section> {
    let mut targets = Targets::default();
    let backend = ["--backend", "tracepoint"];
    let facts = here(&[
        words("load table", &backend),
        words("load snapshot", &backend),
        words("load full", &[&backend[..], &["--tries", "3"]].concat()),
    ])?;
    let mut out = format!("{}:\n\n", this_machine()?);
    describe(&facts, &mut out)?;
    judge("this machine", &facts, true, &mut targets)?;
    let series = if args.kernel.is_empty() { vec![KERNEL] } else { args.kernels() };
    for series in series {
        let kernel = kernels::obtain(Arch::X86_64, series)?;
        let facts = emulated(&kernel)?;
        write!(out, "\nLinux {}, emulated:\n\n", kernel.release)?;
        describe(&facts, &mut out)?;
        judge(&format!("Linux {}", kernel.release), &facts, false, &mut targets)?;
    }
    Ok(targets.section(&out))
}

fn emulated(kernel: &Kernel) -> Result<Vec<Facts>> {
    let timeout = Duration::from_secs(1_800);
    let machine = Machine { memory_mib: MEMORY_MIB, timeout, ..Machine::usual(kernel) };
    let each = |role: &str, backends: &[&str]| {
        let of = |backend: &&str| words(role, &["--backend", backend]);
        backends.iter().map(of).collect::<Vec<_>>()
    };
    let commands = [
        each("load full", &BACKENDS[..2]),
        each("load table", &BACKENDS[..1]),
        each("load snapshot", &BACKENDS[..1]),
    ];
    let mut facts = in_machine(&machine, &commands.concat())?;
    // Instructions can be counted only on one processor.
    let counting = Machine { icount: true, cpus: 1, ..machine };
    facts.extend(in_machine(&counting, &each("load connect", &BACKENDS))?);
    Ok(facts)
}

fn describe(facts: &[Facts], out: &mut String) -> Result<()> {
    let about = |what: &'static str| facts.iter().filter(move |facts| facts.is_about(what));
    out.push_str("| what | backend | measured |\n|---|---|---|\n");
    for facts in about("table") {
        let word = |key| facts.word(key);
        let (millis, p99) = (facts.number("median_us")? / 1_000.0, facts.number("p99_us")? / 1_000.0);
        writeln!(
            out,
            "| agent with {} records and {} real sockets | {} | {} KiB resident (empty {} KiB, after {} conflicts {} KiB); \
             a conflict with one of the sockets named in {millis:.1} ms, median (99 of 100: {p99:.1} ms) |",
            word("records")?,
            word("sockets")?,
            word("backend")?,
            word("full_kib")?,
            word("empty_kib")?,
            word("samples")?,
            word("after_kib")?
        )?;
        let (capacity, memory) = (word("capacity")?, facts.number("memory")? / 1_048_576.0);
        writeln!(
            out,
            "| its table, `--table-size {}`, whose buckets have room for {capacity} | {} | {memory:.1} MiB of kernel memory |",
            word("size")?,
            word("backend")?
        )?;
    }
    for facts in about("formula") {
        let [table, capacity, doctor, kernel] =
            ["table", "capacity", "doctor", "kernel"].map(|key| facts.word(key));
        let what = format!("{} of {}: what `doctor` says", table?, capacity?);
        writeln!(
            out,
            "| {what} | {} | {} bytes; the kernel: {} |",
            facts.word("backend")?,
            doctor?,
            kernel?
        )?;
    }
    for facts in about("snapshot") {
        let [backend, with, without] = ["backend", "with_ms", "without_ms"].map(|key| facts.word(key));
        let what = format!("start with {} sockets", facts.word("sockets")?);
        writeln!(out, "| {what} | {} | {} ms, without them {} ms |", backend?, with?, without?)?;
    }
    describe_limits(facts, out)
}

/// A table that is too small, and one that is full.
fn describe_limits(facts: &[Facts], out: &mut String) -> Result<()> {
    let about = |what: &'static str| facts.iter().filter(move |facts| facts.is_about(what));
    for facts in about("full") {
        let [sockets, capacity, counted] = ["sockets", "capacity", "counted"].map(|key| facts.word(key));
        let what = format!("{} sockets, a table of {}", sockets?, capacity?);
        let evidence = facts.word("evidence")?;
        writeln!(
            out,
            "| {what} | {} | {} not recorded, and counted; named by `{evidence}` |",
            facts.word("backend")?,
            counted?
        )?;
    }
    for facts in about("connect") {
        let [empty, full, again] = ["empty", "full", "again"].map(|key| facts.word(key));
        writeln!(
            out,
            "| a connection, empty table, full, empty again | {} | {}, {}, {} instructions |",
            facts.word("backend")?,
            empty?,
            full?,
            again?
        )?;
    }
    Ok(())
}

/// Kernel memory of a table of so many sockets, as `docs/performance.md` has it.
fn formula(size: f64) -> f64 {
    let buckets = 2.0_f64.powf((size / 4.0).log2().ceil());
    344.0 * buckets + 32.0 * size
}

/// Only a real machine says anything about time.
fn judge(place: &str, facts: &[Facts], is_real: bool, targets: &mut Targets) -> Result<()> {
    for facts in facts {
        let (number, backend) = (|key| facts.number(key), facts.word("backend")?);
        match facts.word("what")? {
            "table" => {
                let kib = number("full_kib")?.max(number("after_kib")?);
                let target = format!("{place}, {backend}: at most 64 MiB resident");
                targets.add(target, format!("{kib} KiB"), kib <= RESIDENT_KIB);
                let (memory, formula) = (number("memory")?, formula(number("size")?));
                let target = format!("{place}, {backend}: its table takes what the formula says");
                let off = memory - formula;
                targets.add(target, format!("{off} bytes more, for two heads"), (0.0..=HEADS).contains(&off));
                let micros = number("median_us")?;
                if is_real {
                    let target = format!("{place}: a conflict among a million named in 50 ms");
                    targets.add(target, format!("{:.1} ms", micros / 1_000.0), micros <= NAMED_MICROS);
                }
            }
            "formula" => {
                let (doctor, kernel) = (number("doctor")?, number("kernel")?);
                let target = format!("{place}: `doctor` tells the kernel memory of {}", facts.word("table")?);
                let off = (kernel - doctor).abs();
                targets.add(target, format!("{off} bytes off"), off <= HEADS);
            }
            "snapshot" if is_real => {
                let millis = number("with_ms")?;
                let target = format!("{place}: start among {} sockets in 2 s", facts.word("sockets")?);
                targets.add(target, format!("{millis} ms"), millis <= START_MS);
            }
            "full" => {
                let (expected, counted) = (number("expected")?, number("counted")?);
                let target = format!("{place}, {backend}: what does not fit is counted exactly");
                targets.add(target, format!("{counted} of {expected}"), counted == expected);
            }
            "connect" => {
                let ratio = number("full")? / number("empty")?;
                let target = format!("{place}, {backend}: a connection no dearer with a million records");
                targets.add(
                    target,
                    format!("{:+.2} %", (ratio - 1.0) * 100.0),
                    (ratio - 1.0).abs() <= DEARER,
                );
            }
            _ => {}
        }
    }
    Ok(())
}
