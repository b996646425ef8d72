//! `portwatch audit`: what the next restart may lose.

use super::trace::Output;
use super::values;
use crate::audit::configured::{Configured, Wanted, configured};
use crate::audit::{Request, audit};
use crate::exit_code::{ExitCode, Refused};
use crate::model::{Audit, FindingKind};
use crate::owner::{Live, netns};
use crate::sink::json;
use crate::sink::terminal::{self, Form};
use crate::store;
use crate::who::{Query, Scope};
use clap::Args;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Width of lines that go into a file or a pipe.
const UNBOUNDED: usize = 100;
/// Longer looks would not say more.
const LONGEST_SAMPLE: Duration = Duration::from_secs(3600);

/// Find ports that the next restart may lose to a client, and how likely that is
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch audit                            every network namespace, every listener
  portwatch audit --check -o json            for CI and configuration management
  portwatch audit --sample 60s -o wide       a longer look at a quiet host, and what to do
  portwatch audit 50010 53000/udp --service postgresql --file ports.txt
  portwatch audit --check --ignore port-0-listener --ignore namespaces-differ

The odds are those of one restart: how likely the kernel gives the port to a client while the service
is down. docs/port-conflicts.md has the reckoning.

Exit codes: 0 looked; 1 failed; 2 wrong usage; 3 something was found, with --check.")]
pub struct AuditArgs {
    /// Ports to look at though nobody may have them open; TCP without a protocol
    #[arg(value_name = "PORT[/PROTOCOL]", value_parser = values::port_query)]
    port: Vec<Query>,

    /// A list of such ports, one a line, with a name if wanted; - for the standard input
    #[arg(long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// Ports of this name in /etc/services, or all of them
    #[arg(long, value_name = "NAME|all")]
    service: Vec<String>,

    /// The history of the agent: ports that were refused before [default: /var/lib/portwatch/history.db]
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,

    /// Only in this network namespace: all, self, or a path like /run/netns/NAME or /proc/PID/ns/net
    #[arg(long, value_name = "all|self|PATH", default_value = "all", hide_default_value = true)]
    netns: String,

    /// How the findings are shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,

    /// End with exit code 3 if there is a finding
    #[arg(long)]
    check: bool,

    /// Leave out findings of this kind; repeat for more
    #[arg(long, value_name = "KIND", value_parser = kind)]
    ignore: Vec<FindingKind>,

    /// How long a restart leaves the port free [default: what the unit took, else 1s]
    #[arg(long, value_name = "T", value_parser = values::duration)]
    downtime: Option<Duration>,

    /// For how long to watch ports come and go
    #[arg(long, value_name = "T", value_parser = sample, default_value = "1s")]
    sample: Duration,

    /// Do not use BPF: ports that the kernel chose then count as if they were configured
    #[arg(long)]
    no_bpf: bool,
}

fn kind(text: &str) -> Result<FindingKind, String> {
    let all: Vec<_> = FindingKind::ALL.iter().map(|kind| kind.as_str()).collect();
    text.parse().map_err(|_| format!("the kinds are {}", all.join(", ")))
}

fn sample(text: &str) -> Result<Duration, String> {
    match values::duration(text)? {
        longer if longer > LONGEST_SAMPLE => Err("an hour is the longest look".to_owned()),
        sample => Ok(sample),
    }
}

impl AuditArgs {
    fn scope(&self) -> Result<Scope, Refused> {
        Ok(match self.netns.as_str() {
            "all" => Scope::All,
            "self" => Scope::Own,
            path => Scope::Behind(netns::by_path(Path::new(path))?, PathBuf::from(path)),
        })
    }
}

impl AuditArgs {
    /// What is configured on the host and what was asked for, and what of it could not be read.
    fn configured(&self) -> Result<(Vec<Configured>, Vec<String>), Refused> {
        let default = Path::new(store::DEFAULT_PATH);
        configured(&Wanted {
            services: &self.service,
            files: &self.file,
            ports: &self.port,
            store: self.store.as_deref().or_else(|| default.exists().then_some(default)),
            root: Path::new("/"),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, or an answer that could not be written.
pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let (configured, unread) = args.configured()?;
    let request = Request {
        scope: args.scope()?,
        sample: args.sample,
        downtime: args.downtime,
        with_bpf: !args.no_bpf,
        configured,
    };
    let mut found = audit(&request, &mut Live::new());
    found.unseen.extend(unread);
    if found.namespaces.is_empty() {
        anyhow::bail!("no network namespace could be looked into: {}", found.unseen.join("; "));
    }
    found.findings.retain(|finding| !args.ignore.contains(&finding.kind));
    show(&found, args.output)?;
    let is_found = args.check && !found.findings.is_empty();
    Ok(if is_found { ExitCode::Found } else { ExitCode::Done })
}

fn show(found: &Audit, output: Output) -> io::Result<()> {
    let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
    match output {
        Output::Json => json::write_line(&mut io::stdout(), found)?,
        Output::Table => terminal::write_audit(&mut anstream::stdout(), found, Form::Table, width)?,
        Output::Wide => terminal::write_audit(&mut anstream::stdout(), found, Form::Wide, width)?,
    }
    io::stdout().flush()
}
