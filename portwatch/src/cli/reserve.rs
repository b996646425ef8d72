//! `portwatch reserve` and `portwatch unreserve`: ports that the kernel gives to no client.

use super::form::Form;
use super::values;
use crate::exit_code::{ExitCode, Refused};
use crate::owner::namespaces::Namespace;
use crate::owner::netns;
use crate::ports::PortList;
use crate::reserve::{self, Action, Request};
use crate::sink::{json, terminal};
use clap::Args;
use std::io;
use std::path::Path;

/// Width of lines that go into a file or a pipe.
const UNBOUNDED: usize = 100;

/// Keep the kernel from giving ports to clients, now and, if wanted, at boot
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch reserve 50010 --dry-run        what would change, and nothing is changed
  portwatch reserve 50010 50020-50029      now, beside what is reserved already
  portwatch reserve --persist 50010        now and at every boot
  portwatch reserve --netns /run/netns/blue 50010

The ports are merged into net.ipv4.ip_local_reserved_ports; a port counts for every protocol. Who has a
port now keeps it, and a program that binds it by its number still gets it: both are said. --persist
keeps /etc/sysctl.d/60-portwatch.conf, and says which other file would override it.

Exit codes: 0 reserved, now or already; 1 failed, also in part: what was done is said; 2 wrong usage;
4 not permitted.")]
pub struct ReserveArgs {
    #[command(flatten)]
    change: ChangeArgs,
}

/// Undo what reserve did, and nothing else
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch unreserve 50010 --dry-run      what would change, and nothing is changed
  portwatch unreserve --persist 50010      now and at every boot

Only ports that `portwatch reserve` added are taken out. What others had reserved, before it or without
it, stays, which is said; --force takes that out too.

Exit codes: 0 as it was before reserve; 1 failed, or something is kept that others reserved; 2 wrong
usage; 4 not permitted.")]
pub struct UnreserveArgs {
    #[command(flatten)]
    change: ChangeArgs,

    /// Also take out what others reserved
    #[arg(long)]
    force: bool,
}

#[derive(Args, Clone, Debug)]
struct ChangeArgs {
    /// Ports and ranges of ports
    #[arg(required = true, value_name = "PORT", value_parser = ports)]
    port: Vec<PortList>,

    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// At every boot as well: in /etc/sysctl.d/60-portwatch.conf
    #[arg(long)]
    persist: bool,

    /// In this network namespace: self, or a path like /run/netns/NAME or /proc/PID/ns/net
    #[arg(long, value_name = "self|PATH", default_value = "self")]
    netns: String,

    /// How the answer is shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Form,
}

impl ChangeArgs {
    fn request(&self, action: Action, force: bool) -> Result<Request, Refused> {
        let mut ports = PortList::default();
        let ranges = self.port.iter().flat_map(PortList::ranges);
        ranges.for_each(|&(low, high)| ports.insert(low, high));
        let namespace = match self.netns.as_str() {
            "self" => Namespace::own(),
            "all" => {
                return Err(Refused::usage(
                    "--netns all: every network namespace has a list of its own; name one",
                ));
            }
            path => Namespace::behind(
                netns::by_path(Path::new(path)).map_err(|error| one(&error))?,
                Path::new(path),
            ),
        };
        Ok(Request { action, ports, namespace, persist: self.persist, dry_run: self.dry_run, force })
    }

    fn run(&self, action: Action, force: bool) -> anyhow::Result<ExitCode> {
        let outcome = reserve::run(&self.request(action, force)?)?;
        match self.output {
            Form::Json => json::write_line(&mut io::stdout(), &outcome)?,
            Form::Text => {
                let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
                terminal::write_reserved(&mut anstream::stdout(), &outcome, width)?;
            }
        }
        Ok(outcome.code())
    }
}

/// `P`, `P-Q`, or several with commas: one value for all of them, for clap takes minutes over the 32,768 of the longest list.
fn ports(text: &str) -> Result<PortList, String> {
    let mut list = PortList::default();
    for part in text.split(',') {
        let range = values::port_range(part)?;
        list.insert(*range.start(), *range.end());
    }
    Ok(list)
}

/// There is no list of all namespaces.
fn one(error: &Refused) -> Refused {
    Refused { code: error.code, message: error.message.replace("give all, self, or", "give self, or") }
}

/// Runs `reserve`.
///
/// # Errors
/// Wrong usage, no permission, or an answer that could not be written.
pub fn reserve(args: &ReserveArgs) -> anyhow::Result<ExitCode> {
    args.change.run(Action::Reserve, false)
}

/// Runs `unreserve`.
///
/// # Errors
/// Wrong usage, no permission, or an answer that could not be written.
pub fn unreserve(args: &UnreserveArgs) -> anyhow::Result<ExitCode> {
    args.change.run(Action::Unreserve, args.force)
}
