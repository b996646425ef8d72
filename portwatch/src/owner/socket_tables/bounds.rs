//! Which sockets of a table are wanted, and until when it may be read.

use crate::model::State;
use std::io;
use std::time::Instant;

/// Which sockets are wanted, by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum States {
    /// All of them.
    #[default]
    All,
    /// Listeners, and sockets that are only bound.
    Unconnected,
    /// The others.
    Connected,
}

/// How much of a table is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Of which sockets.
    pub(crate) states: States,
    /// When to stop, come what may.
    pub(crate) until: Option<Instant>,
    /// The first and the last local port, if not all are wanted.
    pub(crate) ports: Option<(u16, u16)>,
}

impl States {
    /// As sock_diag takes them, a bit a state. Kernels ignore bits that they do not know.
    pub(super) const fn mask(self) -> u32 {
        /// LISTEN, CLOSE and, from 6.8 on, the bit of sockets that are only bound.
        const UNCONNECTED: u32 = 1 << 10 | 1 << 7 | 1 << 13;
        match self {
            Self::All => !0,
            Self::Unconnected => UNCONNECTED,
            Self::Connected => !UNCONNECTED,
        }
    }

    pub(super) const fn has(self, state: State) -> bool {
        let is_unconnected = matches!(state, State::Listen | State::Close | State::Unknown);
        match self {
            Self::All => true,
            Self::Unconnected => is_unconnected,
            Self::Connected => !is_unconnected,
        }
    }
}

impl Bounds {
    /// Whether a port is wanted.
    pub(super) fn has(self, port: Option<u16>) -> bool {
        self.ports.is_none_or(|(low, high)| port.is_some_and(|port| (low..=high).contains(&port)))
    }

    /// Whether there is time left.
    pub(super) fn check(self) -> io::Result<()> {
        match self.until {
            Some(until) if Instant::now() >= until => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "too many sockets to count in time"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_halves_are_the_whole() {
        assert_eq!(States::Unconnected.mask() ^ States::Connected.mask(), States::All.mask());
        for number in 0..=13 {
            let state = State::from_wire(number);
            let of = |states: States| {
                states.has(state) && (state == State::Unknown || states.mask() >> number & 1 == 1)
            };
            assert!(of(States::All) && of(States::Unconnected) != of(States::Connected), "{state}");
        }
    }
}
