//! `lineup load start|programs`: how long portwatch takes to be ready and to end, where that time goes, and what its
//! programs cost each.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value};

use super::bpf::{Program, empty_program_ns, programs};
use super::connections::some;
use super::median_and_p99;
use super::tracer::Tracer;
use crate::product::Backend;
use crate::say;

/// Starts whose phases are told: `doctor` tries every backend for each of them.
const PHASED: u32 = 3;
/// Whether the kernel counts runs of programs, and their time.
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct StartArgs {
    /// The program to measure
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 7)]
    starts: u32,
}

/// Starts and ends it again and again.
pub(super) fn start(args: &StartArgs) -> Result<bool> {
    let (mut ready, mut ended) = (Vec::new(), Vec::new());
    for _ in 0..args.starts {
        let begin = Instant::now();
        let tracer = Tracer::start(&args.portwatch, &["--via", "kernel", "--backend", args.backend.name()])?;
        ready.push(begin.elapsed());
        let end = Instant::now();
        tracer.stop()?;
        ended.push(end.elapsed());
    }
    let millis = |times: &mut [Duration]| median_and_p99(times).0.as_secs_f64() * 1_000.0;
    say::line(format_args!(
        "BENCH what=start backend={} starts={} ready_ms={:.1} ended_ms={:.1} {}",
        args.backend.name(),
        args.starts,
        millis(&mut ready),
        millis(&mut ended),
        phases(&args.portwatch, args.backend, args.starts.min(PHASED))?
    ));
    Ok(true)
}

/// Where the time goes, by portwatch's own clock: the median of each phase.
fn phases(program: &Path, backend: Backend, starts: u32) -> Result<String> {
    let mut all: Vec<(String, Vec<u64>)> = Vec::new();
    for _ in 0..starts {
        for (phase, micros) in timing(program, backend)? {
            // Each program's share is a list.
            let Some(micros) = micros.as_u64() else { continue };
            match all.iter_mut().find(|(known, _)| *known == phase) {
                Some((_, times)) => times.push(micros),
                None => all.push((phase, vec![micros])),
            }
        }
    }
    let told = all.iter_mut().map(|(phase, times)| format!("{phase}={}", median_and_p99(times).0));
    Ok(told.collect::<Vec<_>>().join(" "))
}

/// What doctor says of a start with this backend.
fn timing(program: &Path, backend: Backend) -> Result<Map<String, Value>> {
    let output = Command::new(program).args(["doctor", "-o", "json"]).output().context("starting doctor")?;
    let diagnosis: Value = serde_json::from_slice(&output.stdout).context("doctor's answer is not JSON")?;
    let trials = diagnosis["backends"].as_array().context("doctor names no backends")?;
    let trial = trials.iter().find(|trial| trial["backend"] == backend.name()).context("no such backend")?;
    trial["status"]["timing"].as_object().cloned().context("no timing")
}

/// What each program takes to be loaded.
fn tell_loads(program: &Path, backend: Backend) -> Result<()> {
    let timing = timing(program, backend)?;
    for load in timing["programs"].as_array().context("no programs")? {
        let (name, micros) = (load["program"].as_str(), load["load_us"].as_u64());
        let (name, micros) = (name.context("a program without a name")?, micros.context("no time")?);
        say::line(format_args!("BENCH what=load backend={} name={name} load_us={micros}", backend.name()));
    }
    Ok(())
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ProgramsArgs {
    /// The program to measure
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// TCP connections during which the programs are counted
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    connections: u32,
}

/// What the kernel has of every program, and its runs while connections come and go.
pub(super) fn each_program(args: &ProgramsArgs) -> Result<bool> {
    let before = fs::read(STATISTICS).with_context(|| format!("reading {STATISTICS}"))?;
    fs::write(STATISTICS, "1").with_context(|| format!("writing {STATISTICS}"))?;
    let counted = count(args).and_then(|is_good| tell_loads(&args.portwatch, args.backend).map(|()| is_good));
    fs::write(STATISTICS, before).with_context(|| format!("writing {STATISTICS}"))?;
    counted
}

fn count(args: &ProgramsArgs) -> Result<bool> {
    let empty = empty_program_ns()?;
    let tracer = Tracer::start(&args.portwatch, &["--via", "kernel", "--backend", args.backend.name()])?;
    let warm_up = some(args.connections)?;
    let before = programs(tracer.pid())?;
    let counted = some(args.connections)?;
    let after = programs(tracer.pid())?;
    tracer.stop()?;
    drop((warm_up, counted));
    let (backend, connections) = (args.backend.name(), args.connections);
    say::line(format_args!("BENCH what=empty-program backend={backend} run_ns={empty:.0}"));
    let mut names = HashMap::new();
    for (before, after) in before.iter().zip(&after) {
        ensure!(before.id == after.id, "its programs have changed meanwhile");
        // The kernel cuts names, and a program and its stand-in may then be called the same.
        let seen = names.entry(&after.name).or_insert(0);
        *seen += 1;
        let suffix = if *seen == 1 { String::new() } else { format!("#{seen}") };
        let Program { name, translated, compiled, verified, id: _, run_ns, runs } = after;
        say::line(format_args!(
            "BENCH what=program backend={backend} name={name}{suffix} connections={connections} verified={verified} \
             translated={translated} compiled={compiled} runs={} run_ns={}",
            runs - before.runs,
            run_ns - before.run_ns
        ));
    }
    Ok(true)
}
