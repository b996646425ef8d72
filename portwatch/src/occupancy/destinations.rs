//! How many connections go from one local address to one destination, of a million sockets in little memory.
//!
//! The kernel lets a connection exist once: so many connections between two ends are so many source ports. Up to
//! [`CAPACITY`] pairs are counted exactly. With more of them, those that can matter are found first (every pair with more
//! than a share of one in `CAPACITY` of all connections stays, by the rule of Misra and Gries), and are then counted exactly
//! in a second look at the tables.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// Pairs that are counted at one time: half a megabyte at most.
pub(super) const CAPACITY: usize = 4_096;

/// A local address and a destination.
pub(super) type Pair = (IpAddr, SocketAddr);

/// Connections of a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// All that take their port.
    pub(crate) ports: u32,
    /// Those of them in TIME_WAIT.
    pub(crate) time_wait: u32,
}

/// Connections by pair.
#[derive(Clone, Debug, Default)]
pub(super) struct Destinations {
    counts: HashMap<Pair, Share>,
    stage: Stage,
    /// Counted whatever comes.
    wanted: Option<(Pair, Share)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// All pairs so far are counted exactly.
    #[default]
    All,
    /// There were too many.
    Sifting,
    /// Those that stayed are counted, and no others.
    Chosen,
}

impl Destinations {
    /// With a pair that is counted whatever comes.
    pub(super) fn with(wanted: Option<Pair>) -> Self {
        Self { wanted: wanted.map(|pair| (pair, Share::default())), ..Self::default() }
    }

    pub(super) fn add(&mut self, pair: Pair, is_time_wait: bool) {
        let one = |share: &mut Share| {
            share.ports += 1;
            share.time_wait += u32::from(is_time_wait);
        };
        if let Some((_, share)) = self.wanted.as_mut().filter(|(wanted, _)| *wanted == pair) {
            one(share);
        }
        if let Some(share) = self.counts.get_mut(&pair) {
            one(share);
        } else if self.stage != Stage::Chosen {
            if self.counts.len() < CAPACITY {
                one(self.counts.entry(pair).or_default());
            } else {
                self.sift();
            }
        }
    }

    /// Takes one from everybody: whoever has none left makes room.
    fn sift(&mut self) {
        self.stage = Stage::Sifting;
        self.counts.retain(|_, share| {
            share.ports -= 1;
            share.ports > 0
        });
    }

    /// Whether the tables have to be read once more; then what was counted is forgotten, and only who it was is not.
    pub(super) fn again(&mut self) -> bool {
        if self.stage != Stage::Sifting {
            return false;
        }
        self.stage = Stage::Chosen;
        self.counts.values_mut().for_each(|share| *share = Share::default());
        if let Some((_, share)) = &mut self.wanted {
            *share = Share::default();
        }
        true
    }

    /// The pairs with most, the largest first; of equals the lower address.
    pub(super) fn most(&self, count: usize) -> Vec<(Pair, Share)> {
        let mut all: Vec<_> = self.counts.iter().map(|(pair, share)| (*pair, *share)).collect();
        all.retain(|(_, share)| share.ports > 0);
        all.sort_by_key(|(pair, share)| (std::cmp::Reverse(share.ports), *pair));
        all.truncate(count);
        all
    }

    /// What one pair has; `None` if it was not counted.
    pub(super) fn of(&self, pair: Pair) -> Option<Share> {
        let wanted = self.wanted.filter(|(wanted, _)| *wanted == pair).map(|(_, share)| share);
        let counted = || self.counts.get(&pair).copied();
        wanted.or_else(counted).or_else(|| (self.stage == Stage::All).then(Share::default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(number: u32) -> Pair {
        (IpAddr::from([10, 0, 0, 1]), SocketAddr::new(IpAddr::from(number.to_be_bytes()), 443))
    }

    #[test]
    fn few_are_counted_exactly_at_once() {
        let mut all = Destinations::default();
        for (number, times) in [(1, 3), (2, 5), (3, 1)] {
            (0..times).for_each(|time| all.add(pair(number), time == 0));
        }
        assert!(!all.again());
        assert_eq!(
            all.most(2),
            [(pair(2), Share { ports: 5, time_wait: 1 }), (pair(1), Share { ports: 3, time_wait: 1 })]
        );
        assert_eq!(all.of(pair(9)), Some(Share::default()), "nothing is an answer");
    }

    #[test]
    fn of_a_million_to_everywhere_the_full_one_is_found_and_counted_exactly() {
        const FULL: u32 = 28_232;
        let mut all = Destinations::with(Some(pair(77)));
        let sockets = || {
            let everywhere = (0..1_000_000_u32).map(|number| pair(1_000 + number));
            everywhere.chain((0..FULL).map(|_| pair(1))).chain([pair(77), pair(77)])
        };
        sockets().for_each(|one| all.add(one, false));
        assert!(all.counts.len() <= CAPACITY);
        assert!(all.again());
        sockets().for_each(|one| all.add(one, false));
        assert!(!all.again() && all.counts.len() <= CAPACITY);
        assert_eq!(all.most(1), [(pair(1), Share { ports: FULL, time_wait: 0 })]);
        assert_eq!(all.of(pair(77)).map(|share| share.ports), Some(2), "the wanted one is always counted");
        assert_eq!(all.of(pair(5)), None, "not known");
    }
}
