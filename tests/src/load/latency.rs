//! `lineup load latency`: from the moment of a refusal to the moment at which its line can be read, in quiet and amid a
//! storm of other refusals. Each sample is a conflict that was not told before.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cast::Cast;
use super::median_and_p99;
use super::storm::{Storm, Weather};
use super::tracer::Tracer;
use crate::actor::Actor;
use crate::clock::parse_rfc3339;
use crate::product::Backend;
use crate::say;
use crate::wire::Command;
use crate::wire::Transport::Tcp4;

/// A refusal that is not told of in this time is missed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two samples: each meets a portwatch that has gone to sleep again.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The program to measure
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// Conflicts in quiet, and as many amid the storm
    #[arg(long, value_name = "N", default_value_t = 200)]
    samples: u32,
    #[command(flatten)]
    weather: Weather,
}

/// Measures both, and tells it.
pub(super) fn run(args: &Args) -> Result<bool> {
    let mut cast = Cast::new()?;
    let tracer = Tracer::start(&args.portwatch, &["--via", "kernel", "--backend", args.backend.name()])?;
    let mut victim = Actor::start(&cast.netns, OsStr::new("sampled"))?;
    let quiet = sample(args.samples, &mut cast, &mut victim, &tracer)?;
    tell(args, "idle", 0, quiet);
    // Longer than the samples take; it is ended with them.
    let storm = Storm::begin(&mut cast, &Weather { seconds: 600, ..args.weather })?;
    let amid = sample(args.samples, &mut cast, &mut victim, &tracer);
    storm.end()?;
    let summary = tracer.stop()?.summary;
    tell(args, "storm", args.weather.rate, amid.context(summary)?);
    Ok(true)
}

fn sample(count: u32, cast: &mut Cast, victim: &mut Actor, tracer: &Tracer) -> Result<Vec<i64>> {
    let mut samples = Vec::new();
    for _ in 0..count {
        let port = cast.steal()?;
        let socket = victim.open(Tcp4, &[])?;
        sleep(PAUSE);
        let refused = victim.ask(&Command::Bind(socket, Tcp4.wildcard(port)))?;
        ensure!(refused.reply.errno == libc::EADDRINUSE, "the bind of port {port} was not refused");
        victim.must(&Command::Close(socket))?;
        let (read, report) = tracer.wait_for(port, PATIENCE)?;
        let time = report["time"].as_str().and_then(parse_rfc3339).context("a report without a time")?;
        // The clock may have been set meanwhile, which is not portwatch's doing.
        samples.push((read.0 - time.0).max(0) / 1_000);
    }
    Ok(samples)
}

fn tell(args: &Args, load: &str, rate: u32, mut micros: Vec<i64>) {
    let samples = micros.len();
    let (median, p99) = median_and_p99(&mut micros);
    let (backend, most) = (args.backend.name(), micros.last().copied().unwrap_or_default());
    say::line(format_args!(
        "BENCH what=latency backend={backend} load={load} rate={rate} samples={samples} median_us={median} p99_us={p99} \
         most_us={most}"
    ));
}
