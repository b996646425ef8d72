//! How the kernel chooses ports, as probabilities. Pure; what it rests on is in `docs/port-conflicts.md`.
//!
//! `connect()` walks over the ports of the parity of the range's first one, upwards and around, from where the last
//! connection to the same peer from the same address had come to; only when none of them is left it takes the others. It
//! takes the first port that is not unavailable, and goes on from a random place among the next eight of that parity. So a
//! port that follows a run of unavailable ones is met more surely than others. `bind()` to port 0 begins with the other
//! parity, at a random place every time. UDP takes any port that is free.

use super::land::Land;

/// Places from which a walk may go on after a port was taken.
const STRIDES: usize = 8;

/// What happens to one port while nobody holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Chance {
    /// That the port is taken, from 0 to 1.
    pub(super) taken: f64,
    /// That the next assignment takes it.
    pub(super) next: f64,
    /// Unavailable ports of the same parity right before it.
    pub(super) run: u32,
}

/// The ports of one parity, in order, and around. Some are unavailable for good; of the others a part is taken at any time
/// by those who come and go, and nobody knows which ones.
#[derive(Clone, Debug)]
struct Ring {
    open: Vec<bool>,
    /// The part of the open ones that is taken, from 0 to 1.
    taken: f64,
}

impl Ring {
    /// Those of parity `parity` (0: of the range's first port). A range with an odd number of ports ends one earlier.
    fn new(land: &Land, parity: u32, is_open: impl Fn(u16) -> bool) -> Self {
        let (low, high) = (u32::from(land.low), u32::from(land.high));
        let end = low + ((high + 1).saturating_sub(low) & !1).max(1);
        let ports = (low + parity..end).step_by(2);
        Self { open: ports.map(|port| u16::try_from(port).is_ok_and(&is_open)).collect(), taken: 0.0 }
    }

    fn count(&self) -> f64 {
        self.open.iter().filter(|open| **open).count() as f64
    }

    /// The same while so many of the open ones are taken.
    fn with_taken(mut self, taken: f64) -> Self {
        self.taken = if taken > 0.0 { (taken / self.count().max(1.0)).min(1.0) } else { 0.0 };
        self
    }

    /// The same with the port open that it is about; `None` if it is not of this ring.
    fn with_open(mut self, place: usize) -> Option<Self> {
        *self.open.get_mut(place)? = true;
        Some(self)
    }

    fn is_used_up(&self) -> bool {
        self.taken >= 1.0 || !self.open.contains(&true)
    }

    /// Ports right before this one that are unavailable for good.
    fn run_before(&self, place: usize) -> usize {
        let count = self.open.len();
        (1..count).take_while(|back| !self.open[(place + count - back) % count]).count()
    }

    /// The mean of `weight` over all lengths that the run before a port may have: it ends at an open port that is not
    /// taken just then.
    fn mean(&self, place: usize, weight: impl Fn(usize) -> f64) -> f64 {
        /// So unlikely a run is left out.
        const NEGLIGIBLE: f64 = 1e-6;
        let count = self.open.len();
        let (mut likely, mut sum) = (1.0, 0.0);
        for run in 0..count {
            if self.open[(place + 2 * count - run - 1) % count] {
                sum += likely * (1.0 - self.taken) * weight(run);
                likely *= self.taken;
            }
            if likely < NEGLIGIBLE {
                return sum;
            }
        }
        sum + likely * weight(count - 1)
    }

    /// Connections that a walk once around makes.
    fn connections_around(&self) -> f64 {
        let open = (0..self.open.len()).filter(|place| self.open[*place]);
        open.map(|place| (1.0 - self.taken) * self.mean(place, met)).sum()
    }
}

/// The probability that a walk takes a port that it passes, with so many unavailable ones right before it: that one of
/// its starts is among them or at the port itself.
fn met(run: usize) -> f64 {
    let mean = (STRIDES + 1) as f64 / 2.0;
    let missed: usize = (run + 1..=STRIDES).map(|stride| stride - run - 1).sum();
    1.0 - missed as f64 / STRIDES as f64 / mean
}

/// What a number of connections does, spread over the present peers like the present ones: `share` of each one's.
pub(super) fn connections(land: &Land, port: u16, share: f64) -> Chance {
    let (parity, place) = place(land, port);
    let is_open = |port| land.is_open_to_clients(port);
    let (first, ring) = (Ring::new(land, 0, is_open), Ring::new(land, parity, is_open).with_open(place));
    let Some(ring) = ring else { return Chance::default() };
    let clients = land.clients().max(1) as f64;
    let mut chance =
        Chance { run: ring.run_before(place).try_into().unwrap_or(u32::MAX), ..Chance::default() };
    let mut free = 1.0;
    for (connections, peers) in land.walks() {
        // A peer's own connections are in the way of its next ones only.
        let each = connections as f64 / peers as f64;
        let left = each - first.count();
        let taken = match parity {
            0 => each,
            // The others have their turn only when those of the first parity are used up.
            _ if left < 0.0 && !first.is_used_up() => continue,
            _ => left,
        };
        let ring = ring.clone().with_taken(taken);
        let (met, around) = (ring.mean(place, met), ring.connections_around().max(1.0));
        free *= (1.0 - walked(met, share * each / around)).powf(peers as f64);
        chance.next += connections as f64 / clients * met / around;
    }
    Chance { taken: 1.0 - free, ..chance }
}

/// A walk that goes so many times around, from an unknown place, and takes the port with probability `met` each time.
fn walked(met: f64, rounds: f64) -> f64 {
    let whole = rounds.floor();
    1.0 - (1.0 - met).powf(whole) * (1.0 - met * (rounds - whole))
}

/// What a number of `bind()` to port 0, or `listen()` without bind, does.
pub(super) fn binds(land: &Land, port: u16, count: f64) -> Chance {
    let (parity, place) = place(land, port);
    let ring = |parity| {
        let ring = Ring::new(land, parity, |port| !land.is_reserved(port));
        let is_used = |other: &u16| u32::from(other - land.low) % 2 == parity && *other != port;
        ring.with_taken(land.used().filter(is_used).count() as f64)
    };
    let is_spared = parity == 0 && !ring(1).is_used_up();
    let Some(ring) = ring(parity).with_open(place).filter(|_| !is_spared) else { return Chance::default() };
    let next = ring.mean(place, |run| (run + 1) as f64) / ring.open.len() as f64;
    let run = ring.run_before(place).try_into().unwrap_or(u32::MAX);
    Chance { taken: 1.0 - (-count * next).exp(), next, run }
}

/// What a number of datagram sockets without a port of their own does.
pub(super) fn datagrams(land: &Land, port: u16, count: f64) -> Chance {
    let used = land.used().filter(|used| *used != port && !land.is_reserved(*used)).count() as f64;
    let next = 1.0 / (f64::from(land.choosable()) - used).max(1.0);
    Chance { taken: 1.0 - (-count * next).exp(), next, run: 0 }
}

/// Parity of a port, counted from the range's first, and its place among those of that parity.
fn place(land: &Land, port: u16) -> (u32, usize) {
    let at = u32::from(port.saturating_sub(land.low));
    (at % 2, usize::try_from(at / 2).unwrap_or(usize::MAX))
}
