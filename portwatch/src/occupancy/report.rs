//! One range of one protocol for the report of a refusal: how full it is, and with what.

use super::destinations::{Pair, Share};
use super::{BoundPorts, Census, PROTOCOLS, Uses};
use crate::model::{Destination, Exhaustion, PortState, PortsInUse, Protocol};
use crate::owner::netns;
use crate::owner::socket_tables::{self, Bounds, States};
use crate::ports::PortList;
use std::time::Instant;

/// Destinations that are told.
const TOLD: usize = 5;
/// Bytes of a reserved list that are told.
const LIST_BYTES: usize = 200;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// TCP or UDP.
    pub(crate) protocol: Protocol,
    /// First port of the range.
    pub(crate) low: u16,
    /// Last port.
    pub(crate) high: u16,
    /// TCP ports that a process is known to have bound.
    pub(crate) bound: BoundPorts,
    /// Where a connection wanted to go, and from which address.
    pub(crate) wanted: Option<Pair>,
    /// When to stop counting.
    pub(crate) until: Instant,
}

/// The answer, with which a question about another destination can be answered too.
pub(crate) struct Full {
    exhaustion: Exhaustion,
    uses: Uses,
    /// `ip_local_port_range`.
    pub(crate) range: Option<(u16, u16)>,
    /// `tcp_timestamps`.
    pub(crate) timestamps: Option<bool>,
    /// Ports that the kernel may not choose and on which somebody waits for others: TCP listeners, and UDP sockets without a
    /// peer.
    pub(crate) listeners: PortList,
}

impl Full {
    /// Looks, in the network namespace of the calling thread; `None` for a protocol that has no table.
    pub(crate) fn look(question: &Question) -> Option<Self> {
        let index = PROTOCOLS.iter().position(|one| *one == question.protocol)?;
        let (low, high) = (question.low, question.high);
        let reserved = PortList::parse(&netns::reserved_here().unwrap_or_default()).unwrap_or_default();
        let mut census = Census::new(Some((low, high)), &reserved);
        census.uses[index].destinations = super::Destinations::with(question.wanted);
        let unseen = census.look(question.protocol, &question.bound, Some(question.until));
        let inside = within(&reserved, low, high);
        let exhaustion = Exhaustion {
            low,
            high,
            reserved: inside.count(),
            reserved_list: shortened(&inside.to_string()),
            ports: u32::try_from(census.counts.iter().filter(|counts| **counts).count()).unwrap_or(0),
            close_wait: census.uses[index].close_wait,
            time_wait_reuse: census.time_wait.reuse,
            unseen,
            ..summed(&census.uses[index])
        };
        let listeners = listeners(&census.counts, question.until);
        let uses = census.uses.into_iter().nth(index)?;
        let (range, timestamps) = (netns::port_range(), census.time_wait.timestamps);
        Some(Self { exhaustion, uses, range, timestamps, listeners })
    }

    /// For a refused call towards a destination, if it had one.
    pub(crate) fn towards(&self, wanted: Option<Pair>) -> Exhaustion {
        let destination = wanted.and_then(|pair| Some(told((pair, self.uses.destinations.of(pair)?))));
        Exhaustion { destination, ..self.exhaustion.clone() }
    }
}

fn summed(uses: &Uses) -> Exhaustion {
    let mut in_use = PortsInUse::default();
    for state in PortState::ALL {
        let count = uses.states.iter().filter(|one| **one == Some(state)).count();
        *in_use.of_mut(state) = u32::try_from(count).unwrap_or(u32::MAX);
    }
    let unavailable = uses.held();
    Exhaustion {
        in_use,
        unavailable,
        shared: in_use.total().saturating_sub(unavailable),
        destinations: uses.destinations.most(TOLD).into_iter().map(told).collect(),
        ..Exhaustion::default()
    }
}

fn told(((local, remote), Share { ports, time_wait }): (Pair, Share)) -> Destination {
    Destination { local, remote, ports, time_wait }
}

/// The part of a list that lies in a range.
fn within(list: &PortList, low: u16, high: u16) -> PortList {
    let mut inside = list.clone();
    if let Some(below) = low.checked_sub(1) {
        inside.remove(0, below);
    }
    if let Some(above) = high.checked_add(1) {
        inside.remove(above, u16::MAX);
    }
    inside
}

/// Cut behind a whole entry.
fn shortened(list: &str) -> String {
    let Some(head) = list.get(..LIST_BYTES).filter(|head| head.len() < list.len()) else {
        return list.to_owned();
    };
    let end = head.rfind(',').map_or(0, |comma| comma + 1);
    format!("{}…", &head[..end])
}

fn listeners(counts: &[bool], until: Instant) -> PortList {
    let mut is_waiting = vec![false; counts.len()];
    for protocol in PROTOCOLS {
        let bounds = Bounds { states: States::Unconnected, until: Some(until), ports: None };
        let unreadable = socket_tables::each(protocol, bounds, &mut |entry| {
            let is_listener = protocol != Protocol::Tcp || entry.state == crate::model::State::Listen;
            if let Some(local) = entry.local.filter(|_| is_listener) {
                is_waiting[usize::from(local.port())] = true;
            }
        });
        drop(unreadable);
    }
    let mut list = PortList::default();
    for port in (1..=u16::MAX).filter(|port| is_waiting[usize::from(*port)] && !counts[usize::from(*port)]) {
        list.insert(port, port);
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_cut_to_the_range_and_to_a_length() {
        let list = PortList::parse("1-10,40000-40010,60000-65535").expect("a list");
        assert_eq!(within(&list, 40_005, 60_000).to_string(), "40005-40010,60000");
        assert_eq!(within(&list, 0, 65_535), list);
        let long = (0..200).map(|port| (30_000 + 2 * port).to_string()).collect::<Vec<_>>().join(",");
        let cut = shortened(&long);
        assert!(cut.len() <= LIST_BYTES + '…'.len_utf8() && cut.ends_with(",…"), "{cut}");
        assert_eq!(shortened("80"), "80");
    }
}
