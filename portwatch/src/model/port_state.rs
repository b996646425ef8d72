//! What an ephemeral port is in use for, and towards whom it is not to be had.

use std::fmt;

/// What a port of the ephemeral range is in use for. A port with several sockets counts once, as the first of these that
/// fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortState {
    /// A socket listens on it.
    Listen,
    /// Connected, or about to be; UDP sockets with a fixed peer.
    Established,
    /// Has the port and no peer: bound only, or UDP that anybody may send to.
    Bound,
    /// Closed by its process, and not yet confirmed.
    Closing,
    /// Closed, kept for late packets.
    TimeWait,
}

impl PortState {
    /// Every value, in the order in which they count.
    pub const ALL: [Self; 5] = [Self::Listen, Self::Established, Self::Bound, Self::Closing, Self::TimeWait];

    /// The spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Established => "established",
            Self::Bound => "bound",
            Self::Closing => "closing",
            Self::TimeWait => "time-wait",
        }
    }
}

impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Towards whom a port cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Whom {
    /// Towards anybody: somebody listens on it or has bound it. Of UDP every port in use.
    Anybody,
    /// Towards the destination to which most ports are taken: those above, and those that its connections have.
    FullestDestination,
}

impl Whom {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Anybody, Self::FullestDestination];

    /// The spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anybody => "anybody",
            Self::FullestDestination => "fullest_destination",
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
