//! `lineup load live`: connections a second, and the processor time that each takes, with portwatch and without, in pairs:
//! what else this machine does then falls on both alike.

use std::fs;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::cost::processor_time;
use super::tracer::Tracer;
use crate::netns::{self, Netns, Range};
use crate::product::Backend;
use crate::say;

const RANGE: Range = Range { low: 2_048, high: 65_535 };
/// The server of the first client; below the range.
const SERVER_PORT: u16 = 1_000;
/// Addresses that a client's server has: the ports towards one of them would soon be in TIME_WAIT, all of them.
const ADDRESSES: u32 = 200;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The program to measure
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force
    #[arg(long, value_name = "NAME")]
    backend: Backend,
    /// Processes that connect, each to a server of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    clients: u16,
    /// Pairs of runs
    #[arg(long, value_name = "N", default_value_t = 9)]
    pairs: u32,
    /// Length of a run
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    millis: u64,
}

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// The network namespace
    #[arg(long, value_name = "PATH")]
    netns: PathBuf,
    /// Which of them
    #[arg(long, value_name = "N")]
    number: u16,
    /// How long
    #[arg(long, value_name = "MS")]
    millis: u64,
}

/// Connects until the time is over, and says how often.
pub(super) fn connect(args: &ClientArgs) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the lineup")?;
    netns::enter_path(&args.netns)?;
    let port = SERVER_PORT + args.number;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).context("listening")?;
    let (begin, length) = (Instant::now(), Duration::from_millis(args.millis));
    let mut count = 0_u32;
    while begin.elapsed() < length {
        let to = Ipv4Addr::new(127, 0, 1, 1 + (count % ADDRESSES) as u8);
        let client = TcpStream::connect((to, port)).context("connecting")?;
        let (server, _) = listener.accept().context("accepting")?;
        drop(client);
        drop(server);
        count += 1;
    }
    println!("{count} in {}", begin.elapsed().as_micros());
    Ok(())
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// Connections a second, of all clients.
    rate: f64,
    /// Processor time a connection, of clients, servers and portwatch, in microseconds.
    micros: f64,
}

/// Without and with, again and again.
pub(super) fn run(args: &Args) -> Result<bool> {
    let mut namespaces = Vec::new();
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    let mut sums = [Run::default(); 2];
    // The first pair warms up.
    for pair in 0..=args.pairs {
        let runs = [false, true].map(|is_watched| once(args, is_watched, &mut namespaces));
        let [without, with] = runs;
        let (without, with) = (without?, with?);
        if pair == 0 {
            continue;
        }
        rates.push(with.rate / without.rate);
        costs.push(with.micros / without.micros);
        for (sum, run) in sums.iter_mut().zip([without, with]) {
            *sum = Run { rate: sum.rate + run.rate, micros: sum.micros + run.micros };
        }
    }
    let mean = |sum: f64| sum / f64::from(args.pairs);
    say::line(format_args!(
        "BENCH what=live backend={} clients={} pairs={} without_rate={:.0} with_rate={:.0} rate_ratio={:.3} \
         without_us={:.2} with_us={:.2} cpu_ratio={:.3}",
        args.backend.name(),
        args.clients,
        args.pairs,
        mean(sums[0].rate),
        mean(sums[1].rate),
        median(&mut rates),
        mean(sums[0].micros),
        mean(sums[1].micros),
        median(&mut costs)
    ));
    Ok(true)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Namespaces are kept: taking one down with all that is in TIME_WAIT would fall into the next run.
fn once(args: &Args, is_watched: bool, namespaces: &mut Vec<Netns>) -> Result<Run> {
    let netns = Netns::new(RANGE)?;
    netns.within(|| {
        // Else the kernel begins to drop what is in TIME_WAIT.
        fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "2000000").context("room for TIME_WAIT")
    })?;
    let words = ["--via", "kernel", "--backend", args.backend.name(), "--table-size", "2000000"];
    let tracer = if is_watched { Some(Tracer::start(&args.portwatch, &words)?) } else { None };
    let of_tracer = || tracer.as_ref().map_or(Ok(Duration::ZERO), |tracer| processor_time(tracer.pid()));
    let before = (children()?, of_tracer()?);
    let clients = (0..args.clients)
        .map(|number| client(&netns.path(), number, args.millis))
        .collect::<Result<Vec<_>>>()?;
    let counts = clients.into_iter().map(count).collect::<Result<Vec<_>>>()?;
    let busy = (children()? - before.0) + (of_tracer()? - before.1);
    if let Some(tracer) = tracer {
        tracer.stop()?;
    }
    namespaces.push(netns);
    let connections: u64 = counts.iter().map(|(count, _)| count).sum();
    let rate = counts.iter().map(|(count, micros)| *count as f64 / *micros as f64).sum::<f64>() * 1e6;
    Ok(Run { rate, micros: busy.as_secs_f64() * 1e6 / connections as f64 })
}

fn client(netns: &Path, number: u16, millis: u64) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.args(["load", "client", "--netns"]).arg(netns);
    command.args(["--number", &number.to_string(), "--millis", &millis.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting a client")
}

/// Connections, and the microseconds that they took.
fn count(mut client: Child) -> Result<(u64, u64)> {
    let mut said = String::new();
    client.stdout.take().context("a client without a pipe")?.read_to_string(&mut said)?;
    let status = client.wait()?;
    ensure!(status.success(), "a client ended with {status}");
    let (count, micros) = said.trim().split_once(" in ").context("a client says something else")?;
    Ok((count.parse()?, micros.parse()?))
}

/// Processor time of children that were waited for.
fn children() -> Result<Duration> {
    // SAFETY: rusage is plain data for which all zeroes is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: getrusage() writes one rusage, and `usage` is one.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    ensure!(result == 0, "getrusage: {}", std::io::Error::last_os_error());
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.cast_unsigned()) + Duration::from_micros(time.tv_usec.cast_unsigned())
    };
    Ok(time(usage.ru_utime) + time(usage.ru_stime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_one() {
        assert!((median(&mut [3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(&mut []).abs() < f64::EPSILON);
    }
}
