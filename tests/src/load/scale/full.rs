//! A table that is too small: what does not fit is counted exactly, and its holders are found in another way.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::RANGE;
use crate::actor::Actor;
use crate::load::records::Records;
use crate::load::sockets::Crowd;
use crate::load::tracer::Tracer;
use crate::netns::Netns;
use crate::product::Backend;
use crate::say;
use crate::wire::Command;
use crate::wire::Transport::Tcp4;

/// The smallest table that can be asked for.
const SIZE: u32 = 1_024;
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct FullArgs {
    /// The program to judge
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// Sockets, more than there is room for
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    sockets: u32,
    /// Tries: others on this host bind ports too, and nobody can tell their sockets from these when they do not fit
    #[arg(long, value_name = "N", default_value_t = 1)]
    tries: u32,
}

/// Whether the count of what did not fit is exact, and the last of it is still named.
pub(crate) fn full(args: &FullArgs) -> Result<bool> {
    let mut outcome = play(args);
    for _ in 1..args.tries {
        if outcome.is_err() {
            outcome = play(args);
        }
    }
    Ok(crate::checks::tell([("full-table", outcome)], |outcome| outcome))
}

fn play(args: &FullArgs) -> Result<String> {
    let netns = Netns::new(RANGE)?;
    let size = SIZE.to_string();
    let words = ["--via", "kernel", "--backend", args.backend.name(), "--table-size", &size];
    let tracer = Tracer::start(&args.portwatch, &words)?;
    let ports = Records::of(tracer.pid())?;
    let before = ports.count()?;
    let crowd = Crowd::gather(&netns, args.sockets)?;
    let full = ports.count()?;
    let report = conflict(&netns, &crowd, args.sockets - 1, &tracer)?;
    let after = ports.count()?;
    ensure!(
        full >= u64::from(SIZE) && after == full,
        "{before} entries, then {full}, then {after}, where {SIZE} are promised"
    );
    let last = args.sockets - 1;
    let holder = &report["holders"][0];
    let (named, owner) = (holder["process"]["pid"].as_u64(), crowd.owner(last).map(u64::from));
    ensure!(named == owner, "{owner:?} has the last socket, and {named:?} was named");
    ensure!(holder["evidence"] == "socket-dump", "evidence is {}", holder["evidence"]);
    let summary = tracer.stop()?.summary;
    let expected = before + u64::from(args.sockets) - full;
    let counted = lost(&summary, "ports full");
    say::line(format_args!(
        "BENCH what=full backend={} capacity={SIZE} sockets={} expected={expected} counted={counted} evidence={}",
        args.backend.name(),
        args.sockets,
        holder["evidence"].as_str().unwrap_or_default()
    ));
    ensure!(counted == expected, "{expected} did not fit, and it counted {counted}: {summary}");
    Ok(format!(
        "{expected} of {} did not fit and are counted; the last is named by socket-dump",
        args.sockets
    ))
}

/// A refusal because of one of the crowd's sockets.
fn conflict(netns: &Netns, crowd: &Crowd, number: u32, tracer: &Tracer) -> Result<Value> {
    let mut victim = Actor::start(netns, OsStr::new("victim"))?;
    let wanted = crowd.address(number);
    let socket = victim.open(Tcp4, &[])?;
    let refused = victim.ask(&Command::Bind(socket, wanted))?;
    ensure!(refused.reply.errno == libc::EADDRINUSE, "the bind to {wanted} was not refused");
    tracer.wait_for(wanted.port(), PATIENCE).map(|(_, report)| report).context("the last socket")
}

/// `…; lost: 12 ports full, 3 channel full`
fn lost(summary: &str, stage: &str) -> u64 {
    let list = summary.split_once("; lost: ").map_or("", |(_, list)| list);
    let mut entries = list.split(", ").filter_map(|entry| entry.split_once(' '));
    entries.find(|(_, name)| *name == stage).and_then(|(count, _)| count.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read() {
        let summary =
            "portwatch: 1 conflict, 1 refused call: 1 listener; lost: 3 channel full, 3976 ports full";
        assert_eq!((lost(summary, "ports full"), lost(summary, "walks cut")), (3_976, 0));
        assert_eq!(lost("nothing lost", "ports full"), 0);
    }
}
