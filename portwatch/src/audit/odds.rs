//! How likely a restart loses its port: what the kernel gives away meanwhile, and how likely this port is among it. Pure.
//!
//! While a service is down for a time T, the kernel gives away rate × T ports. Of those only the ones still held count,
//! and there are never more of them than there are clients at an instant: so min(rate × T, clients) of the present clients
//! are taken to come anew, and `choice` says how likely one of them gets this port.

use super::choice;
use super::land::Land;
use crate::model::{DowntimeSource, Odds, Protocol};
use std::time::Duration;

/// For how long a closed connection keeps its port in TIME_WAIT.
const TIME_WAIT: f64 = 60.0;
/// What a restart takes where nothing better is known.
pub(super) const ASSUMED: Duration = Duration::from_secs(1);

/// Ports that the kernel gives away a second, in one namespace and for one protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Pace {
    /// To sockets that connect.
    pub(super) connects: f64,
    /// To sockets that ask for any port: TCP by bind() or listen(), UDP in all ways.
    pub(super) binds: f64,
}

impl Pace {
    /// From counts over a time. Clients in TIME_WAIT tell of the last minute, which a short look may have missed.
    pub(super) fn measured(connects: u64, newcomers: u64, waiting: u64, over: Duration) -> Self {
        let seconds = over.as_secs_f64().max(0.001);
        Self {
            connects: (connects as f64 / seconds).max(waiting as f64 / TIME_WAIT),
            binds: newcomers as f64 / seconds,
        }
    }

    pub(super) fn sum(self) -> f64 {
        self.connects + self.binds
    }
}

/// For how long a restart leaves the port free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Downtime {
    pub(super) time: Duration,
    pub(super) from: DowntimeSource,
}

/// The odds of one port.
pub(super) fn odds(land: &Land, port: u16, pace: Pace, downtime: Downtime) -> Odds {
    let seconds = downtime.time.as_secs_f64();
    let (now, long) = match land.protocol.is_datagram() {
        true => datagrams(land, port, pace, seconds),
        false => connections(land, port, pace, seconds),
    };
    let own_connections =
        if land.protocol == Protocol::Tcp && land.listens(port) { land.connections_on(port) } else { 0 };
    Odds {
        restart: if own_connections > 0 { 0.0 } else { now.taken },
        idle_restart: now.taken,
        long_stop: long.taken.max(now.taken),
        downtime_ms: downtime.time.as_millis().try_into().unwrap_or(u64::MAX),
        downtime_from: downtime.from,
        next_assignment: now.next,
        assignments_per_second: pace.sum(),
        clients: land.clients(),
        run: now.run,
        own_connections,
    }
}

/// The same for a port that somebody has now, and not to listen: nothing has to be reckoned.
pub(super) fn taken_now(odds: Odds) -> Odds {
    Odds { restart: 1.0, idle_restart: 1.0, long_stop: 1.0, ..odds }
}

fn connections(land: &Land, port: u16, pace: Pace, seconds: f64) -> (choice::Chance, choice::Chance) {
    let clients = land.clients() as f64;
    let share = if clients > 0.0 { (pace.connects * seconds / clients).min(1.0) } else { 0.0 };
    let (now, long) = (choice::connections(land, port, share), choice::connections(land, port, 1.0));
    let bound = choice::binds(land, port, pace.binds * seconds);
    let together = |clients: choice::Chance, bound: choice::Chance| choice::Chance {
        taken: 1.0 - (1.0 - clients.taken) * (1.0 - bound.taken),
        // Of all that is given away, so much goes to clients.
        next: (clients.next * pace.connects + bound.next * pace.binds) / pace.sum().max(f64::MIN_POSITIVE),
        run: clients.run.max(bound.run),
    };
    let mut now = together(now, bound);
    if pace.sum() == 0.0 {
        now.next = choice::connections(land, port, 0.0).next;
    }
    let long_taken = if clients > 0.0 { long.taken } else { 0.0 };
    (now, choice::Chance { taken: long_taken, ..long })
}

fn datagrams(land: &Land, port: u16, pace: Pace, seconds: f64) -> (choice::Chance, choice::Chance) {
    // The socket itself is none of the others.
    let others = land.sockets().saturating_sub(1) as f64;
    let anew = (pace.binds * seconds).min(others);
    (choice::datagrams(land, port, anew), choice::datagrams(land, port, others))
}
