//! Why two addresses clash, by the kernel's rule.

use super::world::of_cause;
use crate::model::{Cause, Conflict, Protocol, SocketOptions};
use crate::rule::{self, Endpoint, Era, Local, Lookup, Table};
use crate::why::clash::explain;
use std::net::{IpAddr, SocketAddr};

fn between(wanted: &str, local: &str) -> Conflict {
    let mut conflict = of_cause(Cause::Listener);
    conflict.address = wanted.parse().expect("an address");
    let local: IpAddr = local.parse().expect("an address");
    conflict.holders[0].local = Some(SocketAddr::new(local, 50010));
    conflict
}

fn with(mut conflict: Conflict, ours: SocketOptions, theirs: SocketOptions) -> Conflict {
    (conflict.options, conflict.holders[0].options) = (Some(ours), Some(theirs));
    conflict
}

const PLAIN: SocketOptions = SocketOptions { reuse_address: false, reuse_port: false, v6_only: false };
const REUSE: SocketOptions = SocketOptions { reuse_address: true, ..PLAIN };
const REUSE_PORT: SocketOptions = SocketOptions { reuse_port: true, ..PLAIN };

#[test]
fn addresses_are_explained_pair_by_pair() {
    for (wanted, local, part) in [
        ("0.0.0.0", "0.0.0.0", "Both want the port on every IPv4 address"),
        ("0.0.0.0", "10.0.0.5", "0.0.0.0 means every IPv4 address of the host, 10.0.0.5 among them"),
        ("10.0.0.5", "0.0.0.0", "holder has the port on 0.0.0.0, every IPv4 address of the host, 10.0.0.5"),
        ("10.0.0.5", "10.0.0.5", "the same address and port, 10.0.0.5:50010"),
        ("10.0.0.5", "::ffff:10.0.0.5", "the same address and port"),
        ("::", "::", "Both want the port on every address ([::])"),
        ("::", "::1", "[::] means every address of the host, ::1 among them"),
        ("::1", "::", "holder has the port on [::], every address of the host, ::1 among them"),
        ("::1", "::1", "the same address and port, [::1]:50010"),
        (
            "0.0.0.0",
            "::",
            "The holder's [::] takes the port for IPv4 as well, since IPV6_V6ONLY is not set on it",
        ),
        ("10.0.0.5", "::", "The holder's [::] takes the port for IPv4 as well"),
        (
            "::",
            "0.0.0.0",
            "[::] takes the port for IPv4 as well, since IPV6_V6ONLY is not set on it, and there",
        ),
        ("::", "10.0.0.5", "and there the holder has it (10.0.0.5:50010)"),
        ("0.0.0.0", "2001:db8::1", "0.0.0.0 is IPv4 and 2001:db8::1 is IPv6, and they clash all the same"),
    ] {
        let text = explain(&with(between(wanted, local), PLAIN, PLAIN));
        assert!(text.contains(part), "{wanted} against {local}: {text}");
    }
}

/// An explanation is given for exactly the pairs that the rule says clash.
#[test]
fn explanation_and_rule_agree() {
    let addresses = ["0.0.0.0", "10.0.0.5", "10.0.0.6", "::", "::1", "2001:db8::1", "::ffff:10.0.0.5"];
    let era = Era { orphans_are_roots: false, lookup: Lookup::ByAddress };
    let endpoint = |address: IpAddr, only: bool| Endpoint {
        netns: 1,
        port: 50010,
        local: match address {
            IpAddr::V4(v4) => Local::V4(v4.octets()),
            IpAddr::V6(address) => Local::V6 { address, only },
        },
        device: 0,
        table: Table::Tcp,
        reuse: false,
        reuseport: false,
        grouped: false,
        uid: 0,
        state: crate::model::State::Listen,
        orphan: false,
    };
    for (a, b) in addresses.iter().flat_map(|a| addresses.map(|b| (a, b))) {
        for (a_only, b_only) in [(false, false), (false, true), (true, false), (true, true)] {
            let only = |v6_only| SocketOptions { v6_only, ..PLAIN };
            let conflict = with(between(a, b), only(a_only), only(b_only));
            let is_explained = !explain(&conflict).contains("The kernel counted");
            let (a_ip, b_ip) = (a.parse().expect("an address"), b.parse().expect("an address"));
            let clashes = rule::conflicts(&endpoint(a_ip, a_only), &endpoint(b_ip, b_only), era);
            // Where the rule says no, no refusal comes of it, and the words do not matter.
            assert!(is_explained || !clashes, "{a} (only {a_only}) against {b} (only {b_only})");
        }
    }
}

#[test]
fn reuse_is_told_as_it_was_set() {
    let listening = |ours, theirs| explain(&with(between("0.0.0.0", "0.0.0.0"), ours, theirs));
    assert!(
        listening(REUSE, PLAIN)
            .contains("nginx.service did set, does not help against a socket that listens")
    );
    assert!(listening(PLAIN, REUSE).contains("SO_REUSEADDR would not help"));
    let client = |ours, theirs| explain(&with(of_cause(Cause::EphemeralClient), ours, theirs));
    assert!(client(REUSE, PLAIN).contains("the holder's had not, as is usual for a client"));
    assert!(client(PLAIN, REUSE).contains("had nginx.service set it too, they could have shared the port"));
    assert!(client(PLAIN, PLAIN).contains("Neither socket had SO_REUSEADDR"));
    assert!(!client(REUSE, REUSE).contains("SO_REUSEADDR"), "that is not what they clash about");
    assert!(
        client(REUSE_PORT, PLAIN)
            .contains("nginx.service also set SO_REUSEPORT; the holder's socket did not")
    );
    assert!(
        client(PLAIN, REUSE_PORT).contains("The holder's socket had SO_REUSEPORT; nginx.service had not")
    );
    let unknown = |ours: Option<SocketOptions>| {
        let mut conflict = of_cause(Cause::EphemeralClient);
        (conflict.options, conflict.holders[0].options) = (ours, None);
        explain(&conflict)
    };
    assert!(unknown(Some(REUSE)).contains("whether the holder's had is not known"));
    assert!(unknown(None).contains("whether they had is not known"));
}

#[test]
fn udp_shares_whoever_listens_nowhere() {
    let mut conflict = with(between("0.0.0.0", "0.0.0.0"), REUSE, PLAIN);
    conflict.protocol = Protocol::Udp;
    assert!(explain(&conflict).contains("helps only if both sockets have it"));
}

#[test]
fn a_port_is_told_by_its_place_in_the_range() {
    let told = |in_range, reserved| {
        let mut conflict = of_cause(Cause::EphemeralClient);
        (conflict.range.in_range, conflict.range.reserved) = (in_range, reserved);
        explain(&conflict)
    };
    assert!(
        told(true, false)
            .contains("32768-60999 and was not reserved, so the kernel may give it to any client")
    );
    assert!(told(true, true).contains("it was reserved by then, but had been given before"));
    assert!(told(false, false).contains("lies outside the ephemeral range 32768-60999 by now"));
    assert!(!explain(&of_cause(Cause::Listener)).contains("range"), "who asked by number was given nothing");
}

#[test]
fn a_refused_listen_says_why_bind_went_well() {
    let mut conflict = with(between("0.0.0.0", "0.0.0.0"), REUSE, REUSE);
    conflict.operation = crate::model::Operation::Listen;
    assert!(explain(&conflict).contains("bind() had gone well, because both sockets had set SO_REUSEADDR"));
    conflict.holders[0].options = None;
    assert!(explain(&conflict).contains("though bind() had gone well"));
}
