//! `portwatch completions`: what a shell needs to complete portwatch's arguments.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use crate::exit_code::ExitCode;

/// Print the completions for a shell
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: portwatch completions bash > /etc/bash_completion.d/portwatch")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
/// If the text could not be written.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    // Into memory first: the generator panics where a pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "portwatch", &mut script);
    io::stdout().write_all(&script)?;
    Ok(ExitCode::Done)
}
