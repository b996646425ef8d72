//! What is measured: ways to take a port and give it back, and to be refused one.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::time::ClockId;

use super::client::Client;
use super::measure::{Effort, measure};
use super::round::{Round, Taken};

/// Below the range, so that no client is ever given it.
const SERVER_PORT: u16 = 1_000;

/// Where somebody hears of it, a refusal wakes a process, now and then: so much longer is the round.
const WAKING: u32 = 4;
/// A report waits for more of its kind for a second at most.
const REPORTED: Duration = Duration::from_secs(3);

/// Rounds before anything is measured.
const WARM_UP: usize = 3;

/// Something that asks for a port.
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// So many times the usual length of a round keep its rounds as near to one another as those of the others.
    pub(super) lengths: u32,
    /// Does it as long as the round is; returns what that took.
    pub(super) repeat: fn(Round) -> Result<Taken>,
}

impl Operation {
    /// Does it until the kernel has the memory that it takes.
    pub(super) fn warm_up(&self, effort: Effort) -> Result<()> {
        measure(self, None, Effort { rounds: WARM_UP, ..effort }).map(drop)
    }
}

const fn operation(name: &'static str, repeat: fn(Round) -> Result<Taken>) -> Operation {
    Operation { name, lengths: 1, repeat }
}

/// All of them.
pub(super) const OPERATIONS: [Operation; 7] = [
    operation("tcp-connection", tcp_connections),
    Operation { lengths: 3, ..operation("tcp-accepted", tcp_accepted) },
    operation("tcp-bind-close", tcp_binds),
    operation("tcp-bind0-close", tcp_binds_to_any),
    operation("udp-autobind-close", udp_autobinds),
    operation("refusal", refusals),
    operation("refusal-report", refusals_and_reports),
];

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn socket(kind: SocketType) -> Result<OwnedFd> {
    socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None).context("opening a socket")
}

/// connect(), accept() and close() at both ends, the client's first.
fn tcp_connections(round: Round) -> Result<Taken> {
    let listener = TcpListener::bind(loopback(SERVER_PORT)).context("listening")?;
    let target = listener.local_addr()?;
    round.time(ClockId::Monotonic, || {
        let client = TcpStream::connect(target).context("connecting")?;
        let (server, _) = listener.accept().context("accepting")?;
        drop(client);
        drop(server);
        Ok(())
    })
}

/// accept() and close() of a connection whose client is no socket of this kernel: a server's half, and nothing else that
/// a watcher could have seen.
fn tcp_accepted(round: Round) -> Result<Taken> {
    let listener = TcpListener::bind(loopback(SERVER_PORT)).context("listening")?;
    let mut client = Client::new(SERVER_PORT)?;
    round.time(ClockId::Monotonic, || {
        client.connect()?;
        let (server, _) = listener.accept().context("accepting")?;
        client.finish()?;
        drop(server);
        client.acknowledge_end()
    })
}

/// bind() to a number, and close(). `TcpListener::bind` would listen too, which asks for the port a second time.
fn tcp_binds(round: Round) -> Result<Taken> {
    round.time(ClockId::Monotonic, || {
        bind(&socket(SocketType::STREAM)?, &loopback(SERVER_PORT)).context("binding")
    })
}

/// bind() to whatever the kernel gives, and close().
fn tcp_binds_to_any(round: Round) -> Result<Taken> {
    round.time(ClockId::Monotonic, || bind(&socket(SocketType::STREAM)?, &loopback(0)).context("binding"))
}

/// connect() of a fresh UDP socket, and close().
fn udp_autobinds(round: Round) -> Result<Taken> {
    round.time(ClockId::Monotonic, || {
        connect(&socket(SocketType::DGRAM)?, &loopback(SERVER_PORT)).context("connecting")
    })
}

/// A fresh socket, bind() to a port that a client has, which the kernel refuses, and close(): what the caller spends on it.
fn refusals(round: Round) -> Result<Taken> {
    let longer = if round.watcher.is_some() { WAKING } else { 1 };
    let round = Round { length: round.length * longer, ..round };
    let listener = TcpListener::bind(loopback(SERVER_PORT)).context("listening")?;
    let client = TcpStream::connect(listener.local_addr()?).context("connecting")?;
    let taken = client.local_addr()?;
    round.time(ClockId::ThreadCPUTime, || match bind(&socket(SocketType::STREAM)?, &taken) {
        Err(Errno::ADDRINUSE) => Ok(()),
        other => bail!("bind() to a client's port {taken} was not refused: {other:?}"),
    })
}

/// The same and what the watcher's process spends on it, until its report has been out for long. One thread that is refused
/// the same port again and again is told in one report with their number. What the process does of itself, with nothing to
/// report, is left out.
fn refusals_and_reports(round: Round) -> Result<Taken> {
    let Some(watcher) = round.watcher else { return refusals(round) };
    let spent = || spent_by(watcher);
    let start = spent()?;
    thread::sleep(REPORTED);
    let before = spent()?;
    let taken = refusals(round)?;
    thread::sleep(REPORTED);
    let reporting = (spent()? - before).saturating_sub(before - start);
    // The process also heard of the refusals that led in.
    let share = u128::from(reporting) * u128::from(taken.operations) / u128::from(taken.with_lead_in);
    Ok(Taken { time: taken.time + share as u64, ..taken })
}

/// Nanoseconds that a process has run, in user space and in the kernel.
pub(super) fn spent_by(pid: u32) -> Result<u64> {
    let mut clock = 0;
    // SAFETY: the call writes one number.
    let result = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    ensure!(result == 0, "no clock of process {pid}: {}", std::io::Error::from_raw_os_error(result));
    // SAFETY: timespec is plain data for which all zeroes is a valid value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes one timespec.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    ensure!(result == 0, "reading the clock of process {pid}: {}", std::io::Error::last_os_error());
    Ok((time.tv_sec * 1_000_000_000 + time.tv_nsec).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_spent_something() {
        assert!(spent_by(std::process::id()).unwrap() > 0);
    }
}
