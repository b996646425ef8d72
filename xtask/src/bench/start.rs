//! How long portwatch takes to be ready and to end, and where the instructions go: every program of every backend.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::facts::{Facts, here, in_machine, this_machine, words};
use super::targets::Targets;
use super::{Args, Section};
use crate::build::{self, Profile};
use crate::kernels::{self, Arch, Kernel};
use crate::project;
use crate::vm::Machine;

const BACKENDS: [&str; 3] = ["fexit", "kprobe", "tracepoint"];
/// Without the sockets that are there already.
const READY_MS: f64 = 300.0;
/// What `doctor` calls the phases.
const PHASES: [&str; 5] = ["types_us", "prepare_us", "verify_us", "attach_us", "sockets_us"];

pub(super) fn section(args: &Args) -> Result<Section> {
    let mut targets = Targets::default();
    let mut out = sizes()?;
    let facts = here(&[words("load start", &["--backend", "tracepoint"])])?;
    write!(out, "\n{}:\n\n", this_machine()?)?;
    starts(&facts, &mut out)?;
    for facts in &facts {
        let seeding = facts.number("sockets_us")? / 1_000.0;
        let ready = facts.number("ready_ms")? - seeding;
        let target = "this machine: ready in 300 ms, beside the sockets that are there already";
        targets.add(target, format!("{ready:.0} ms"), ready <= READY_MS);
    }
    for series in args.kernels() {
        let kernel = kernels::obtain(Arch::X86_64, series)?;
        emulated(&kernel, &mut out)?;
    }
    Ok(targets.section(&out))
}

/// Of what is installed, and of what is loaded into the kernel.
fn sizes() -> Result<String> {
    let binaries = build::static_for(Arch::OWN, Profile::Release)?;
    let object = project::root().join(format!("portwatch/bpf/portwatch.{}.o", Arch::OWN.name()));
    let kib = |path: &std::path::Path| {
        let size = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?.len();
        Ok::<_, anyhow::Error>(size / 1_024)
    };
    let (binary, object) = (kib(&binaries.portwatch)?, kib(&object)?);
    Ok(format!("The program, static, has {binary} KiB; {object} KiB of them are the kernel-side object.\n"))
}

fn emulated(kernel: &Kernel, out: &mut String) -> Result<()> {
    let each = |role: &str| BACKENDS.map(|backend| words(role, &["--backend", backend])).to_vec();
    let machine = Machine { timeout: Duration::from_secs(1_800), ..Machine::usual(kernel) };
    let facts = in_machine(&machine, &each("load start"))?;
    write!(out, "\nLinux {}, emulated, {} processors:\n\n", kernel.release, machine.cpus)?;
    starts(&facts, out)?;
    let counting = Machine { icount: true, cpus: 1, ..machine };
    let facts = in_machine(&counting, &each("load programs"))?;
    write!(out, "\nLinux {}, programs:\n\n", kernel.release)?;
    programs(&facts, out)?;
    write!(out, "\nLinux {}, loading each program:\n\n", kernel.release)?;
    loads(&facts, out)
}

/// What each program takes to be loaded. A microsecond of that machine is a thousand instructions.
fn loads(facts: &[Facts], out: &mut String) -> Result<()> {
    out.push_str("| backend | program | million instructions |\n|---|---|---:|\n");
    for facts in facts.iter().filter(|facts| facts.is_about("load")) {
        let (backend, name) = (facts.word("backend")?, facts.word("name")?);
        writeln!(out, "| {backend} | `{name}` | {:.1} |", facts.number("load_us")? / 1_000.0)?;
    }
    Ok(())
}

fn starts(facts: &[Facts], out: &mut String) -> Result<()> {
    out.push_str(
        "| backend | ready, ms | ended, ms | types | prepare | verify | attach | sockets |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for facts in facts.iter().filter(|facts| facts.is_about("start")) {
        let (ready, ended) = (facts.number("ready_ms")?, facts.number("ended_ms")?);
        write!(out, "| {} | {ready:.0} | {ended:.0} |", facts.word("backend")?)?;
        for phase in PHASES {
            write!(out, " {:.1} |", facts.number(phase)? / 1_000.0)?;
        }
        out.push('\n');
    }
    Ok(())
}

/// Programs that were loaded, with what a connection has of each.
fn programs(facts: &[Facts], out: &mut String) -> Result<()> {
    out.push_str(
        "| backend | program | verified | bytes | runs a connection | instructions a run | a connection |\n\
         |---|---|---:|---:|---:|---:|---:|\n",
    );
    for backend in BACKENDS {
        let of = |what: &'static str| {
            let is_of = move |facts: &&Facts| {
                facts.is_about(what) && facts.word("backend").is_ok_and(|of| of == backend)
            };
            facts.iter().filter(is_of)
        };
        // What the kernel's own reading of the clock adds to every run.
        let clock = of("empty-program").next().context("no run of an empty program")?.number("run_ns")?;
        let mut all = 0.0;
        for facts in of("program") {
            let number = |key| facts.number(key);
            let (runs, connections) = (number("runs")?, number("connections")?);
            let spent = (number("run_ns")? - runs * clock).max(0.0);
            let run = if runs > 0.0 { format!("{:.0}", spent / runs) } else { "-".to_owned() };
            let verified = match number("verified")? {
                0.0 => "-".to_owned(),
                verified => verified.to_string(),
            };
            let (name, bytes) = (facts.word("name")?, facts.word("compiled")?);
            writeln!(
                out,
                "| {backend} | `{name}` | {verified} | {bytes} | {:.2} | {run} | {:.0} |",
                runs / connections,
                spent / connections
            )?;
            all += spent / connections;
        }
        writeln!(out, "| {backend} | all | | | | | {all:.0} |")?;
    }
    Ok(())
}
