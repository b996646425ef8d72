//! Who stands on the ports of one range, for one protocol: what the kernel's choice depends on. Pure.

use crate::model::{Protocol, State};
use crate::owner::socket_tables::Entry;
use crate::ports::PortList;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

/// Where a walk of `connect()` belongs to: a local address and whom it connects to.
pub(super) type Peer = (IpAddr, SocketAddr);

/// The ports of a range.
#[derive(Clone, Debug)]
pub(super) struct Land {
    pub(super) protocol: Protocol,
    pub(super) low: u16,
    pub(super) high: u16,
    reserved: PortList,
    /// Listening or bound only: nobody may connect from there.
    stands: HashSet<u16>,
    listens: HashSet<u16>,
    /// Ports of connections, by peer: of clients, and of accepted ones until they are told apart.
    connected: HashMap<Peer, HashSet<u16>>,
    /// Ports of connections, whoever's.
    used: HashSet<u16>,
    /// Connections by port.
    on_port: HashMap<u16, u32>,
    /// Of those: closed first by this side, and waiting.
    waiting: HashMap<u16, u32>,
    /// Sockets whose port the kernel may just have chosen: what stands there and since when is in the inode.
    standing: HashSet<(u16, u64)>,
}

impl Land {
    pub(super) fn new(protocol: Protocol, (low, high): (u16, u16), reserved: PortList) -> Self {
        Self {
            protocol,
            low,
            high,
            reserved,
            stands: HashSet::new(),
            listens: HashSet::new(),
            connected: HashMap::new(),
            used: HashSet::new(),
            on_port: HashMap::new(),
            waiting: HashMap::new(),
            standing: HashSet::new(),
        }
    }

    /// Takes a socket in.
    pub(super) fn add(&mut self, entry: &Entry) {
        let Some(local) = entry.local.filter(|local| self.is_in_range(local.port())) else { return };
        let port = local.port();
        match entry.remote {
            Some(remote) if entry.state != State::Listen => {
                self.connected.entry((local.ip(), remote)).or_default().insert(port);
                self.used.insert(port);
                *self.on_port.entry(port).or_default() += 1;
                if entry.state == State::TimeWait {
                    *self.waiting.entry(port).or_default() += 1;
                }
                if entry.protocol.is_datagram() {
                    self.standing.insert((port, entry.inode));
                }
            }
            _ => {
                self.stands.insert(port);
                self.standing.insert((port, entry.inode));
                if entry.state == State::Listen {
                    self.listens.insert(port);
                }
            }
        }
    }

    /// All are in: connections on the port of a listener are its own, and no clients.
    pub(super) fn close(&mut self) {
        let listens = &self.listens;
        for ports in self.connected.values_mut() {
            ports.retain(|port| !listens.contains(port));
        }
        self.connected.retain(|_, ports| !ports.is_empty());
    }

    pub(super) fn is_in_range(&self, port: u16) -> bool {
        (self.low..=self.high).contains(&port)
    }

    pub(super) fn is_reserved(&self, port: u16) -> bool {
        self.reserved.contains(port)
    }

    /// Ports of the range that the kernel may choose.
    pub(super) fn choosable(&self) -> u32 {
        (self.low..=self.high).filter(|port| !self.is_reserved(*port)).count().try_into().unwrap_or(u32::MAX)
    }

    /// Whether connections may start from here, as far as listeners and sockets that are only bound let them.
    pub(super) fn is_open_to_clients(&self, port: u16) -> bool {
        !self.is_reserved(port) && !self.stands.contains(&port)
    }

    /// Ports that somebody is on; each once.
    pub(super) fn used(&self) -> impl Iterator<Item = u16> {
        self.stands.union(&self.used).copied()
    }

    /// Sockets that the kernel has chosen a port for, as far as the tables tell: connected, and not through a listener.
    pub(super) fn clients(&self) -> u64 {
        self.connected.values().map(|ports| ports.len() as u64).sum()
    }

    /// Datagram sockets with a port, or TCP sockets that stand on one without being connected.
    pub(super) fn sockets(&self) -> u64 {
        self.standing.len() as u64
    }

    /// Of the clients: in TIME_WAIT.
    pub(super) fn waiting_clients(&self) -> u64 {
        let of_clients = self.waiting.iter().filter(|(port, _)| !self.listens.contains(port));
        of_clients.map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether somebody listens there, so that the connections on it are the listener's own.
    pub(super) fn listens(&self, port: u16) -> bool {
        self.listens.contains(&port)
    }

    /// Connections on a port, of whatever kind.
    pub(super) fn connections_on(&self, port: u16) -> u32 {
        self.on_port.get(&port).copied().unwrap_or_default()
    }

    /// Connections of clients and how many peers they go to, which have about as many each. Few groups, however many peers.
    pub(super) fn walks(&self) -> Vec<(u64, u64)> {
        let size = |count: u64| match count {
            0..=16 => count,
            // Two groups each time that it doubles.
            more => 16 + u64::from(more.ilog2()) * 2 + (more >> (more.ilog2() - 1) & 1),
        };
        let mut walks: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for ports in self.connected.values() {
            let count = ports.len() as u64;
            let (connections, peers) = walks.entry(size(count)).or_default();
            *connections += count;
            *peers += 1;
        }
        if walks.is_empty() { vec![(1, 1)] } else { walks.into_values().collect() }
    }
}
