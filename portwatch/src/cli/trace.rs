//! `portwatch trace`: flags → [`Options`].

use super::{Printer, Summary, announce, follow, values};
use crate::exit_code::{ExitCode, Refused};
use crate::filter::Filter;
use crate::model::{Cause, Protocol};
use crate::owner::netns;
use crate::pipeline::{Pipeline, Stop};
use crate::probe::{Backend, Sizes};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

/// Show refused bind() and listen() calls as they happen, and who has the port
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch trace                          everything on this host
  portwatch trace --port 8080,9000-9100    only these ports
  portwatch trace --unit nginx -o wide     all that is known, when nginx.service is victim or holder
  portwatch trace --duration 5m --check    for a script: exit code 3 if there was a conflict

Exit codes: 0 done; 1 failed; 2 wrong usage; 3 with --check: a conflict was seen; 4 not permitted or not supported.")]
pub struct TraceArgs {
    /// Only conflicts about these ports
    #[arg(long, value_name = "P[,P-Q]", value_delimiter = ',', value_parser = values::port_range)]
    port: Vec<RangeInclusive<u16>>,

    /// Only where this process is the victim or a holder
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: Vec<u32>,

    /// Only where a process of this name is the victim or a holder
    #[arg(long, value_name = "NAME")]
    comm: Vec<String>,

    /// Only where a process of this user id is the victim or a holder
    #[arg(long, value_name = "UID")]
    uid: Vec<u32>,

    /// Only where this systemd unit is the victim or a holder
    #[arg(long, value_name = "UNIT")]
    unit: Vec<String>,

    /// Only in this network namespace: all, self, or a path like /run/netns/NAME or /proc/PID/ns/net
    #[arg(long, value_name = "all|self|PATH", default_value = "all", hide_default_value = true)]
    netns: String,

    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL", value_parser = by_name(&TRACED, Protocol::as_str))]
    protocol: Vec<Protocol>,

    /// Only conflicts of this class
    #[arg(long, value_name = "CAUSE", value_parser = by_name(Cause::ALL, Cause::as_str))]
    cause: Vec<Cause>,

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

    /// End with exit code 3 if a conflict was seen
    #[arg(long)]
    check: bool,

    /// Sockets with a port to remember at one time [default: 262144]
    #[arg(long, value_name = "N", value_parser = values::table_size)]
    table_size: Option<u32>,
}

/// Protocols whose refusals are traced.
const TRACED: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::UdpLite, Protocol::Sctp];

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Exit code 3 if there was one.
    pub check: bool,
    /// Entries of the kernel's table of ports; `None` for the default.
    pub table_size: Option<u32>,
}

impl TraceArgs {
    /// What the flags mean. Looks only at the file that `--netns` names.
    ///
    /// # Errors
    /// Wrong usage, if that is no network namespace.
    pub fn options(self) -> Result<Options, Refused> {
        let netns = match self.netns.as_str() {
            "all" => None,
            "self" => Some(netns::own()),
            path => Some(netns::by_path(Path::new(path))?),
        };
        Ok(Options {
            filter: Filter {
                ports: self.port,
                pids: self.pid,
                comms: self.comm,
                uids: self.uid,
                units: self.unit,
                netns,
                protocols: self.protocol,
                causes: self.cause,
            },
            count: self.count,
            duration: self.duration,
            output: self.output,
            backend: self.backend,
            check: self.check,
            table_size: self.table_size,
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
    let sizes = Sizes { ports: options.table_size.unwrap_or(Sizes::default().ports), ..Sizes::default() };
    let mut pipeline = Pipeline::start(options.backend.forced(), sizes)?;
    announce(pipeline.status(), &mut io::stderr())?;
    let mut printer = Printer::to_stdout(options);
    let Pipeline { feed, correlator, lookups, .. } = &mut pipeline;
    let outcome =
        follow(&mut feed.events, correlator, lookups, &mut printer, options.duration, stop.wait()).await;
    let summary = Summary { lost: pipeline.losses(), ..printer.summary().clone() };
    outcome.context("cannot write what was seen")?;
    writeln!(io::stderr(), "{summary}")?;
    Ok(if options.check && summary.conflicts > 0 { ExitCode::Found } else { ExitCode::Done })
}

/// A parser for values that have a spelling; a wrong one is answered with all of them.
pub(super) fn by_name<T: Copy + Send + Sync + 'static>(
    values: &'static [T],
    spelling: fn(T) -> &'static str,
) -> impl clap::builder::TypedValueParser<Value = T> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    PossibleValuesParser::new(values.iter().map(|&value| spelling(value))).try_map(move |text| {
        values
            .iter()
            .copied()
            .find(|&value| spelling(value) == text)
            .ok_or_else(|| format!("no such value: {text}"))
    })
}
