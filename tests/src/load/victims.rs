//! `lineup load victims`: services in restart loops, each after one port that somebody else has, at a rate that is kept.
//!
//! A victim is a process that forks one life after the other; a life asks for its port some times and ends with the number
//! of refusals. One thread a process, so that a child finds no lock taken.

use std::ffi::CString;
use std::io::{PipeWriter, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::bind;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::actor_main::open;
use crate::wire::Transport::Tcp4;
use crate::{cgroup, netns};

/// A life that met anything else than refusals.
const WRONG: i32 = 255;
/// Refusals of a life at most: they are told as its exit code.
const LIFE_MOST: i64 = 200;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The network namespace
    #[arg(long, value_name = "PATH")]
    netns: PathBuf,
    /// A cgroup with one for each victim below it, called as [`service`] says
    #[arg(long, value_name = "NAME")]
    cgroup: Option<String>,
    /// A port that somebody has: one victim a port
    #[arg(long, required = true, value_name = "N")]
    port: Vec<u16>,
    /// Refusals a second, of all victims together; fewer if the machine is too slow
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long
    #[arg(long, value_name = "S")]
    seconds: u64,
    /// Refusals of a process before the next one takes its place
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=LIFE_MOST))]
    life: u32,
}

/// The cgroup of a victim, as the service manager would call it.
pub(super) fn service(parent: &str, number: usize) -> String {
    format!("{parent}/victim-{number}.service")
}

/// Is refused until the time is over; prints how often.
pub(crate) fn run(args: &Args) -> Result<()> {
    netns::enter_path(&args.netns)?;
    let (mut told, tell) = std::io::pipe()?;
    let begin = Instant::now();
    for (number, port) in args.port.iter().enumerate() {
        let pace = Pace::new(args, begin, number);
        if fork()? == 0 {
            let code = i32::from(restart(args, number, *port, pace, tell.try_clone()).is_err());
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) }
        }
    }
    drop(tell);
    let mut counts = String::new();
    told.read_to_string(&mut counts)?;
    let counts = counts.lines().map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
    ensure!(counts.len() == args.port.len(), "{} of {} victims came home", counts.len(), args.port.len());
    let lives = begin.elapsed();
    println!("refused {} in {} ms", counts.iter().sum::<u64>(), lives.as_millis());
    Ok(())
}

/// When a victim asks for its port.
#[derive(Clone, Copy)]
struct Pace {
    first: Instant,
    every: Duration,
    end: Instant,
}

impl Pace {
    fn new(args: &Args, begin: Instant, number: usize) -> Self {
        let all = Duration::from_secs(1) / args.rate;
        let every = all * u32::try_from(args.port.len()).unwrap_or(u32::MAX);
        let first = begin + all * u32::try_from(number).unwrap_or(0);
        Self { first, every, end: begin + Duration::from_secs(args.seconds) }
    }

    /// Waits for a turn; `false` when there are no more. Who is late does not wait.
    fn wait(self, turn: u32) -> bool {
        let due = self.first + self.every * turn;
        let now = Instant::now();
        if due >= self.end || now >= self.end {
            return false;
        }
        std::thread::sleep(due.saturating_duration_since(now));
        true
    }
}

/// One victim: a life after the other.
fn restart(
    args: &Args,
    number: usize,
    port: u16,
    pace: Pace,
    tell: std::io::Result<PipeWriter>,
) -> Result<()> {
    end_with_parent()?;
    if let Some(parent) = &args.cgroup {
        let folder = cgroup::folder(&service(parent, number)).context("no cgroup2 file system is mounted")?;
        std::fs::write(folder.join("cgroup.procs"), "0").context("entering a cgroup")?;
    }
    let life = args.life;
    rustix::thread::set_name(&CString::new(format!("victim-{number}"))?)?;
    let (mut turn, mut refused) = (0, 0);
    loop {
        let ended = live(port, life, pace, turn)?;
        refused += u64::from(ended);
        turn += ended;
        if ended < life {
            break;
        }
    }
    // In one piece: the others write into the same pipe.
    tell?.write_all(format!("{refused}\n").as_bytes()).context("telling")
}

/// One life, seen from outside; how often it was refused.
fn live(port: u16, life: u32, pace: Pace, turn: u32) -> Result<u32> {
    let pid = fork()?;
    if pid == 0 {
        let code = ask(port, life, pace, turn).map_or_else(
            |error| {
                eprintln!("lineup: a victim of port {port}: {error:#}");
                WRONG
            },
            u32::cast_signed,
        );
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(code) }
    }
    let mut status = 0;
    // SAFETY: waitpid() writes one number.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    ensure!(waited == pid, "waiting for a life: {}", std::io::Error::last_os_error());
    if !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) == WRONG {
        bail!("a life ended with {status:#x}");
    }
    Ok(libc::WEXITSTATUS(status).cast_unsigned())
}

/// The same from inside.
fn ask(port: u16, life: u32, pace: Pace, turn: u32) -> Result<u32> {
    end_with_parent()?;
    let mut refused = 0;
    while refused < life && pace.wait(turn + refused) {
        let bound = open(Tcp4).and_then(|socket| bind(&socket, &Tcp4.wildcard(port)));
        ensure!(bound == Err(Errno::ADDRINUSE), "bind() was answered with {bound:?}");
        refused += 1;
    }
    Ok(refused)
}

fn end_with_parent() -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the parent")
}

fn fork() -> Result<i32> {
    // SAFETY: this process has one thread.
    let pid = unsafe { libc::fork() };
    ensure!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    Ok(pid)
}
