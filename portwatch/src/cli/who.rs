//! `portwatch who`: everybody who holds a port now.

use super::live::{self, Via, ViaArgs};
use super::trace::Output;
use super::values;
use crate::exit_code::{ExitCode, Refused};
use crate::model::{Earlier, HeldPort};
use crate::owner::{Live, netns};
use crate::sink::json;
use crate::sink::terminal::{self, Form};
use crate::store::{self, Reader};
use crate::tail::client::Agent;
use crate::who::{Query, Scope, answer};
use clap::Args;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Conflicts of the past that are shown of each port.
const EARLIER: u32 = 3;
const NO_HISTORY: &str = "who held the port earlier is not known: no portwatch agent runs to remember it";

/// Width of lines that go into a file or a pipe.
const UNBOUNDED: usize = 100;

/// Show everybody who holds a port now: listeners, clients, sockets that are only bound, TIME_WAIT
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch who 8080                 every protocol, every network namespace
  portwatch who 53/udp 53/tcp        one protocol of each port
  portwatch who 50010 -o json        an object a port, for a script

What cannot be seen from here is said at the end, with what to type. It runs without BPF too.

Exit codes: 0 looked, held or not; 1 failed; 2 wrong usage.")]
pub struct WhoArgs {
    /// The ports to look at
    #[arg(required = true, value_name = "PORT[/PROTOCOL]", value_parser = values::port_query)]
    port: Vec<Query>,

    /// Only in this network namespace: all, self, or a path like /run/netns/NAME or /proc/PID/ns/net
    #[arg(long, value_name = "all|self|PATH", default_value = "all", hide_default_value = true)]
    netns: String,

    /// How the answer is shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,

    #[command(flatten)]
    via: ViaArgs,

    /// The history of the agent [default: /var/lib/portwatch/history.db]
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,

    /// Do not use BPF: no look at the open sockets of all network namespaces
    #[arg(long)]
    no_bpf: bool,
}

impl WhoArgs {
    /// Where to look. Looks only at the file that `--netns` names.
    fn scope(&self) -> Result<Scope, Refused> {
        Ok(match self.netns.as_str() {
            "all" => Scope::All,
            "self" => Scope::Own,
            path => Scope::Behind(netns::by_path(Path::new(path))?, PathBuf::from(path)),
        })
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, or an answer that could not be written.
pub fn run(args: &WhoArgs) -> anyhow::Result<ExitCode> {
    let scope = args.scope()?;
    // Root sees as much as the agent does.
    let is_own = args.no_bpf || (args.via.via == Via::Auto && rustix::process::geteuid().is_root());
    let via = ViaArgs { via: live::check(args.via.via, &[("--no-bpf", is_own)])?, ..args.via.clone() };
    let mut ports = match via.reach(|path| Agent::who(path, &args.port))? {
        Some(ports) => within(ports, &scope),
        None => answer(&args.port, &scope, !args.no_bpf, &mut Live::new()),
    };
    if ports.iter().all(|port| port.namespaces.is_empty()) {
        let why = ports.into_iter().next().map(|port| port.unseen.join("; ")).unwrap_or_default();
        anyhow::bail!("no network namespace could be looked into: {why}");
    }
    remember(&mut ports, args);
    show(&ports, args.output)?;
    Ok(ExitCode::Done)
}

/// Adds what the agent's history knows of the ports, or says why it knows nothing.
fn remember(ports: &mut [HeldPort], args: &WhoArgs) {
    let path = args.store.as_deref().unwrap_or(Path::new(store::DEFAULT_PATH));
    let history = Reader::open(path);
    for (port, query) in ports.iter_mut().zip(&args.port) {
        let asked = store::Query {
            ports: vec![query.port..=query.port],
            protocol: query.protocol,
            limit: Some(EARLIER),
            ..store::Query::default()
        };
        let found = history.as_ref().map_err(ToString::to_string);
        match found.and_then(|history| history.conflicts(&asked).map_err(|error| error.to_string())) {
            Ok(conflicts) => port.earlier = conflicts.into_iter().map(Earlier::from).collect(),
            Err(_) if !path.exists() => port.unseen.push(NO_HISTORY.to_owned()),
            Err(error) => port.unseen.push(format!("who held the port earlier: {error}")),
        }
    }
}

/// The agent answers for all namespaces.
fn within(mut ports: Vec<HeldPort>, scope: &Scope) -> Vec<HeldPort> {
    let only = match scope {
        Scope::All => return ports,
        Scope::Own => netns::own(),
        Scope::Behind(number, _) => *number,
    };
    for port in &mut ports {
        port.holders.retain(|holder| holder.netns == only);
        port.namespaces.retain(|namespace| namespace.netns == only);
    }
    ports
}

fn show(ports: &[HeldPort], output: Output) -> io::Result<()> {
    let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
    match output {
        Output::Json => ports.iter().try_for_each(|port| json::write_line(&mut io::stdout(), port))?,
        Output::Table => terminal::write_held(&mut anstream::stdout(), ports, Form::Table, width)?,
        Output::Wide => terminal::write_held(&mut anstream::stdout(), ports, Form::Wide, width)?,
    }
    io::stdout().flush()
}
