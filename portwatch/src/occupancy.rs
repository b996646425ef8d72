//! How full the ephemeral range is, and which listeners stand in it: in the network namespace of the calling thread.
//!
//! Cheap enough for every quarter of a minute: the kernel is asked for its tables of sockets, and a byte a port is kept.

use crate::model::{PortState, Protocol, State};
use crate::owner::netns;
use crate::owner::socket_tables::{self, Entry};
use crate::ports::PortList;

/// Protocols that are looked at: whose tables name every socket.
const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

/// What one look gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Ports of the range in use, by what for; every pair is there. A port counts once.
    pub ephemeral: Vec<(Protocol, PortState, u64)>,
    /// Ports of the range that are not reserved; 0 if the range could not be read.
    pub range_ports: u64,
    /// TCP ports with a listener, in the range and not reserved: the kernel may give them away while it restarts.
    pub at_risk: Vec<u16>,
    /// Tables that could not be read, and why: what is on them is not counted.
    pub unreadable: Vec<String>,
}

impl Occupancy {
    /// Looks.
    #[must_use]
    pub fn read() -> Self {
        let reserved = netns::reserved_here().unwrap_or_default();
        let reserved = PortList::parse(&reserved).unwrap_or_default();
        let mut census = Census::new(netns::port_range(), &reserved);
        let mut unreadable = Vec::new();
        for protocol in PROTOCOLS {
            unreadable.extend(socket_tables::each(protocol, &mut |entry| census.count(&entry)));
        }
        Self { unreadable, ..census.sum() }
    }
}

/// What every port is in use for; `None` for ports that do not count.
struct Census {
    counts: Vec<bool>,
    /// By protocol and port.
    uses: [Vec<Option<PortState>>; PROTOCOLS.len()],
}

const PORTS: usize = 1 << 16;

impl Census {
    fn new(range: Option<(u16, u16)>, reserved: &PortList) -> Self {
        let is_ephemeral = |port: u16| range.is_some_and(|(low, high)| (low..=high).contains(&port));
        let counts = (0..=u16::MAX).map(|port| is_ephemeral(port) && !reserved.contains(port)).collect();
        Self { counts, uses: [vec![None; PORTS], vec![None; PORTS]] }
    }

    fn count(&mut self, entry: &Entry) {
        let Some(port) = entry.local.map(|local| local.port()) else { return };
        let Some(protocol) = PROTOCOLS.iter().position(|one| *one == entry.protocol) else { return };
        if self.counts[usize::from(port)] {
            let before = &mut self.uses[protocol][usize::from(port)];
            let state = state_of(entry.state);
            *before = Some(before.map_or(state, |before| before.min(state)));
        }
    }

    fn sum(&self) -> Occupancy {
        let count = |protocol: usize, state| {
            self.uses[protocol].iter().filter(|one| **one == Some(state)).count() as u64
        };
        let pairs = PROTOCOLS.iter().enumerate().flat_map(|(index, protocol)| {
            PortState::ALL.into_iter().map(move |state| (index, *protocol, state))
        });
        let listens = |port: &u16| self.uses[0][usize::from(*port)] == Some(PortState::Listen);
        Occupancy {
            ephemeral: pairs.map(|(index, protocol, state)| (protocol, state, count(index, state))).collect(),
            range_ports: self.counts.iter().filter(|counts| **counts).count() as u64,
            at_risk: (0..=u16::MAX).filter(listens).collect(),
            unreadable: Vec::new(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    fn entry(protocol: Protocol, port: u16, state: State) -> Entry {
        let local = Some(([127, 0, 0, 1], port).into());
        Entry { protocol, state, local, remote: None, uid: None, inode: 0, ends_in_ms: None }
    }

    #[test]
    fn a_port_counts_once_and_only_if_the_kernel_may_choose_it() {
        let reserved = PortList::parse("42003").expect("a list");
        let mut census = Census::new(Some((42_000, 42_009)), &reserved);
        for (port, state) in [
            (42_000, State::TimeWait),
            (42_000, State::Listen),
            (42_000, State::Established),
            (42_001, State::TimeWait),
            (42_001, State::SynSent),
            (42_002, State::TimeWait),
            (42_003, State::Listen),
            (80, State::Listen),
            (42_010, State::Established),
        ] {
            census.count(&entry(Protocol::Tcp, port, state));
        }
        census.count(&entry(Protocol::Udp, 42_000, State::Close));
        let sum = census.sum();
        let used: Vec<_> = sum.ephemeral.iter().filter(|(.., count)| *count > 0).copied().collect();
        let expected = [
            (Protocol::Tcp, PortState::Listen, 1),
            (Protocol::Tcp, PortState::Established, 1),
            (Protocol::Tcp, PortState::TimeWait, 1),
            (Protocol::Udp, PortState::Bound, 1),
        ];
        assert_eq!(used, expected);
        assert_eq!((sum.range_ports, sum.at_risk), (9, vec![42_000]));
        assert_eq!(sum.ephemeral.len(), PROTOCOLS.len() * PortState::ALL.len());
    }

    #[test]
    fn without_a_range_nothing_counts() {
        let mut census = Census::new(None, &PortList::default());
        census.count(&entry(Protocol::Tcp, 42_000, State::Listen));
        assert!(census.sum().at_risk.is_empty() && census.sum().range_ports == 0);
    }

    #[test]
    fn real_sockets_of_this_host_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let client = TcpStream::connect(at).expect("a connection");
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let seen = Occupancy::read();
        assert!(seen.unreadable.is_empty(), "{seen:?}");
        assert!(seen.at_risk.contains(&at.port()), "{} in {:?}", at.port(), seen.at_risk);
        let of = |protocol, state| {
            seen.ephemeral
                .iter()
                .find(|(p, s, _)| (*p, *s) == (protocol, state))
                .map_or(0, |(.., count)| *count)
        };
        assert_eq!(of(Protocol::Tcp, PortState::Listen), seen.at_risk.len() as u64);
        assert!(of(Protocol::Tcp, PortState::Established) >= 1 && of(Protocol::Udp, PortState::Bound) >= 1);
        let in_use: u64 = seen.ephemeral.iter().map(|(.., count)| count).sum();
        assert!(in_use <= 2 * seen.range_ports);
        drop((client, udp));
    }
}
