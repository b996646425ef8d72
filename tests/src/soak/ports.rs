//! Numbers: which ones everybody uses, and which are not to be used again yet.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::dice::Dice;
use crate::netns::Range;

/// First port that the kernel chooses; the same in every namespace.
const LOWEST: u16 = 20_000;
/// Ports that the kernel chooses from by default. Enough for a minute of TIME_WAIT.
pub(super) const CHOSEN: u16 = 20_000;
/// The fewest that leave room for the holders and bystanders of one namespace.
pub(super) const FEWEST: u16 = 100;

/// The ports that the kernel chooses from. Few are used again and again for the same destination, so that records of earlier
/// connections lie around in every table.
pub(super) const fn chosen(ports: u16) -> Range {
    Range { low: LOWEST, high: LOWEST + ports - 1 }
}

/// What holders bind by number: few, so that the same number soon has another owner.
pub(super) const BY_NUMBER: Range = Range { low: 10_000, high: 10_063 };
/// What bystanders bind by number in the namespace of a troupe, where they must never meet it.
pub(super) const BYSTANDERS: Range = Range { low: 12_000, high: 12_999 };
/// Where clients connect to.
pub(super) const SERVER: u16 = 8_080;
/// Where nobody answers.
pub(super) const DEAF: u16 = 8_081;

/// A minute in TIME_WAIT, after a minute in FIN_WAIT2 for what is half closed; and a margin.
const LINGER: Duration = Duration::from_secs(125);

/// A number of a protocol in one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    is_tcp: bool,
    port: u16,
}

impl Spot {
    pub(super) fn new(is_tcp: bool, address: SocketAddr) -> Self {
        Self { is_tcp, port: address.port() }
    }
}

/// Numbers that somebody of the troupe has, or that linger. A second holder on one of them would make the truth a
/// guess: the kernel gives one number to several clients that connect to different places.
#[derive(Debug, Default)]
pub(super) struct Ports {
    taken: HashMap<Spot, Option<Instant>>,
}

impl Ports {
    /// Takes a number; false if it is taken.
    pub(super) fn take(&mut self, spot: Spot) -> bool {
        if self.is_taken(spot) {
            return false;
        }
        self.taken.insert(spot, None);
        true
    }

    fn is_taken(&self, spot: Spot) -> bool {
        self.taken.get(&spot).is_some_and(|until| until.is_none_or(|until| until > Instant::now()))
    }

    pub(super) fn give_back(&mut self, spot: Spot, lingers: bool) {
        if lingers {
            self.taken.insert(spot, Some(Instant::now() + LINGER));
        } else if self.taken.get(&spot) == Some(&None) {
            self.taken.remove(&spot);
        }
    }

    /// A number to bind, free of the troupe's own.
    pub(super) fn number(&self, is_tcp: bool, dice: &mut Dice) -> u16 {
        let width = u32::from(BY_NUMBER.high - BY_NUMBER.low) + 1;
        let mut port = BY_NUMBER.low;
        for _ in 0..1_000 {
            port = BY_NUMBER.low + u16::try_from(dice.below(width)).unwrap_or(0);
            if !self.is_taken(Spot { is_tcp, port }) {
                break;
            }
        }
        port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_meet() {
        let range = chosen(CHOSEN);
        for port in [SERVER, DEAF, BY_NUMBER.low, BY_NUMBER.high] {
            assert!(!range.contains(port) && !BYSTANDERS.contains(port));
        }
        assert!(!BYSTANDERS.contains(range.low) && !range.contains(BYSTANDERS.high));
        assert_eq!(chosen(FEWEST), Range { low: 20_000, high: 20_099 });
    }

    #[test]
    fn a_number_is_taken_once_and_lingers() {
        let mut ports = Ports::default();
        let spot = |is_tcp, port| Spot { is_tcp, port };
        assert!(ports.take(spot(true, 1)) && !ports.take(spot(true, 1)) && ports.take(spot(false, 1)));
        ports.give_back(spot(true, 1), false);
        assert!(ports.take(spot(true, 1)));
        ports.give_back(spot(true, 1), true);
        ports.give_back(spot(true, 1), false);
        assert!(!ports.take(spot(true, 1)), "who ends does not end what lingers");
    }
}
