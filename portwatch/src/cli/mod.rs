//! The command line: one file a subcommand. Wrong usage is answered with one line and exit code 2.

pub mod agent;
pub mod audit;
pub mod completions;
pub mod demo;
pub mod doctor;
pub mod filters;
mod form;
pub mod history;
pub mod live;
pub mod man;
mod printer;
mod prototypes;
pub mod replay;
pub mod reserve;
#[cfg(test)]
mod tests;
pub mod trace;
pub(crate) mod values;
mod when;
pub mod who;
pub mod why;

pub use printer::{Printer, announce};

use crate::demo::actor;
use crate::exit_code::{ExitCode, Refused};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write as _;

/// Names the process that holds the port when a bind() or listen() is refused
#[derive(Debug, Parser)]
#[command(name = "portwatch", version, max_term_width = 100, arg_required_else_help = true)]
#[command(infer_subcommands = false, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show refused bind() and listen() calls as they happen, and who has the port
    Trace(Box<trace::TraceArgs>),
    /// Watch all the time: keep a history, serve metrics, write to the journal
    Agent(agent::AgentArgs),
    /// Show what a recording of `trace --record` holds, as it was shown then
    Replay(Box<replay::ReplayArgs>),
    /// Show everybody who holds a port now: clients too, not only listeners
    Who(who::WhoArgs),
    /// Find ports that the next restart may lose to a client, and how likely that is
    Audit(audit::AuditArgs),
    /// Show refused calls of the past, and who had the port
    History(Box<history::HistoryArgs>),
    /// Tell the story of the last refused port: who had it, how they got it, and what to do
    Why(why::WhyArgs),
    /// Keep the kernel from giving ports to clients, now and, if wanted, at boot
    Reserve(reserve::ReserveArgs),
    /// Undo what reserve did, and nothing else
    Unreserve(reserve::UnreserveArgs),
    /// Stage a stolen port in a network namespace of its own, and name the thief
    Demo(demo::DemoArgs),
    /// Tell what this kernel and these capabilities allow, and which backend would run
    Doctor(doctor::DoctorArgs),
    /// Print the completions for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages into a folder
    Man(man::ManArgs),
    /// Play a part in the demo
    #[command(hide = true)]
    DemoActor(actor::ActorArgs),
}

/// What the arguments ask for.
#[derive(Debug)]
pub enum Asked {
    /// To run a command.
    Run(Box<Command>),
    /// To print this text (help, version) and be done.
    Print(clap::builder::StyledStr),
}

/// Reads the arguments.
///
/// # Errors
/// Wrong usage, as one clear line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, Refused> {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => Ok(Asked::Run(Box::new(cli.command))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp => Ok(Asked::Print(error.render())),
            ErrorKind::DisplayVersion => Ok(Asked::Print(version().into())),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Err(Refused::usage(
                "say what to do: `portwatch trace` shows refused calls as they happen; see --help",
            )),
            _ => Err(Refused::usage(one_line(&error))),
        },
    }
}

/// Version, and the hash of the built-in kernel-side object: compare it with `sha256sum` of the committed file. Made only where
/// it is asked for: to hash the object costs every other start more than to read its arguments.
fn version() -> String {
    let hash = crate::probe::object::built_in_hash();
    format!("portwatch {}\nkernel-side object sha256 {hash}\n", env!("CARGO_PKG_VERSION"))
}

/// Does what the arguments ask for.
///
/// # Errors
/// What went wrong; [`crate::exit_code::of_error`] knows the exit code for it.
pub fn run(asked: Asked) -> anyhow::Result<ExitCode> {
    match asked {
        Asked::Print(text) => {
            write!(anstream::stdout(), "{}", text.ansi())?;
            Ok(ExitCode::Done)
        }
        Asked::Run(command) => match *command {
            Command::Trace(args) => trace::run(*args),
            Command::Agent(args) => agent::run(&args),
            Command::Replay(args) => replay::run(*args),
            Command::Who(args) => who::run(&args),
            Command::Audit(args) => audit::run(&args),
            Command::History(args) => history::run(&args),
            Command::Why(args) => why::run(&args),
            Command::Reserve(args) => reserve::reserve(&args),
            Command::Unreserve(args) => reserve::unreserve(&args),
            Command::Demo(args) => demo::run(&args),
            Command::Doctor(args) => doctor::run(&args),
            Command::Completions(args) => completions::run(&args),
            Command::Man(args) => man::run(&args),
            Command::DemoActor(args) => Ok(actor::run(&args).map(|()| ExitCode::Done)?),
        },
    }
}

/// clap writes a small page; a person at a log wants the first paragraph of it.
fn one_line(error: &clap::Error) -> String {
    let page = error.render().to_string();
    let paragraph: Vec<_> = page.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = paragraph.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let tip = page.lines().map(str::trim).find_map(|line| line.strip_prefix("tip: "));
    let tip = tip.map_or_else(String::new, |tip| format!(" ({tip})"));
    format!("{}{}; see --help", crate::text::printable(line), crate::text::printable(&tip))
}
