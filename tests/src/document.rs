//! `lineup document`: types the commands of a page as its reader would, and compares what they print with what the page
//! says they print.
//!
//! Readers see ordinary fences; the words after the language, which no viewer shows, say what is to be done:
//!
//! - ```` ```sh ````: commands, run as root by `sh`, at most a minute, in an empty folder. `portwatch` is the program under
//!   test. They must succeed, and leave no process, file, network namespace, control group or changed setting behind.
//! - ```` ```sh needs: COMMAND ````: the same, if the command succeeds here; otherwise a skip, counted, with the reason.
//! - ```` ```sh not run: REASON ````: never run, as it changes the host for good.
//! - ```` ```text ````: what the block before it prints, stdout and stderr in one.
//! - ```` ```text trace --comm NAME ````: what `portwatch trace -o wide`, in a second terminal, says of the block before it.
//!   The filter, which may be another or none, keeps out what else happens on the host.
//!
//! In both `…` stands for anything within a line, a line of only `…` for any lines, and runs of spaces count as one. Any
//! other fence is an error.

mod host;
mod page;
mod pattern;
mod shell;
mod terminal;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::say;
use host::Host;
use page::{Block, Order};
use shell::Shell;
use terminal::Terminal;

/// Runs every block of the page, or those below headings with these words; whether all is as it says.
pub(crate) fn run(program: &Path, file: &Path, only: &[String], limit: u64) -> Result<bool> {
    let page = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let blocks = page::blocks(&page).with_context(|| file.display().to_string())?;
    let shell = Shell::new(program, Duration::from_secs(limit))?;
    let (mut good, mut failed) = (0, 0);
    let wanted = |block: &&Block| only.is_empty() || only.iter().any(|words| block.heading.contains(words));
    for block in blocks.iter().filter(wanted) {
        let name = format!("document-line-{} {}", block.line, block.heading);
        match play(&shell, block) {
            Ok(Played::Good) => {
                good += 1;
                say::line(format_args!("ok {name}"));
            }
            Ok(Played::Skipped(reason)) => say::line(format_args!("SKIP {name}: {reason}")),
            Ok(Played::Left(reason)) => say::line(format_args!("left {name}: {reason}")),
            Err(error) => {
                failed += 1;
                say::line(format_args!("FAIL {name}: {error:#}"));
            }
        }
    }
    ensure!(good + failed > 0, "no block could be run, so nothing was checked");
    Ok(failed == 0)
}

/// What became of a block.
enum Played {
    Good,
    /// This host lacks something.
    Skipped(String),
    /// It is for readers only, on every host.
    Left(String),
}

fn play(shell: &Shell, block: &Block) -> Result<Played> {
    match &block.order {
        Order::Leave(reason) => return Ok(Played::Left(reason.clone())),
        Order::RunIf(command) if !shell.run(command, &[]).context(command.clone())?.status.success() => {
            return Ok(Played::Skipped(format!("this host has not what it needs: {command}")));
        }
        Order::RunIf(_) | Order::Run => {}
    }
    check(shell, block).map(|()| Played::Good)
}

fn check(shell: &Shell, block: &Block) -> Result<()> {
    let before = Host::now();
    let second = block.trace.as_ref().map(|trace| Terminal::open(shell, &trace.filter)).transpose()?;
    let others: Vec<u32> = second.iter().map(Terminal::pid).collect();
    let ran = shell.run(&block.script, &others)?;
    let reports = second.map(Terminal::close).transpose()?.unwrap_or_default();
    if !ran.status.success() {
        bail!("it ended with {}; it printed:\n{}", ran.status, ran.output);
    }
    let changed = Host::now().changed_since(&before, &block.script);
    ensure!(changed.is_empty(), "it changed the host: {}", changed.join(", "));
    compare("the page's output differs", block.output.as_deref(), &ran.output)?;
    let trace = block.trace.as_ref().map(|trace| trace.output.as_str());
    compare("portwatch trace says otherwise", trace, &as_told_at_once(&reports, trace.unwrap_or_default()))
}

/// A holder that the page shows alive may have ended before portwatch looked, on a host that is busy.
fn as_told_at_once(reports: &str, page: &str) -> String {
    const EXITED: &str = "(exited) ";
    if page.contains(EXITED) { reports.to_owned() } else { reports.replace(EXITED, "") }
}

fn compare(what: &str, expected: Option<&str>, text: &str) -> Result<()> {
    match expected.and_then(|expected| pattern::differs(expected, text)) {
        Some(difference) => bail!("{what}:\n{difference}\nall of it:\n{text}"),
        None => Ok(()),
    }
}
