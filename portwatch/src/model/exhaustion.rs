//! How full the ephemeral range was when it had no port left: plain data, in exactly the shape and order of its JSON.
//!
//! A source port is one number for all destinations: what counts for a `connect()` is the pair of addresses and ports. So
//! ports that nobody may use and ports that are taken towards one destination only are told apart.

use super::PortState;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The range of one protocol in the conflict's network namespace, a moment after the refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhaustion {
    /// First port of the range, or of the part of it that the socket asked for (`IP_LOCAL_PORT_RANGE`).
    pub low: u16,
    /// Last port.
    pub high: u16,
    /// How many of them are in `ip_local_reserved_ports`, so that the kernel does not choose them.
    pub reserved: u32,
    /// Which: the kernel's own list inside the range, cut with an ellipsis if it is long.
    pub reserved_list: String,
    /// Ports that the kernel may choose.
    pub ports: u32,
    /// How many of those are in use, by what for.
    pub in_use: PortsInUse,
    /// Ports whose connection the other side has closed and the process has not; `established` counts them too.
    pub close_wait: u32,
    /// Ports that no connection may use, whatever its destination: somebody listens on them or has bound them. Of UDP
    /// every port in use.
    pub unavailable: u32,
    /// Ports that connections have and nobody else: each is taken only towards the destinations of those connections.
    pub shared: u32,
    /// Where the refused `connect()` wanted to go; `null` for other calls.
    pub destination: Option<Destination>,
    /// The destinations towards which most ports are taken.
    pub destinations: Vec<Destination>,
    /// `tcp_tw_reuse` of the namespace: 1 lets a connect() take a port over from TIME_WAIT, 2 only on the loopback.
    pub time_wait_reuse: Option<u8>,
    /// What could not be counted, and why.
    pub unseen: Vec<String>,
}

/// Ports in use, by what for. A port with several sockets counts once, as the first of these that fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortsInUse {
    /// A socket listens on it.
    pub listen: u32,
    /// Connected, or about to be.
    pub established: u32,
    /// Has the port and no peer.
    pub bound: u32,
    /// Closed by its process, and not yet confirmed.
    pub closing: u32,
    /// Closed, kept for late packets.
    pub time_wait: u32,
}

/// Where connections go to, and from which local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Local address.
    pub local: IpAddr,
    /// Remote address and port.
    pub remote: SocketAddr,
    /// Shared ports that are taken for this pair. One in TIME_WAIT counts unless the kernel would give it away.
    pub ports: u32,
    /// How many of them are only in TIME_WAIT.
    pub time_wait: u32,
}

impl PortsInUse {
    /// All of them.
    pub const fn total(&self) -> u32 {
        self.listen
            .saturating_add(self.established)
            .saturating_add(self.bound)
            .saturating_add(self.closing)
            .saturating_add(self.time_wait)
    }

    /// The number of one state.
    pub const fn of(&self, state: PortState) -> u32 {
        match state {
            PortState::Listen => self.listen,
            PortState::Established => self.established,
            PortState::Bound => self.bound,
            PortState::Closing => self.closing,
            PortState::TimeWait => self.time_wait,
        }
    }

    /// The place of the number of one state.
    pub(crate) const fn of_mut(&mut self, state: PortState) -> &mut u32 {
        match state {
            PortState::Listen => &mut self.listen,
            PortState::Established => &mut self.established,
            PortState::Bound => &mut self.bound,
            PortState::Closing => &mut self.closing,
            PortState::TimeWait => &mut self.time_wait,
        }
    }
}

impl Exhaustion {
    /// Ports that a connection to a destination may not use.
    pub const fn taken_for(&self, destination: &Destination) -> u32 {
        self.unavailable.saturating_add(destination.ports)
    }

    /// In a few words with what the ports were taken, for the refused call.
    pub fn in_brief(&self) -> String {
        let ports = self.ports;
        let taken = match &self.destination {
            Some(to) => {
                let taken = self.taken_for(to);
                let parts = [("bound or listening", self.unavailable), ("connections there", to.ports)];
                let closed = match to.time_wait {
                    0 => String::new(),
                    count => format!(" ({count} in TIME_WAIT)"),
                };
                format!("{taken} of {ports} taken for {}: {}{closed}", to.remote, counted(parts))
            }
            None => {
                let parts = PortState::ALL.map(|state| (state.as_str(), self.in_use.of(state)));
                format!("{} of {ports} in use: {}", self.in_use.total(), counted(parts))
            }
        };
        match self.reserved {
            0 => taken,
            reserved => format!("{taken}; {reserved} more reserved"),
        }
    }

    /// `10.0.0.9:443 from 10.0.0.5: 590 ports (300 in TIME_WAIT)`, those with most first.
    pub fn destinations_in_words(&self) -> Vec<String> {
        let one = |to: &Destination| {
            let closed = match to.time_wait {
                0 => String::new(),
                count => format!(" ({count} in TIME_WAIT)"),
            };
            let ports = if to.ports == 1 { "port" } else { "ports" };
            format!("{} from {}: {} {ports}{closed}", to.remote, to.local, to.ports)
        };
        self.destinations.iter().map(one).collect()
    }
}

/// Without those of which there are none.
fn counted<const N: usize>(parts: [(&str, u32); N]) -> String {
    let told: Vec<_> =
        parts.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{count} {name}")).collect();
    if told.is_empty() { "none by now".to_owned() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_words_for_each_kind_of_call() {
        let to = Destination {
            local: [10, 0, 0, 5].into(),
            remote: ([10, 0, 0, 9], 443).into(),
            ports: 590,
            time_wait: 300,
        };
        let mut full = Exhaustion {
            ports: 600,
            reserved: 100,
            in_use: PortsInUse { listen: 2, bound: 8, established: 290, time_wait: 300, closing: 0 },
            unavailable: 10,
            shared: 590,
            destinations: vec![to],
            ..Exhaustion::default()
        };
        assert_eq!(
            full.in_brief(),
            "600 of 600 in use: 2 listen, 290 established, 8 bound, 300 time-wait; 100 more reserved"
        );
        (full.destination, full.reserved) = (Some(to), 0);
        let told = "600 of 600 taken for 10.0.0.9:443: 10 bound or listening, 590 connections there (300 in TIME_WAIT)";
        assert_eq!(full.in_brief(), told);
        assert_eq!(
            full.destinations_in_words(),
            ["10.0.0.9:443 from 10.0.0.5: 590 ports (300 in TIME_WAIT)"]
        );
    }
}
