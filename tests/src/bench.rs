//! `lineup bench`: what an operation costs with portwatch watching, per backend, and without.
//!
//! Meant for a machine in which a nanosecond of the clock is one instruction (QEMU with `-icount shift=0,sleep=off`);
//! anywhere else the numbers are plain nanoseconds.

use std::hint::black_box;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::time::{ClockId, clock_gettime};

use crate::netns::{Netns, Range};
use crate::product::{Backend, Portwatch, Started};
use crate::say;

/// As wide as it gets: in a narrow range the kernel's search for a free port would be measured too.
const RANGE: Range = Range { low: 1_024, high: 65_535 };

/// Below the range, so that no client is ever given it.
const SERVER_PORT: u16 = 1_000;

/// Rounds in which caches, slabs and the kernel's own late starters settle.
const WARM_UP: usize = 2;

/// Something that takes a port and gives it back.
struct Operation {
    name: &'static str,
    /// Does it so many times; returns the time that it took in all.
    repeat: fn(u32) -> Result<u64>,
}

const OPERATIONS: [Operation; 3] = [
    Operation { name: "tcp-connection", repeat: tcp_connections },
    Operation { name: "tcp-bind-close", repeat: tcp_binds },
    Operation { name: "udp-autobind-close", repeat: udp_autobinds },
];

/// How much to measure.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) operations: u32,
}

/// Measures every operation on each backend; whether each could be measured.
pub(crate) fn run(program: &Path, backends: &[Backend], effort: Effort) -> Result<bool> {
    ensure!(effort.rounds > 0 && effort.operations > 0, "--rounds and --operations must be at least 1");
    let mut all_measured = true;
    for &backend in backends.iter().take_while(|_| say::is_read()) {
        let watcher = match backend {
            Backend::None => None,
            Backend::Fexit | Backend::Kprobe | Backend::Tracepoint => {
                match Portwatch::start(program, backend, 4)? {
                    Started::Ready(portwatch) => Some(portwatch),
                    Started::Unavailable(reason) => {
                        say::line(format_args!("BENCH-SKIP backend={} reason={reason}", backend.name()));
                        all_measured = false;
                        continue;
                    }
                }
            }
        };
        measure_all(backend, effort)?;
        if let Some(mut portwatch) = watcher {
            let faults = portwatch.stop()?;
            if !faults.is_empty() {
                bail!("portwatch with backend {} misbehaved: {}", backend.name(), faults.join("; "));
            }
        }
    }
    Ok(all_measured)
}

fn measure_all(backend: Backend, effort: Effort) -> Result<()> {
    for operation in &OPERATIONS {
        let (median, spread) =
            measure(operation, effort).with_context(|| format!("measuring {}", operation.name))?;
        let (backend, name) = (backend.name(), operation.name);
        say::line(format_args!("BENCH backend={backend} op={name} instructions={median} spread={spread:.2}"));
    }
    Ok(())
}

/// Median of the rounds per operation, and their spread. The first rounds warm up and do not count.
fn measure(operation: &Operation, effort: Effort) -> Result<(u64, f64)> {
    // The namespaces live until all rounds are over: taking one down is work that would run into the next round.
    let mut namespaces = Vec::new();
    let mut rounds = Vec::new();
    for _ in 0..WARM_UP + effort.rounds {
        let netns = Netns::new(RANGE)?;
        rounds.push(netns.within(|| (operation.repeat)(effort.operations))? / u64::from(effort.operations));
        namespaces.push(netns);
    }
    Ok(median_and_spread(&mut rounds[WARM_UP..]))
}

/// The spread is the width of the middle half in percent of the median: a timer of the kernel that falls into one
/// round says nothing about the others.
fn median_and_spread(rounds: &mut [u64]) -> (u64, f64) {
    rounds.sort_unstable();
    let quarter = rounds.len() / 4;
    let median = rounds[rounds.len() / 2];
    let spread = rounds[rounds.len() - 1 - quarter] - rounds[quarter];
    (median, spread as f64 * 100.0 / median as f64)
}

/// connect(), accept() and close() at both ends, the client's first.
fn tcp_connections(count: u32) -> Result<u64> {
    let listener = TcpListener::bind(("127.0.0.1", SERVER_PORT)).context("listening")?;
    let target = listener.local_addr()?;
    timed(count, || {
        let client = TcpStream::connect(target).context("connecting")?;
        let (server, _) = listener.accept().context("accepting")?;
        drop(client);
        drop(server);
        Ok(())
    })
}

/// bind() to a number, and close(). `TcpListener::bind` would listen too, which asks for the port a second time.
fn tcp_binds(count: u32) -> Result<u64> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], SERVER_PORT));
    timed(count, || {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &at).context("binding")
    })
}

/// connect() of a fresh UDP socket, and close().
fn udp_autobinds(count: u32) -> Result<u64> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    let target = std::net::SocketAddr::from(([127, 0, 0, 1], SERVER_PORT));
    timed(count, || {
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &target).context("connecting")
    })
}

/// Nanoseconds that `count` turns take.
fn timed(count: u32, mut turn: impl FnMut() -> Result<()>) -> Result<u64> {
    let start = nanoseconds();
    for _ in 0..count {
        black_box(turn()?);
    }
    Ok(nanoseconds() - start)
}

fn nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    (time.tv_sec * 1_000_000_000 + time.tv_nsec).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_round_does_not_move_the_median() {
        assert_eq!(median_and_spread(&mut [100, 101, 99, 100, 150]), (100, 1.0));
    }

    #[test]
    fn turns_are_counted() {
        let mut turns = 0;
        timed(7, || {
            turns += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!(turns, 7);
    }
}
