//! `lineup load storm`: thousands of refusals a second under a real agent with history, metrics and a live tail. Every
//! one that the victims counted must be counted by each of those, or by what tells of losses.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::cast::Cast;
use super::cost::{processor_time, resident_kib};
use super::tracer::Tracer;
use super::victims::service;
use crate::agent::{Daemon, Folder, Setup, ask, reports};
use crate::cgroup::{self, Cgroup};
use crate::product::Backend;
use crate::say;

/// How long the last counts may take.
const PATIENCE: Duration = Duration::from_secs(60);
const REFUSALS: &str = "portwatch_refusals_total{";
const LOST: &str = "portwatch_events_lost_total{";
/// What has grown to its size by then must not grow any more.
const EARLY: u64 = 6;

/// How hard it blows.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Refusals a second
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) rate: u32,
    /// How long
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub(super) seconds: u64,
    /// Services in restart loops, each after a port of its own
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub(super) victims: u32,
    /// Refusals of a process before the next one takes its place
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) life: u32,
    /// Victims that are nobody's service: in no cgroup of their own
    #[arg(long)]
    pub(super) alone: bool,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The program to judge
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    #[command(flatten)]
    weather: Weather,
}

/// The victims, at work.
pub(super) struct Storm {
    victims: Child,
    /// Of each of them; gone when they are.
    _services: Vec<Cgroup>,
}

/// Their parent.
const CGROUP: &str = "lineup-load";

impl Storm {
    pub(super) fn begin(cast: &mut Cast, weather: &Weather) -> Result<Self> {
        let ports = (0..weather.victims).map(|_| cast.steal()).collect::<Result<Vec<_>>>()?;
        let mut command = Command::new("/proc/self/exe");
        command.args(["load", "victims", "--netns"]).arg(cast.netns.path());
        let services = if weather.alone || !cgroup::is_writable() { 0..0 } else { 0..ports.len() };
        let services = services.map(|number| Cgroup::new(&service(CGROUP, number)));
        let services = services.collect::<Result<Vec<_>>>()?;
        if !services.is_empty() {
            command.args(["--cgroup", CGROUP]);
        }
        let numbers = [
            ("--rate", weather.rate.into()),
            ("--seconds", weather.seconds),
            ("--life", weather.life.into()),
        ];
        let ports = ports.into_iter().map(|port| ("--port", port.into()));
        for (flag, value) in numbers.into_iter().chain(ports) {
            command.arg(flag).arg(value.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self { victims: command.spawn().context("starting the victims")?, _services: services })
    }

    /// Refusals, and the time that they took.
    fn count(mut self) -> Result<(u64, Duration)> {
        let mut said = String::new();
        self.victims.stdout.take().context("the victims have no output")?.read_to_string(&mut said)?;
        let status = self.victims.wait()?;
        ensure!(status.success(), "the victims ended with {status}: {said}");
        parse(&said).with_context(|| format!("the victims said {said:?}"))
    }

    /// Before its time.
    pub(super) fn end(mut self) -> Result<()> {
        if let Some(status) = self.victims.try_wait()? {
            bail!("the storm was over too soon ({status})");
        }
        Ok(())
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // Both fail only when it is over. The victims end with whom they belong to.
        let _ = self.victims.kill();
        let _ = self.victims.wait();
    }
}

/// `refused 600000 in 60012 ms`
fn parse(said: &str) -> Option<(u64, Duration)> {
    let (refused, time) = said.trim().strip_prefix("refused ")?.split_once(" in ")?;
    let millis = time.strip_suffix(" ms")?.parse().ok()?;
    Some((refused.parse().ok()?, Duration::from_millis(millis)))
}

/// What was seen of an agent in a storm.
struct Seen {
    refused: u64,
    time: Duration,
    metrics: String,
    kib: (u64, u64),
    /// Processor time while the storm lasted.
    processor: Duration,
    tellings: usize,
    summary: String,
    /// Refusals of each conflict of the storm in the history.
    kept: Vec<u64>,
    /// The same of what else happened on this host meanwhile.
    others: u64,
}

/// Plays it, tells the numbers, and whether every refusal was accounted for.
pub(super) fn run(args: &Args) -> Result<bool> {
    let seen = play(args)?;
    let counted = sum(&seen.metrics, REFUSALS).saturating_sub(seen.others);
    let lost = sum(&seen.metrics, LOST);
    let kept: u64 = seen.kept.iter().sum();
    let Seen { refused, time, kib: (early, late), processor, tellings, .. } = &seen;
    say::line(format_args!(
        "BENCH what=storm backend={} seconds={:.1} rate={:.0} refused={refused} counted={counted} kept={kept} lost={lost} \
         conflicts={} tellings={tellings} early_kib={early} late_kib={late} cpu={:.3}",
        args.backend.name(),
        time.as_secs_f64(),
        *refused as f64 / time.as_secs_f64(),
        seen.kept.len(),
        processor.as_secs_f64() / time.as_secs_f64()
    ));
    for line in seen.metrics.lines().filter(|line| line.starts_with(LOST) && !line.ends_with(" 0")) {
        say::line(format_args!("{line}"));
    }
    let verdict = || {
        ensure!(counted == *refused, "{refused} were refused, the metrics counted {counted}, {lost} lost");
        ensure!(kept == *refused, "{refused} were refused, the history has {kept}");
        let said = format!("{refused} refused calls");
        ensure!(
            seen.summary.contains(&said),
            "{refused} were refused, and in the end it said: {}",
            seen.summary
        );
        Ok(format!("{refused} refusals, each counted once by metrics and history"))
    };
    Ok(crate::checks::tell([("storm", ())], |()| verdict()))
}

fn play(args: &Args) -> Result<Seen> {
    let mut cast = Cast::new()?;
    let folder = Folder::new("storm")?;
    folder.configure(&format!("backend = '{}'\n", args.backend.name()))?;
    let agent = Daemon::start(&args.portwatch, &folder, &cast.netns, &Setup::default())?;
    let socket = folder.socket();
    let tail = Tracer::start(&args.portwatch, &["--via", "agent", "--socket", &socket.to_string_lossy()])?;
    // From here on, so that the start is not in it.
    let busy = processor_time(agent.pid())?;
    let storm = Storm::begin(&mut cast, &args.weather)?;
    sleep(Duration::from_secs(args.weather.seconds) / u32::try_from(EARLY)?);
    let early = resident_kib(agent.pid())?;
    let (refused, time) = storm.count()?;
    let (late, processor) = (resident_kib(agent.pid())?, processor_time(agent.pid())? - busy);
    let metrics = settled(&agent, refused)?;
    let tellings = tail.stop().context("the tail")?.lines;
    let summary = agent.stop()?;
    let (own, others) = kept(&args.portwatch, &folder, cast.netns.inode)?;
    let (kept, others) = (own, others.iter().sum());
    Ok(Seen { refused, time, metrics, kib: (early, late), processor, tellings, summary, kept, others })
}

/// The metrics, as soon as every refusal is accounted for; or what they are when the time is up.
fn settled(agent: &Daemon, refused: u64) -> Result<String> {
    let mut last = String::new();
    agent.until(PATIENCE, || {
        last = agent.get("/metrics")?;
        Ok((sum(&last, REFUSALS) >= refused).then_some(()))
    })?;
    Ok(last)
}

/// The counts of all conflicts in the history: those of this namespace, and the others.
fn kept(program: &Path, folder: &Folder, netns: u64) -> Result<(Vec<u64>, Vec<u64>)> {
    let kept = reports(&ask(program, folder, &["history", "-o", "json", "--limit", "100000"])?)?;
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for report in &kept {
        let side = if report["netns"] == netns { &mut own } else { &mut others };
        side.push(report["count"].as_u64().context("a conflict without a count")?);
    }
    Ok((own, others))
}

/// All samples of a metric.
fn sum(metrics: &str, name: &str) -> u64 {
    let values =
        metrics.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
    values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum::<f64>() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_victims_words_are_understood() {
        assert_eq!(parse("refused 600 in 6001 ms\n"), Some((600, Duration::from_millis(6_001))));
        assert_eq!(parse("refused many"), None);
    }

    #[test]
    fn all_samples_of_a_metric_are_added() {
        let metrics = "a_total{x=\"1\"} 3\na_total{x=\"2\"} 4\nb_total{x=\"1\"} 5\n";
        assert_eq!((sum(metrics, "a_total{"), sum(metrics, "c_total{")), (7, 0));
    }
}
