//! `portwatch man`: the manual pages, made from the same definitions as the parser and the help.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};

use super::Cli;
use crate::exit_code::ExitCode;

/// Write the manual pages into a folder
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example: portwatch man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The folder; it must exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If a page could not be written.
pub fn run(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write the manual pages into {}", folder.display()))?;
    Ok(ExitCode::Done)
}
