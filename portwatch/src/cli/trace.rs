//! `portwatch trace`: flags → [`Options`].

use super::filters::FilterArgs;
use super::live::{self, ViaArgs};
use super::{Printer, announce, values};
use crate::exit_code::{ExitCode, Refused};
use crate::filter::Filter;
use crate::follow::{Conclusion, follow};
use crate::ledger::Summary;
use crate::owner::netns;
use crate::pipeline::{Pipeline, Stop};
use crate::probe::{Backend, Sizes};
use crate::tail::client::Agent;
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

/// Show refused bind() and listen() calls as they happen, and who has the port
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch trace                          everything on this host
  portwatch trace --port 8080,9000-9100    only these ports
  portwatch trace --unit nginx -o wide     all that is known, when nginx.service is victim or holder
  portwatch trace --duration 5m --check    for a script: exit code 3 if there was a conflict
  portwatch trace --record FILE            for a bug report: `portwatch replay FILE` shows the same again

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 with --check: a conflict was seen; 4 not permitted or not supported.")]
pub struct TraceArgs {
    /// Which conflicts.
    #[command(flatten)]
    filter: FilterArgs,

    /// End after so many conflicts (a repeated one counts once)
    #[arg(long, value_name = "N", value_parser = values::count)]
    count: Option<u64>,

    /// End after this time, such as 30s or 2m
    #[arg(long, value_name = "T", value_parser = values::duration)]
    duration: Option<Duration>,

    /// How conflicts are shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,

    /// Kernel hooks to use; auto takes the best that this kernel admits
    #[arg(long, value_name = "BACKEND", value_enum, default_value_t)]
    backend: BackendChoice,

    #[command(flatten)]
    via: ViaArgs,

    /// End with exit code 3 if a conflict was seen
    #[arg(long)]
    check: bool,

    /// Write everything that was seen and looked up into a new file, for `portwatch replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Sockets with a port to remember at one time [default: 262144]
    #[arg(long, value_name = "N", value_parser = values::table_size)]
    table_size: Option<u32>,
}

/// How conflicts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line a conflict
    #[default]
    Table,
    /// A paragraph a conflict, with everything that is known
    Wide,
    /// A JSON object a line
    Json,
}

/// Which kernel hooks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendChoice {
    /// The best that this kernel admits
    #[default]
    Auto,
    /// Entry and exit of the kernel's port functions
    Fexit,
    /// Probe pairs on the same functions
    Kprobe,
    /// System call tracepoints
    Tracepoint,
}

impl BackendChoice {
    /// The one backend that was asked for, `None` for the best.
    pub const fn forced(self) -> Option<Backend> {
        match self {
            Self::Auto => None,
            Self::Fexit => Some(Backend::Fexit),
            Self::Kprobe => Some(Backend::Kprobe),
            Self::Tracepoint => Some(Backend::Tracepoint),
        }
    }
}

/// What `portwatch trace` is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which conflicts are shown and counted.
    pub filter: Filter,
    /// End after so many.
    pub count: Option<u64>,
    /// End after so long.
    pub duration: Option<Duration>,
    /// How they are shown.
    pub output: Output,
    /// Which kernel hooks.
    pub backend: BackendChoice,
    /// Whom to ask.
    pub via: ViaArgs,
    /// Exit code 3 if there was one.
    pub check: bool,
    /// Entries of the kernel's table of ports; `None` for the default.
    pub table_size: Option<u32>,
    /// Where everything is recorded; `None` for nowhere.
    pub record: Option<PathBuf>,
}

impl TraceArgs {
    /// What the flags mean. Looks only at the file that `--netns` names.
    ///
    /// # Errors
    /// Wrong usage, if that is no network namespace.
    pub fn options(self) -> Result<Options, Refused> {
        let own = [
            ("--backend", self.backend != BackendChoice::Auto),
            ("--table-size", self.table_size.is_some()),
            ("--record", self.record.is_some()),
        ];
        let via = ViaArgs { via: live::check(self.via.via, &own)?, ..self.via };
        Ok(Options {
            via,
            filter: self.filter.filter(netns::own())?,
            count: self.count,
            duration: self.duration,
            output: self.output,
            backend: self.backend,
            check: self.check,
            table_size: self.table_size,
            record: self.record,
        })
    }
}

/// Runs the command until Ctrl-C, `--count` or `--duration` ends it.
///
/// # Errors
/// Wrong usage, no backend on this host, or output that could not be written.
pub fn run(args: TraceArgs) -> anyhow::Result<ExitCode> {
    let options = args.options()?;
    // The ring is drained by a thread of its own: a look into /proc must not hold it up.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let outcome = runtime.block_on(trace(&options));
    runtime.shutdown_background();
    outcome
}

async fn trace(options: &Options) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::install()?;
    let mut printer = Printer::to_stdout(options.output, options.filter.clone(), options.count);
    let summary = match options.via.reach(Agent::follow)? {
        Some(agent) => from_agent(agent, options, &mut printer, &mut stop).await?,
        None => from_kernel(options, &mut printer, &mut stop).await?,
    };
    writeln!(io::stderr(), "{summary}")?;
    Ok(if options.check && summary.conflicts > 0 { ExitCode::Found } else { ExitCode::Done })
}

async fn from_agent(
    agent: Agent,
    options: &Options,
    printer: &mut Printer,
    stop: &mut Stop,
) -> anyhow::Result<Summary> {
    live::announce(&agent)?;
    let outcome = live::follow(agent, printer, options.duration, stop.wait()).await;
    let (conclusion, lost) = outcome.context("cannot show what the agent tells")?;
    if conclusion == Conclusion::SourceEnded {
        writeln!(io::stderr(), "portwatch: the agent has ended; what happens from now on is not seen")?;
    }
    Ok(printer.summary().with_lost([("lines_of_the_agent", lost)]))
}

async fn from_kernel(options: &Options, printer: &mut Printer, stop: &mut Stop) -> anyhow::Result<Summary> {
    let sizes = Sizes { ports: options.table_size.unwrap_or(Sizes::default().ports), ..Sizes::default() };
    let mut pipeline = Pipeline::start(options.backend.forced(), sizes)?;
    let mut announced = Vec::new();
    announce(pipeline.gauge.status(), &mut announced)?;
    let mut recorder = pipeline.record(options.record.as_deref(), &announced)?;
    io::stderr().write_all(&announced)?;
    let Pipeline { events, correlator, lookups, .. } = &mut pipeline;
    let outcome =
        follow(events, correlator, lookups, &mut recorder, printer, options.duration, stop.wait()).await;
    let lost = pipeline.losses(recorder.as_mut());
    outcome.context("cannot write what was seen")?;
    Ok(printer.summary().with_lost(lost))
}
