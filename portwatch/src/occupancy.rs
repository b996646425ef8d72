//! How full the ephemeral range is: in the network namespace of the calling thread.
//!
//! Cheap enough for every quarter of a minute: the kernel is asked for its tables of sockets, a few bytes a port are kept, and
//! at most [`destinations::CAPACITY`] destinations.

mod destinations;
mod report;
#[cfg(test)]
mod tests;
mod time_wait;

pub(crate) use report::{Full, Question};

use crate::model::{PortState, Protocol, State, Whom};
use crate::owner::netns;
use crate::owner::socket_tables::{self, Bounds, Entry, States};
use crate::ports::PortList;
use destinations::Destinations;
use std::time::Instant;
use time_wait::TimeWait;

/// Protocols that are looked at: whose tables name every socket.
const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// What one look gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Ports of the range in use, by what for; every pair is there. A port counts once.
    pub ephemeral: Vec<(Protocol, PortState, u64)>,
    /// Ports of the range that a client may not have; every pair is there.
    pub unavailable: Vec<(Protocol, Whom, u64)>,
    /// Ports of the range that are not reserved; 0 if the range could not be read.
    pub range_ports: u64,
    /// Tables that could not be read, and why: what is on them is not counted.
    pub unreadable: Vec<String>,
}

/// TCP ports of one network namespace that a process has bound, as far as that is recorded: the tables do not tell a client
/// that has bound its port from one that left the choice to connect(), and before 6.8 have no sockets that are only bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundPorts {
    /// By sockets that are open.
    pub open: Vec<u16>,
    /// By sockets that were closed of late: they count where the port is in TIME_WAIT.
    pub closed: Vec<u16>,
}

impl Occupancy {
    /// Looks.
    #[must_use]
    pub fn read(bound: &BoundPorts) -> Self {
        let reserved = netns::reserved_here().unwrap_or_default();
        let reserved = PortList::parse(&reserved).unwrap_or_default();
        let mut census = Census::new(netns::port_range(), &reserved);
        let mut unreadable = Vec::new();
        for protocol in PROTOCOLS {
            unreadable.extend(census.look(protocol, bound, None));
        }
        Self { unreadable, ..census.sum() }
    }
}

/// What every port is in use for.
struct Census {
    /// Whether the kernel may choose the port.
    counts: Vec<bool>,
    time_wait: TimeWait,
    /// By protocol.
    uses: [Uses; PROTOCOLS.len()],
}

/// Of one protocol.
struct Uses {
    /// By port; `None` for those that are free or do not count.
    states: Vec<Option<PortState>>,
    /// Ports that nobody else may use, whatever the destination.
    held: Vec<bool>,
    /// The same, if there is a closed connection on it.
    held_if_closed: Vec<bool>,
    destinations: Destinations,
    /// Connections that the process should have closed.
    close_wait: u32,
}

impl Default for Uses {
    fn default() -> Self {
        Self {
            states: vec![None; PORTS],
            held: vec![false; PORTS],
            held_if_closed: vec![false; PORTS],
            destinations: Destinations::default(),
            close_wait: 0,
        }
    }
}

const PORTS: usize = 1 << 16;

impl Census {
    fn new(range: Option<(u16, u16)>, reserved: &PortList) -> Self {
        let mut counts = vec![false; PORTS];
        if let Some((low, high)) = range.filter(|(low, high)| low <= high) {
            counts[usize::from(low)..=usize::from(high)].fill(true);
        }
        for &(low, high) in reserved.ranges() {
            counts[usize::from(low)..=usize::from(high)].fill(false);
        }
        Self { counts, time_wait: TimeWait::default(), uses: [Uses::default(), Uses::default()] }
    }

    /// Reads the tables of one protocol; those that could not be read are returned.
    fn look(&mut self, protocol: Protocol, bound: &BoundPorts, until: Option<Instant>) -> Vec<String> {
        let bounds = |states| Bounds { states, until, ports: None };
        if protocol != Protocol::Tcp {
            return socket_tables::each(protocol, bounds(States::All), &mut |entry| {
                self.count(&entry);
            });
        }
        self.time_wait = TimeWait::read();
        // First what makes a port useless for everybody, so that such ports are not counted by destination as well.
        let mut unreadable = socket_tables::each(protocol, bounds(States::Unconnected), &mut |entry| {
            self.count(&entry);
        });
        let ephemeral = |ports: &[u16]| -> Vec<usize> {
            ports.iter().map(|port| usize::from(*port)).filter(|port| self.counts[*port]).collect()
        };
        let (open, closed) = (ephemeral(&bound.open), ephemeral(&bound.closed));
        open.iter().for_each(|port| self.uses[0].held[*port] = true);
        closed.iter().for_each(|port| self.uses[0].held_if_closed[*port] = true);
        unreadable.extend(socket_tables::each(protocol, bounds(States::Connected), &mut |entry| {
            self.count(&entry);
        }));
        if self.uses[0].destinations.again() {
            socket_tables::each(protocol, bounds(States::Connected), &mut |entry| self.towards(0, &entry));
        }
        for port in open {
            self.uses[0].states[port].get_or_insert(PortState::Bound);
        }
        unreadable.dedup();
        unreadable
    }

    fn count(&mut self, entry: &Entry) {
        let Some(port) = entry.local.map(|local| usize::from(local.port())) else { return };
        let Some(protocol) = PROTOCOLS.iter().position(|one| *one == entry.protocol) else { return };
        if !self.counts[port] {
            return;
        }
        let uses = &mut self.uses[protocol];
        let state = state_of(entry.state);
        uses.states[port] = Some(uses.states[port].map_or(state, |before| before.min(state)));
        uses.close_wait += u32::from(entry.state == State::CloseWait);
        // A datagram socket is given no port on which there is another.
        uses.held[port] |= protocol != 0
            || matches!(state, PortState::Listen | PortState::Bound)
            || (state == PortState::TimeWait && uses.held_if_closed[port]);
        self.towards(protocol, entry);
    }

    /// Counts a connection as one towards its destination.
    fn towards(&mut self, protocol: usize, entry: &Entry) {
        let (Some(local), Some(remote)) = (entry.local, entry.remote) else { return };
        let (port, uses) = (usize::from(local.port()), &mut self.uses[protocol]);
        let is_held = uses.held[port] && protocol == 0;
        if self.counts[port] && !is_held && !self.time_wait.gives_away(entry) {
            let remote = (remote.ip().to_canonical(), remote.port()).into();
            uses.destinations.add((local.ip().to_canonical(), remote), entry.state == State::TimeWait);
        }
    }

    fn sum(&self) -> Occupancy {
        let count = |protocol: usize, state| {
            self.uses[protocol].states.iter().filter(|one| **one == Some(state)).count() as u64
        };
        let pairs = PROTOCOLS.iter().enumerate().flat_map(|(index, protocol)| {
            PortState::ALL.into_iter().map(move |state| (index, *protocol, state))
        });
        Occupancy {
            ephemeral: pairs.map(|(index, protocol, state)| (protocol, state, count(index, state))).collect(),
            unavailable: PROTOCOLS
                .iter()
                .zip(&self.uses)
                .flat_map(|(one, uses)| uses.unavailable(*one))
                .collect(),
            range_ports: self.counts.iter().filter(|counts| **counts).count() as u64,
            unreadable: Vec::new(),
        }
    }
}

impl Uses {
    fn held(&self) -> u32 {
        u32::try_from(self.held.iter().filter(|held| **held).count()).unwrap_or(u32::MAX)
    }

    fn unavailable(&self, protocol: Protocol) -> [(Protocol, Whom, u64); 2] {
        let anybody = u64::from(self.held());
        let fullest = self.destinations.most(1).first().map_or(0, |(_, share)| u64::from(share.ports));
        // Ports of UDP are all held: those with a peer would count twice.
        let more = if protocol == Protocol::Tcp { fullest } else { 0 };
        [(protocol, Whom::Anybody, anybody), (protocol, Whom::FullestDestination, anybody + more)]
    }
}

const fn state_of(state: State) -> PortState {
    match state {
        State::Listen => PortState::Listen,
        State::Established | State::SynSent | State::SynRecv | State::CloseWait => PortState::Established,
        State::Close | State::Unknown => PortState::Bound,
        State::FinWait1 | State::FinWait2 | State::LastAck | State::Closing => PortState::Closing,
        State::TimeWait => PortState::TimeWait,
    }
}
