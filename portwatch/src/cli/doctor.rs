//! `portwatch doctor`: what this kernel and these capabilities allow, which backend would run and why not a better one.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;
use serde::Serialize;

use super::form::Form;
use super::prototypes;
use crate::config::Config;
use crate::exit_code::ExitCode;
use crate::probe::{Backend, Counters, Kernel, Probe, Reason, Sizes, Status, Table, object};
use crate::tail::Hello;
use crate::tail::client::Agent;
use crate::text;

/// Tell what this host admits: every backend is really attached for a moment
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// How the answer is shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Form,
    /// Instead compare the functions that are hooked with the kernel's own declarations of them
    #[arg(long)]
    prototypes: bool,
    /// End with exit code 3 if one of them is not as it should be
    #[arg(long, requires = "prototypes")]
    check: bool,
}

/// Everything that was found out.
#[derive(Debug, Serialize)]
struct Diagnosis {
    version: &'static str,
    object_sha256: String,
    kernel: String,
    architecture: &'static str,
    /// Why the kernel's type information is of no use, if so.
    btf: Option<Reason>,
    /// The kernel preempts programs, or does not say that it does not.
    preempts: bool,
    /// Optional fields that this kernel lacks.
    absent_fields: Vec<&'static str>,
    backends: Vec<Trial>,
    /// The backend that `trace` takes.
    chosen: Option<Backend>,
    /// The agent that answers at its usual place.
    agent: Option<Hello>,
    /// Why none does, if so.
    no_agent: Option<String>,
}

/// One backend, tried.
#[derive(Debug, Serialize)]
struct Trial {
    backend: Backend,
    /// Why it cannot run.
    reason: Option<Reason>,
    status: Option<Status>,
    tables: Vec<Table>,
    counters: Option<Counters>,
}

/// Runs the command.
///
/// # Errors
/// If the answer could not be written.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    if args.prototypes {
        let (answer, code) = prototypes::answer(args.output == Form::Json, args.check)?;
        io::stdout().write_all(answer.as_bytes())?;
        return Ok(code);
    }
    let diagnosis = diagnose();
    let answer = match args.output {
        Form::Text => describe(&diagnosis)?,
        Form::Json => format!("{}\n", serde_json::to_string(&diagnosis)?),
    };
    io::stdout().write_all(answer.as_bytes())?;
    Ok(if diagnosis.chosen.is_some() { ExitCode::Done } else { ExitCode::Unsupported })
}

fn diagnose() -> Diagnosis {
    let kernel = Kernel::read();
    let preempts = kernel.as_ref().is_ok_and(|kernel| kernel.preempts);
    let backends: Vec<Trial> =
        Backend::by_merit(preempts).iter().map(|backend| try_backend(*backend)).collect();
    let system = rustix::system::uname();
    let agent = Agent::follow(&Config::default().socket.unwrap_or_default()).map(|agent| agent.hello);
    Diagnosis {
        no_agent: agent.as_ref().err().map(ToString::to_string),
        agent: agent.ok(),
        version: env!("CARGO_PKG_VERSION"),
        object_sha256: object::built_in_hash(),
        kernel: system.release().to_string_lossy().into_owned(),
        architecture: std::env::consts::ARCH,
        absent_fields: kernel.as_ref().map(|kernel| kernel.absent.clone()).unwrap_or_default(),
        preempts,
        btf: kernel.err(),
        chosen: backends.iter().find(|trial| trial.status.is_some()).map(|trial| trial.backend),
        backends,
    }
}

fn try_backend(backend: Backend) -> Trial {
    match Probe::attach(Some(backend), Sizes::default()) {
        Ok(probe) => Trial {
            backend,
            reason: None,
            status: Some(probe.status().clone()),
            tables: probe.tables(),
            counters: Some(probe.counters()),
        },
        Err(unavailable) => Trial {
            backend,
            reason: unavailable.declined.into_iter().next().map(|declined| declined.reason),
            status: None,
            tables: Vec::new(),
            counters: None,
        },
    }
}

fn describe(diagnosis: &Diagnosis) -> Result<String, std::fmt::Error> {
    let mut out = String::new();
    writeln!(
        out,
        "portwatch {} on Linux {} {}",
        diagnosis.version, diagnosis.kernel, diagnosis.architecture
    )?;
    writeln!(out, "kernel-side object: sha256 {}", diagnosis.object_sha256)?;
    match &diagnosis.btf {
        None => writeln!(out, "type information (BTF): ok")?,
        Some(reason) => describe_reason(&mut out, "type information (BTF)", reason)?,
    }
    if !diagnosis.absent_fields.is_empty() {
        writeln!(
            out,
            "fields that this kernel lacks (done without): {}",
            diagnosis.absent_fields.join(", ")
        )?;
    }
    if diagnosis.preempts {
        writeln!(
            out,
            "this kernel may preempt fexit hooks and pass over them meanwhile: kprobe is tried first"
        )?;
    }
    for trial in &diagnosis.backends {
        writeln!(out)?;
        describe_trial(&mut out, trial, diagnosis.chosen)?;
    }
    writeln!(out)?;
    match diagnosis.chosen {
        Some(backend) => writeln!(out, "trace would run with: {}", backend.name())?,
        None => writeln!(out, "trace cannot run here: no backend can be attached")?,
    }
    match (&diagnosis.agent, &diagnosis.no_agent) {
        (Some(Hello { pid, version, backend, .. }), _) => {
            let (version, backend) = (text::printable(version), text::printable(backend));
            writeln!(
                out,
                "agent: runs (pid {pid}, version {version}, backend {backend}); trace and who ask it"
            )?;
        }
        (None, why) => writeln!(out, "agent: {}", text::printable(why.as_deref().unwrap_or("none")))?,
    }
    Ok(out)
}

fn describe_trial(out: &mut String, trial: &Trial, chosen: Option<Backend>) -> std::fmt::Result {
    let name = trial.backend.name();
    if let Some(reason) = &trial.reason {
        return describe_reason(out, &format!("backend {name}"), reason);
    }
    let mark = if chosen == Some(trial.backend) { " (the best here)" } else { "" };
    writeln!(out, "backend {name}: attaches{mark}")?;
    if let Some(status) = &trial.status {
        writeln!(out, "  not seen: {}", text::printable(&status.blind.join("; ")))?;
        match &status.no_snapshot {
            None => writeln!(out, "  sockets from before the start: {} recorded", status.preexisting)?,
            Some(reason) => describe_reason(out, "  sockets from before the start", reason)?,
        }
        writeln!(out, "  ready in {} ms", status.timing.millis())?;
    }
    for table in &trial.tables {
        let Table { name, entries, capacity, memory } = table;
        writeln!(
            out,
            "  table {name:<10} {entries:>7} of {capacity:>7} entries, {:>6} KiB of kernel memory",
            memory / 1024
        )?;
    }
    let lost: Vec<String> = trial
        .counters
        .iter()
        .flat_map(|counters| {
            counters
                .losses()
                .filter(|(_, count)| *count > 0)
                .map(|(name, count)| format!("{count} {}", name.replace('_', " ")))
        })
        .collect();
    writeln!(
        out,
        "  lost while trying: {}",
        if lost.is_empty() { "nothing".to_owned() } else { lost.join(", ") }
    )
}

fn describe_reason(out: &mut String, what: &str, reason: &Reason) -> std::fmt::Result {
    writeln!(out, "{what}: not available: {}", text::printable(&reason.what))?;
    if !reason.remedy.is_empty() {
        writeln!(out, "  remedy: {}", text::printable(&reason.remedy))?;
    }
    Ok(())
}
