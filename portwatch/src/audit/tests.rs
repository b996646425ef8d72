//! The reckoning on made-up ranges, and what it is made of.

use super::choice;
use super::land::Land;
use super::odds::{self, Downtime, Pace};
use crate::model::{DowntimeSource, Odds, Protocol, State};
use crate::owner::socket_tables::Entry;
use crate::ports::PortList;
use proptest::prelude::*;
use std::net::SocketAddr;
use std::time::Duration;

const RANGE: (u16, u16) = (42_000, 42_099);

fn land(protocol: Protocol, reserved: &str, entries: &[Entry]) -> Land {
    let mut land = Land::new(protocol, RANGE, PortList::parse(reserved).expect("a list"));
    entries.iter().for_each(|entry| land.add(entry));
    land.close();
    land
}

fn tcp(port: u16, state: State, remote: Option<&str>) -> Entry {
    Entry {
        protocol: Protocol::Tcp,
        state,
        local: Some(SocketAddr::from(([10, 0, 0, 1], port))),
        remote: remote.map(|text| text.parse().expect("an address")),
        uid: None,
        inode: u64::from(port),
        ends_in_ms: None,
    }
}

fn client(port: u16) -> Entry {
    tcp(port, State::Established, Some("10.0.0.9:443"))
}

fn listener(port: u16) -> Entry {
    tcp(port, State::Listen, None)
}

/// Connections a second, for a time.
fn reckoned(land: &Land, port: u16, connects: f64, seconds: f64) -> Odds {
    let downtime = Downtime { time: Duration::from_secs_f64(seconds), from: DowntimeSource::Given };
    odds::odds(land, port, Pace { connects, binds: 0.0 }, downtime)
}

#[test]
fn a_host_without_clients_loses_nothing() {
    let odds = reckoned(&land(Protocol::Tcp, "", &[listener(42_050)]), 42_050, 0.0, 60.0);
    assert_eq!((odds.restart, odds.long_stop, odds.clients), (0.0, 0.0, 0));
    assert!(odds.next_assignment > 0.0, "the first client may get it all the same: {odds:?}");
}

#[test]
fn the_other_parity_is_spared_until_the_first_is_used_up() {
    let all: Vec<_> = (42_000..42_100).step_by(2).filter(|port| *port != 42_050).collect();
    let some: Vec<_> = all.iter().take(10).map(|port| client(*port)).collect();
    let few = land(Protocol::Tcp, "", &some);
    assert!(reckoned(&few, 42_050, 10.0, 1.0).restart > 0.1);
    assert_eq!(reckoned(&few, 42_051, 10.0, 1.0).long_stop, 0.0);
    let reserved: Vec<_> = (42_000..42_100).step_by(2).map(|port| port.to_string()).collect();
    let used_up = land(Protocol::Tcp, &reserved.join(","), &[client(42_001), client(42_003)]);
    assert!(reckoned(&used_up, 42_051, 10.0, 1.0).restart > 0.01);
}

#[test]
fn a_port_after_a_block_is_nearly_certain() {
    let clients: Vec<_> = (42_060..42_080).step_by(2).map(client).collect();
    let plain = reckoned(&land(Protocol::Tcp, "", &clients), 42_042, 10.0, 1.0);
    let after = reckoned(&land(Protocol::Tcp, "42002-42041", &clients), 42_042, 10.0, 1.0);
    assert_eq!((plain.run, after.run), (0, 20));
    assert!(plain.restart < 0.3 && after.restart > 0.8, "{plain:?} {after:?}");
}

#[test]
fn a_listener_s_own_connections_are_no_clients_and_keep_its_port() {
    let own = tcp(42_050, State::TimeWait, Some("10.0.0.7:50000"));
    let seen = land(Protocol::Tcp, "", &[listener(42_050), own, client(42_010)]);
    assert_eq!((seen.clients(), seen.waiting_clients(), seen.connections_on(42_050)), (1, 0, 1));
    let odds = reckoned(&seen, 42_050, 5.0, 1.0);
    assert_eq!((odds.restart, odds.own_connections), (0.0, 1));
    assert!(odds.idle_restart > 0.0);
}

#[test]
fn no_more_are_given_away_than_are_held_at_an_instant() {
    let seen = land(Protocol::Tcp, "", &[client(42_010), client(42_020)]);
    let (short, long) = (reckoned(&seen, 42_050, 1_000.0, 1.0), reckoned(&seen, 42_050, 1_000.0, 3_600.0));
    assert_eq!(short.restart, long.restart);
    assert!(long.restart < 0.1, "two clients take two ports: {long:?}");
}

#[test]
fn time_wait_tells_of_the_last_minute() {
    let waiting: Vec<_> =
        (42_000..42_060).step_by(2).map(|port| tcp(port, State::TimeWait, Some("10.0.0.9:443"))).collect();
    let seen = land(Protocol::Tcp, "", &waiting);
    let pace = Pace::measured(0, 0, seen.waiting_clients(), Duration::from_secs(1));
    assert_eq!(pace.connects, 0.5);
}

#[test]
fn datagrams_take_any_free_port() {
    let udp = |port: u16| Entry { protocol: Protocol::Udp, ..tcp(port, State::Close, None) };
    let seen = land(Protocol::Udp, "42002-42041", &[udp(42_050), udp(42_051), udp(42_052)]);
    let chance = choice::datagrams(&seen, 42_050, 1.0);
    assert!((chance.next - 1.0 / 58.0).abs() < 1e-9, "100 less 40 reserved and 2 others: {chance:?}");
}

#[test]
fn peers_are_few_groups_however_many_there_are() {
    let mut entries = Vec::new();
    for peer in 0..100_u16 {
        let remote = format!("10.0.2.{peer}:443");
        entries.extend((0..=peer).map(|port| tcp(42_000 + port, State::Established, Some(&remote))));
    }
    let walks = land(Protocol::Tcp, "", &entries).walks();
    assert_eq!(walks.iter().map(|(_, peers)| peers).sum::<u64>(), 100);
    assert_eq!(walks.iter().map(|(connections, _)| connections).sum::<u64>(), entries.len() as u64);
    assert!(walks.len() <= 24, "{walks:?}");
}

proptest! {
    /// Whatever stands there: probabilities are probabilities, and one assignment takes one port.
    #[test]
    fn what_is_given_away_is_given_to_somebody(
        clients in proptest::collection::vec((42_000_u16..42_100, 0_u8..6), 1..40),
        reserved in proptest::collection::vec((42_000_u16..42_100, 0_u16..12), 0..4),
        share in 0.0_f64..1.0,
    ) {
        let list: Vec<_> = reserved.iter().map(|(low, more)| format!("{low}-{}", low + more)).collect();
        let entries: Vec<_> = clients
            .iter()
            .map(|(port, peer)| tcp(*port, State::Established, Some(&format!("10.0.1.{peer}:443"))))
            .collect();
        let land = land(Protocol::Tcp, &list.join(","), &entries);
        let mut sum = 0.0;
        for port in (42_000..42_100).step_by(2) {
            let chance = choice::connections(&land, port, share);
            prop_assert!((0.0..=1.0).contains(&chance.taken) && (0.0..=1.0).contains(&chance.next), "{chance:?}");
            if !land.is_reserved(port) {
                sum += chance.next;
            }
        }
        // Of the ports that the peers have themselves only some are free for them.
        prop_assert!((0.5..=2.1).contains(&sum), "{sum}");
    }
}

#[test]
fn the_document_has_every_kind() {
    let document = include_str!("../../../docs/audit.md");
    for kind in crate::model::FindingKind::ALL {
        assert!(document.contains(&format!("| `{kind}` |")), "{kind} is not in docs/audit.md");
    }
}
