//! A workload of TCP connections over the loopback, and what one takes.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::median_and_p99;
use crate::netns::{Netns, Range};

/// As wide as it gets: in a narrow one the kernel's search for a free port would be measured too.
const RANGE: Range = Range { low: 1_024, high: 65_535 };
/// Below the range, so that no client is ever given it.
const SERVER_PORT: u16 = 1_000;

/// connect(), accept() and close() at both ends, the client's first, so many times in a namespace of their own; the time
/// that it took. The namespace is handed back, since taking it down is work too.
pub(super) fn some(count: u32) -> Result<(Duration, Netns)> {
    let netns = Netns::new(RANGE)?;
    let took = netns.within(|| {
        let listener = TcpListener::bind(("127.0.0.1", SERVER_PORT)).context("listening")?;
        let target = listener.local_addr()?;
        let begin = Instant::now();
        for _ in 0..count {
            let client = TcpStream::connect(target).context("connecting")?;
            let (server, _) = listener.accept().context("accepting")?;
            drop(client);
            drop(server);
        }
        Ok(begin.elapsed())
    })?;
    Ok((took, netns))
}

/// Nanoseconds a connection, the median of some rounds; under instruction counting these are instructions.
pub(super) fn cost(rounds: usize, count: u32) -> Result<u64> {
    let (mut each, mut namespaces) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (took, netns) = some(count)?;
        each.push(u64::try_from(took.as_nanos())? / u64::from(count));
        namespaces.push(netns);
    }
    Ok(median_and_p99(&mut each).0)
}
