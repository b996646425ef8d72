//! How the kernel chooses ports, as probabilities. Pure; what it rests on is in `docs/port-conflicts.md`.
//!
//! `connect()` walks over the ports of the parity of the range's first one, upwards and around, from where the last
//! connection to the same peer from the same address had come to; only when none of them is left it takes the others. It
//! takes the first port that is not unavailable, and goes on from a random place among the next eight of that parity. So a
//! port that follows a run of unavailable ones is met more surely than others. `bind()` to port 0 begins with the other
//! parity, at a random place every time. UDP takes any port that is free.

use super::land::{Land, Peer};

/// Places from which a walk may go on after a port was taken.
const STRIDES: usize = 8;

/// What happens to one port while nobody holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chance {
    /// That the port is taken, from 0 to 1.
    pub(super) taken: f64,
    /// That the next assignment takes it.
    pub(super) next: f64,
    /// Unavailable ports of the same parity right before it.
    pub(super) run: u32,
}

/// The ports of one parity that a walk goes over: whether each may be taken, in order, and around.
#[derive(Clone, Debug)]
struct Ring {
    available: Vec<bool>,
}

impl Ring {
    /// Those of parity `parity` (0: of the range's first port). A range with an odd number of ports ends one earlier.
    fn new(land: &Land, parity: u32, is_available: impl Fn(u16) -> bool) -> Self {
        let (low, high) = (u32::from(land.low), u32::from(land.high));
        let end = low + ((high + 1 - low) & !1).max(1);
        let ports = (low + parity..end).step_by(2);
        Self { available: ports.map(|port| u16::try_from(port).is_ok_and(&is_available)).collect() }
    }

    fn is_exhausted(&self) -> bool {
        !self.available.iter().any(|available| *available)
    }

    /// The same with one more available place.
    fn with(mut self, place: usize) -> Option<Self> {
        *self.available.get_mut(place)? = true;
        Some(self)
    }

    /// Unavailable places right before this one.
    fn run_before(&self, place: usize) -> usize {
        let count = self.available.len();
        (1..count).take_while(|back| !self.available[(place + count - back) % count]).count()
    }

    /// Connections that a walk once around makes.
    fn connections_around(&self) -> f64 {
        // Twice around: the run before the first place is known only then.
        let mut run = 0;
        let mut sum = 0.0;
        for round in 0..2 {
            for available in &self.available {
                if !*available {
                    run += 1;
                    continue;
                }
                if round == 1 {
                    sum += met(run);
                }
                run = 0;
            }
        }
        sum
    }
}

/// The probability that a walk takes a port that it passes, with so many unavailable ones right before it: that one of
/// its starts is among them or at the port itself.
fn met(run: usize) -> f64 {
    let mean = (STRIDES + 1) as f64 / 2.0;
    let missed: usize = (run + 1..=STRIDES).map(|stride| stride - run - 1).sum();
    1.0 - missed as f64 / STRIDES as f64 / mean
}

/// One walk of `connections` connections, from an unknown place.
fn walked(ring: &Ring, place: usize, connections: f64) -> f64 {
    let met = met(ring.run_before(place));
    let rounds = connections / ring.connections_around().max(1.0);
    let whole = rounds.floor();
    1.0 - (1.0 - met).powf(whole) * (1.0 - met * (rounds - whole))
}

/// So many assignments, each from a random place.
fn scattered(ring: &Ring, place: usize, assignments: f64) -> f64 {
    1.0 - (-assignments * next_scattered(ring, place)).exp()
}

fn next_scattered(ring: &Ring, place: usize) -> f64 {
    (ring.run_before(place) + 1) as f64 / ring.available.len() as f64
}

/// What a number of connections does, spread over the present peers like the present ones: `share` of each one's.
pub(super) fn connections(land: &Land, port: u16, share: f64) -> Chance {
    let (parity, place) = place(land, port);
    let clients = land.clients().max(1) as f64;
    let mut chance = Chance { taken: 0.0, next: 0.0, run: 0 };
    let mut free = 1.0;
    let mut add = |peer: Option<&Peer>, count: f64, peers: f64| {
        let ring_of = |parity| Ring::new(land, parity, |port| land.is_open_to(peer, port));
        // The others have their turn only when these are used up.
        if parity == 1 && !ring_of(0).is_exhausted() {
            return;
        }
        let Some(ring) = ring_of(parity).with(place) else { return };
        let run = ring.run_before(place);
        free *= (1.0 - walked(&ring, place, share * count / peers)).powf(peers);
        chance.next += count / clients * met(run) / ring.connections_around().max(1.0);
        chance.run = chance.run.max(u32::try_from(run).unwrap_or(u32::MAX));
    };
    let (large, rest) = land.peers();
    for (peer, count) in large {
        add(Some(peer), count as f64, 1.0);
    }
    if rest.clients > 0 || land.clients() == 0 {
        add(None, rest.clients.max(1) as f64, rest.peers.max(1) as f64);
    }
    Chance { taken: 1.0 - free, ..chance }
}

/// What a number of `bind()` to port 0, or `listen()` without bind, does.
pub(super) fn binds(land: &Land, port: u16, count: f64) -> Chance {
    let (parity, place) = place(land, port);
    let ring_of = |parity| Ring::new(land, parity, |port| land.is_unused(port));
    let is_spared = parity == 0 && !ring_of(1).is_exhausted();
    match ring_of(parity).with(place).filter(|_| !is_spared) {
        Some(ring) => Chance {
            taken: scattered(&ring, place, count),
            next: next_scattered(&ring, place),
            run: u32::try_from(ring.run_before(place)).unwrap_or(u32::MAX),
        },
        None => Chance { taken: 0.0, next: 0.0, run: 0 },
    }
}

/// What a number of datagram sockets without a port of their own does.
pub(super) fn datagrams(land: &Land, port: u16, count: f64) -> Chance {
    let others = (land.low..=land.high).filter(|other| *other != port && land.is_unused(*other)).count();
    let next = 1.0 / (others + 1) as f64;
    Chance { taken: 1.0 - (-count * next).exp(), next, run: 0 }
}

/// Parity of a port, counted from the range's first, and its place among those of that parity.
fn place(land: &Land, port: u16) -> (u32, usize) {
    let at = u32::from(port.saturating_sub(land.low));
    (at % 2, usize::try_from(at / 2).unwrap_or(usize::MAX))
}
