//! An agent with a table that is full of a million records: its memory, the kernel's, and how soon a conflict is named.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{RANGE, ROOM};
use crate::actor::Actor;
use crate::agent::{Daemon, Folder, Setup};
use crate::clock::parse_rfc3339;
use crate::load::bpf::Table;
use crate::load::cost::resident_kib;
use crate::load::median_and_p99;
use crate::load::records::Records;
use crate::load::sockets::Crowd;
use crate::load::tracer::Tracer;
use crate::netns::Netns;
use crate::product::Backend;
use crate::say;
use crate::wire::Command;
use crate::wire::Transport::Tcp4;

/// How long the numbers of a large table may take: it is walked four times a minute at most.
const PATIENCE: Duration = Duration::from_secs(400);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TableArgs {
    /// The program to judge
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// Records that are put into the table
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    records: u64,
    /// Real sockets beside them
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    sockets: u32,
    /// Conflicts with some of these
    #[arg(long, value_name = "N", default_value_t = 50)]
    samples: u32,
}

/// Fills it, waits until the agent has counted it, and measures.
pub(crate) fn table(args: &TableArgs) -> Result<bool> {
    tell_formula(&args.portwatch, args.backend)?;
    let netns = Netns::new(RANGE)?;
    let folder = Folder::new("scale")?;
    let size = args.records + ROOM + u64::from(args.sockets);
    folder.configure(&format!("backend = '{}'\ntable_size = {size}\n", args.backend.name()))?;
    let agent = Daemon::start(&args.portwatch, &folder, &netns, &Setup::default())?;
    let empty = resident_kib(agent.pid())?;
    let ports = Records::of(agent.pid())?;
    ports.fill(args.records)?;
    let crowd = Crowd::gather(&netns, args.sockets)?;
    let least = args.records + u64::from(args.sockets);
    let begin = Instant::now();
    let counted =
        agent.until(PATIENCE, || Ok(entries(&agent.get("/metrics")?).filter(|count| *count >= least)))?;
    let waited = begin.elapsed().as_secs();
    let counted = counted.with_context(|| format!("{least} entries were not counted in {waited} s"))?;
    let full = resident_kib(agent.pid())?;
    let tail =
        Tracer::start(&args.portwatch, &["--via", "agent", "--socket", &folder.socket().to_string_lossy()])?;
    let mut micros = conflicts(args, &netns, &crowd, &tail)?;
    tail.stop()?;
    let after = resident_kib(agent.pid())?;
    agent.stop()?;
    let (median, p99) = median_and_p99(&mut micros);
    say::line(format_args!(
        "BENCH what=table backend={} records={} sockets={} counted={counted} empty_kib={empty} full_kib={full} \
         after_kib={after} size={size} capacity={} memory={} median_us={median} p99_us={p99} samples={}",
        args.backend.name(),
        args.records,
        args.sockets,
        ports.capacity(),
        ports.memory(),
        micros.len()
    ));
    Ok(true)
}

/// `portwatch_table_entries{table="ports"} 5`
fn entries(metrics: &str) -> Option<u64> {
    let line =
        metrics.lines().find_map(|line| line.strip_prefix("portwatch_table_entries{table=\"ports\"} "))?;
    line.parse::<f64>().ok().map(|value| value as u64)
}

/// Refusals because of sockets of the crowd: microseconds until each could be read, with the right process in it.
fn conflicts(args: &TableArgs, netns: &Netns, crowd: &Crowd, tail: &Tracer) -> Result<Vec<i64>> {
    let mut victim = Actor::start(netns, OsStr::new("victim"))?;
    let mut micros = Vec::new();
    for sample in 0..args.samples {
        // Spread over all processes, and over the descriptors of each.
        let number = sample * (args.sockets / args.samples.max(1)) + sample % 7;
        let wanted = crowd.address(number);
        let socket = victim.open(Tcp4, &[])?;
        let refused = victim.ask(&Command::Bind(socket, wanted))?;
        ensure!(refused.reply.errno == libc::EADDRINUSE, "the bind to {wanted} was not refused");
        victim.must(&Command::Close(socket))?;
        let (read, report) = tail.wait_for(wanted.port(), PATIENCE)?;
        let time = report["time"].as_str().and_then(parse_rfc3339).context("a report without a time")?;
        let named = report["holders"][0]["process"]["pid"].as_u64();
        let owner = crowd.owner(number).map(u64::from);
        ensure!(named == owner, "{wanted} is {owner:?}'s, and {named:?} was named");
        micros.push((read.0 - time.0).max(0) / 1_000);
    }
    Ok(micros)
}

/// What `doctor` says that its tables take, beside what the kernel says of tables of the same size.
fn tell_formula(program: &Path, backend: Backend) -> Result<()> {
    let tracer = Tracer::start(program, &["--via", "kernel", "--backend", backend.name()])?;
    // Some have a hash beside their buckets, which doctor tells as one.
    let names = [
        ("PORTS", Some("PORTS_SPILL")),
        ("DATAGRAMS", None),
        ("LAST", Some("LAST_SPILL")),
        ("PROCESS", None),
    ];
    let kernel = |name| Table::of(tracer.pid(), name).map(|table| table.memory);
    let memory = |(name, spill): (_, Option<_>)| Ok((name, kernel(name)? + spill.map_or(Ok(0), kernel)?));
    let tables: Vec<Result<(&str, u64)>> = names.into_iter().map(memory).collect();
    tracer.stop()?;
    let output = Program::new(program).args(["doctor", "-o", "json"]).output().context("starting doctor")?;
    let diagnosis: Value = serde_json::from_slice(&output.stdout).context("doctor's answer is not JSON")?;
    let trials = diagnosis["backends"].as_array().context("doctor names no backends")?;
    let trial = trials.iter().find(|trial| trial["backend"] == backend.name()).context("no such backend")?;
    for table in tables {
        let (name, kernel): (&str, u64) = table?;
        let rows = trial["tables"].as_array().context("doctor names no tables")?;
        let row =
            rows.iter().find(|row| row["name"] == name).with_context(|| format!("nothing of {name}"))?;
        let said = row["memory"].as_u64().context("no memory")?;
        let capacity = row["capacity"].as_u64().context("no capacity")?;
        say::line(format_args!(
            "BENCH what=formula backend={} table={name} capacity={capacity} doctor={said} kernel={kernel}",
            backend.name(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metric_is_found() {
        let metrics = "# x\nportwatch_table_entries{table=\"LAST\"} 2\nportwatch_table_entries{table=\"ports\"} 1000012\n";
        assert_eq!(entries(metrics), Some(1_000_012));
        assert_eq!(entries("nothing"), None);
    }
}
