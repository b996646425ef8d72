//! The rule against tables: addresses cell by cell, then who allows what.

use super::{Endpoint, Era, Local, Lookup, Table, conflicts};
use crate::model::State;

const ERA: Era = Era { orphans_are_roots: false, lookup: Lookup::ByAddress };

fn local(text: &str) -> Local {
    let (address, only) = match text.strip_suffix(" only") {
        Some(address) => (address, true),
        None => (text, false),
    };
    match address.parse().expect("an address") {
        std::net::IpAddr::V4(v4) => Local::V4(v4.octets()),
        std::net::IpAddr::V6(address) => Local::V6 { address, only },
    }
}

fn tcp(text: &str) -> Endpoint {
    Endpoint {
        netns: 1,
        port: 4000,
        local: local(text),
        device: 0,
        table: Table::Tcp,
        reuse: false,
        reuseport: false,
        grouped: false,
        uid: 1000,
        state: State::Close,
        orphan: false,
    }
}

fn udp(text: &str) -> Endpoint {
    Endpoint { table: Table::Udp, ..tcp(text) }
}

/// Rows are binders, columns holders; `x` is a conflict.
const HOLDERS: [&str; 8] =
    ["127.0.0.1", "127.0.0.2", "0.0.0.0", "::1 only", "::1", "::2 only", "::", ":: only"];
const MATRIX: [(&str, &str); 8] = [
    ("127.0.0.1", "x.x...x."),
    ("127.0.0.2", ".xx...x."),
    ("::ffff:127.0.0.1", "x.x...x."),
    ("0.0.0.0", "xxx.x.x."),
    ("::1 only", "...xx.xx"),
    ("::2 only", ".....xxx"),
    ("::", "xxxxxxxx"),
    (":: only", "...xxxxx"),
];

#[test]
fn addresses_overlap_as_in_the_kernel() {
    for (binder, cells) in MATRIX {
        for (holder, cell) in HOLDERS.iter().zip(cells.chars()) {
            for endpoint in [tcp, udp] {
                assert_eq!(
                    conflicts(&endpoint(binder), &endpoint(holder), ERA),
                    cell == 'x',
                    "binder {binder}, holder {holder}"
                );
            }
        }
    }
}

#[test]
fn the_placeholder_address_is_not_free_beside_an_ipv6_client() {
    let before = Era { lookup: Lookup::ByPort, ..ERA };
    assert!(conflicts(&tcp("127.0.0.6"), &tcp("::1"), before));
    // Found by the prover on 6.12 and 6.18, seed 1, arrangement 387: the table by address keeps them apart.
    assert!(!conflicts(&tcp("127.0.0.6"), &tcp("::1"), ERA));
    // A wildcard still meets everybody, and UDP has no such table.
    assert!(conflicts(&tcp("0.0.0.0"), &tcp("::1"), ERA));
    assert!(conflicts(&udp("127.0.0.6"), &udp("::1"), ERA));
}

#[test]
fn the_first_table_by_address_loses_the_mapped_wildcard() {
    let (binder, holder) = (tcp("::ffff:127.0.0.1"), tcp("::ffff:0.0.0.0"));
    // Found by the prover on 6.1, seed 1, arrangement 601; 5.10 and 6.12 refuse.
    let at_first = Era { lookup: Lookup::ByAddressAtFirst, ..ERA };
    assert!(!conflicts(&binder, &holder, at_first));
    assert!(conflicts(&binder, &holder, ERA));
    assert!(conflicts(&binder, &holder, Era { lookup: Lookup::ByPort, ..ERA }));
    // As AF_INET, or the other way round, it is found.
    assert!(conflicts(&tcp("127.0.0.1"), &holder, at_first));
    assert!(conflicts(&holder, &binder, at_first));
    assert!(conflicts(
        &Endpoint { table: Table::Udp, ..binder },
        &Endpoint { table: Table::Udp, ..holder },
        at_first
    ));
}

#[test]
fn other_ports_namespaces_protocols_and_devices_do_not_conflict() {
    let a = tcp("0.0.0.0");
    assert!(!conflicts(&a, &Endpoint { port: 4001, ..a }, ERA));
    assert!(!conflicts(&a, &Endpoint { netns: 2, ..a }, ERA));
    assert!(!conflicts(&a, &udp("0.0.0.0"), ERA));
    let (one, two) = (Endpoint { device: 1, ..a }, Endpoint { device: 2, ..a });
    assert!(!conflicts(&one, &two, ERA));
    assert!(conflicts(&one, &one, ERA));
    assert!(conflicts(&one, &a, ERA) && conflicts(&a, &one, ERA));
}

#[test]
fn reuseaddr_helps_only_if_both_set_it_and_nobody_listens() {
    let (plain, reuse) = (tcp("0.0.0.0"), Endpoint { reuse: true, ..tcp("0.0.0.0") });
    assert!(conflicts(&reuse, &plain, ERA));
    assert!(conflicts(&plain, &reuse, ERA));
    assert!(!conflicts(&reuse, &reuse, ERA));
    for state in [State::Established, State::TimeWait, State::Close] {
        assert!(!conflicts(&reuse, &Endpoint { state, ..reuse }, ERA), "{state}");
        assert!(conflicts(&reuse, &Endpoint { state, ..plain }, ERA), "{state}");
    }
    assert!(conflicts(&reuse, &Endpoint { state: State::Listen, ..reuse }, ERA));
    // What counts is the holder's state: a binder that listens itself is the re-check by listen().
    assert!(!conflicts(&Endpoint { state: State::Listen, ..reuse }, &reuse, ERA));
}

#[test]
fn reuseport_wants_the_same_user() {
    let a = Endpoint { reuseport: true, state: State::Listen, ..tcp("0.0.0.0") };
    let other = Endpoint { uid: 0, ..a };
    assert!(!conflicts(&a, &a, ERA));
    assert!(conflicts(&a, &other, ERA));
    assert!(!conflicts(&a, &Endpoint { state: State::TimeWait, ..other }, ERA));
    assert!(conflicts(&Endpoint { grouped: true, ..a }, &a, ERA));
    assert!(conflicts(&a, &Endpoint { reuseport: false, ..a }, ERA));
}

#[test]
fn udp_knows_no_states() {
    let reuse = Endpoint { reuse: true, state: State::Listen, ..udp("0.0.0.0") };
    assert!(!conflicts(&reuse, &reuse, ERA));
    let reuseport = Endpoint { reuseport: true, state: State::TimeWait, ..udp("0.0.0.0") };
    assert!(conflicts(&reuseport, &Endpoint { uid: 0, ..reuseport }, ERA));
}

#[test]
fn an_orphan_is_roots_until_the_kernel_kept_its_uid() {
    let root = Endpoint { reuseport: true, uid: 0, ..tcp("0.0.0.0") };
    let orphan = Endpoint { uid: 1000, orphan: true, state: State::FinWait2, ..root };
    assert!(!conflicts(&root, &orphan, Era { orphans_are_roots: true, lookup: Lookup::ByAddress }));
    assert!(conflicts(&root, &orphan, Era { orphans_are_roots: false, lookup: Lookup::ByAddress }));
}

#[test]
fn sctp_shares_as_tcp_does_and_meets_nobody_else() {
    let sctp = |text| Endpoint { table: Table::Sctp, ..tcp(text) };
    assert!(conflicts(&sctp("127.0.0.1"), &sctp("0.0.0.0"), ERA));
    assert!(!conflicts(&sctp("127.0.0.1"), &sctp("127.0.0.2"), ERA));
    for other in [tcp, udp] {
        assert!(!conflicts(&sctp("0.0.0.0"), &other("0.0.0.0"), ERA));
        assert!(!conflicts(&other("0.0.0.0"), &sctp("0.0.0.0"), ERA));
    }
    let reuses = |state| Endpoint { reuse: true, state, ..sctp("0.0.0.0") };
    assert!(!conflicts(&reuses(State::Close), &reuses(State::Established), ERA));
    assert!(conflicts(&reuses(State::Close), &reuses(State::Listen), ERA));
}

#[test]
fn a_protocol_that_is_not_known_is_in_nobodys_way() {
    assert_eq!(Table::from_wire(33), Table::Other);
    let other = Endpoint { table: Table::Other, ..tcp("0.0.0.0") };
    assert!(!conflicts(&other, &other, ERA) && !conflicts(&tcp("0.0.0.0"), &other, ERA));
}
