//! What counts as what, and what a real look gives.

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

fn unavailable(census: &Census) -> Vec<u64> {
    census.sum().unavailable.iter().map(|(.., count)| *count).collect()
}

#[test]
fn a_source_port_is_full_only_towards_its_destinations() {
    let mut census = Census::new(Some((42_000, 42_009)), &PortList::default());
    let mut connect = |port, to: u8, state| {
        let remote = Some(([10, 0, 0, to], 443).into());
        census.count(&Entry { remote, ..entry(Protocol::Tcp, port, state) });
    };
    for port in 42_000..42_006 {
        connect(port, 1, State::Established);
        connect(port, 2, State::CloseWait);
    }
    connect(42_006, 2, State::TimeWait);
    assert_eq!(unavailable(&census), [0, 7, 0, 0], "seven ports towards the second, in thirteen sockets");
    census.count(&entry(Protocol::Tcp, 42_008, State::Listen));
    census.count(&entry(Protocol::Tcp, 42_009, State::Close));
    assert_eq!(unavailable(&census), [2, 9, 0, 0]);
    assert_eq!(census.uses[0].close_wait, 6);
    // A port that somebody has bound is nobody's else, whatever it is connected to.
    census.uses[0].held[42_007] = true;
    let remote = Some(([10, 0, 0, 2], 443).into());
    census.count(&Entry { remote, ..entry(Protocol::Tcp, 42_007, State::Established) });
    assert_eq!(unavailable(&census), [3, 10, 0, 0]);
}

#[test]
fn a_bound_connection_that_was_closed_keeps_its_port_from_everybody() {
    let mut census = Census::new(Some((42_000, 42_009)), &PortList::default());
    census.uses[0].held_if_closed[42_000] = true;
    census.uses[0].held_if_closed[42_001] = true;
    let remote = Some(([10, 0, 0, 2], 443).into());
    census.count(&Entry { remote, ..entry(Protocol::Tcp, 42_000, State::TimeWait) });
    census.count(&Entry { remote, ..entry(Protocol::Tcp, 42_001, State::Established) });
    assert_eq!(unavailable(&census), [1, 2, 0, 0], "the second was given to another meanwhile");
}

#[test]
fn a_port_of_udp_is_nobodys_else() {
    let mut census = Census::new(Some((42_000, 42_009)), &PortList::default());
    let remote = Some(([10, 0, 0, 2], 53).into());
    census.count(&Entry { remote, ..entry(Protocol::Udp, 42_000, State::Established) });
    census.count(&entry(Protocol::Udp, 42_001, State::Close));
    assert_eq!(unavailable(&census), [0, 0, 2, 2]);
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
    let seen = Occupancy::read(&BoundPorts::default());
    assert!(seen.unreadable.is_empty(), "{seen:?}");
    assert!(seen.at_risk.contains(&at.port()), "{} in {:?}", at.port(), seen.at_risk);
    let of = |protocol, state| {
        seen.ephemeral.iter().find(|(p, s, _)| (*p, *s) == (protocol, state)).map_or(0, |(.., count)| *count)
    };
    assert_eq!(of(Protocol::Tcp, PortState::Listen), seen.at_risk.len() as u64);
    assert!(of(Protocol::Tcp, PortState::Established) >= 1 && of(Protocol::Udp, PortState::Bound) >= 1);
    let in_use: u64 = seen.ephemeral.iter().map(|(.., count)| count).sum();
    assert!(in_use <= 2 * seen.range_ports);
    drop((client, udp));
}
