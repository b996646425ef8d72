//! More that must not be reported: EADDRINUSE of what is no port, and sockets that the kernel admits side by side.
//!
//! As in `quiet`, each ends with a real conflict, whose report must be the only one.

use std::fs;

use anyhow::{Context, Result};

use super::Watch::FromTheStart;
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse, ways};
use crate::case::Holder;
use crate::feature::Feature;
use crate::link;
use crate::wire::Transport::{Tcp4, Tcp6, Udp4, Udp6};
use crate::wire::raw::RawCall;
use crate::wire::{Command, Flag};

pub(super) const SCENARIOS: &[Scenario] = &[
    quiet("quiet-v6only-pair-v4-first", Needs::Ipv6, v6only_second),
    quiet("quiet-udp-v6only-pair", Needs::Ipv6, v6only_datagrams),
    quiet("quiet-multicast-pair", Needs::Nothing, multicast_pair),
    quiet("quiet-multicast-joined-twice", Needs::Nothing, joined_twice),
    quiet("quiet-low-port-of-a-user", Needs::Nothing, low_port),
    quiet("quiet-netlink-port-taken", Needs::Nothing, netlink_port),
    quiet("quiet-ping-id-taken", Needs::Feature(Feature::PingSockets), ping_id),
    quiet("quiet-vsock-port-taken", Needs::Feature(Feature::Vsock), vsock_port),
    quiet("quiet-two-devices", Needs::Feature(Feature::SecondDevice), two_devices),
];

/// Something that is none of portwatch's business, and then a conflict that is.
const fn quiet(name: &'static str, needs: Needs, hold: fn(&mut Stage) -> Result<Holder>) -> Scenario {
    Scenario {
        name,
        watch: FromTheStart,
        needs,
        hold,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    }
}

/// The conflict that ends each.
fn conflict(stage: &mut Stage) -> Result<Holder> {
    hold::bind0(stage, "thief-bind0", Tcp4)
}

fn v6only_second(stage: &mut Stage) -> Result<Holder> {
    hold::listener(stage, "v4only", Tcp4, &[], Tcp4.wildcard(SERVICE_PORT))?;
    hold::listener(stage, "v6only", Tcp6, &[Flag::V6Only], Tcp6.wildcard(SERVICE_PORT))?;
    conflict(stage)
}

fn v6only_datagrams(stage: &mut Stage) -> Result<Holder> {
    ways::bound_with(stage, "v6only", Udp6, &[Flag::V6Only], Udp6.wildcard(SERVICE_PORT))?;
    ways::bound_with(stage, "v4only", Udp4, &[], Udp4.wildcard(SERVICE_PORT))?;
    conflict(stage)
}

/// What every mDNS daemon does beside another.
fn multicast_pair(stage: &mut Stage) -> Result<Holder> {
    for comm in ["mdns-1", "mdns-2"] {
        ways::bound_with(stage, comm, Udp4, &[Flag::ReuseAddress], Udp4.wildcard(5353))?;
    }
    conflict(stage)
}

/// EADDRINUSE of setsockopt(): a member already.
fn joined_twice(stage: &mut Stage) -> Result<Holder> {
    let mut neighbour = stage.actor("neighbour")?;
    let socket = neighbour.open(Udp4, &[])?;
    // struct ip_mreq: group and interface.
    let join = ways::set(socket, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &[224, 0, 0, 251, 127, 0, 0, 1]);
    neighbour.must(&join)?;
    ways::expect(&mut neighbour, &join, libc::EADDRINUSE)?;
    stage.keep(neighbour);
    conflict(stage)
}

/// EACCES, of a port that is even taken.
fn low_port(stage: &mut Stage) -> Result<Holder> {
    hold::listener(stage, "web", Tcp4, &[], Tcp4.wildcard(80))?;
    let mut neighbour = stage.actor("neighbour")?;
    neighbour.must(&Command::BecomeUser(1000))?;
    let socket = neighbour.open(Tcp4, &[])?;
    ways::expect(&mut neighbour, &Command::Bind(socket, Tcp4.wildcard(80)), libc::EACCES)?;
    stage.keep(neighbour);
    conflict(stage)
}

fn netlink_port(stage: &mut Stage) -> Result<Holder> {
    let family = u16::try_from(libc::AF_NETLINK)?.to_ne_bytes();
    // struct sockaddr_nl: family, padding, port, groups.
    let address = [&family[..], &[0; 2], &4_242_u32.to_ne_bytes(), &[0; 4]].concat();
    taken_twice(stage, libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE, &address)
}

/// The number of an echo request is kept like a port and is none.
fn ping_id(stage: &mut Stage) -> Result<Holder> {
    let path = "/proc/sys/net/ipv4/ping_group_range";
    stage.netns.within(|| fs::write(path, "0 2147483647").with_context(|| format!("writing {path}")))?;
    let family = u16::try_from(libc::AF_INET)?.to_ne_bytes();
    let address = [&family[..], &SERVICE_PORT.to_be_bytes(), &[127, 0, 0, 1], &[0; 8]].concat();
    taken_twice(stage, libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP, &address)
}

fn vsock_port(stage: &mut Stage) -> Result<Holder> {
    let family = u16::try_from(libc::AF_VSOCK)?.to_ne_bytes();
    // struct sockaddr_vm: family, padding, port, machine. The namespace is everybody's: the number is the lineup's own.
    let port = 1_000_000 + std::process::id();
    let address =
        [&family[..], &[0; 2], &port.to_ne_bytes(), &libc::VMADDR_CID_ANY.to_ne_bytes(), &[0; 4]].concat();
    taken_twice(stage, libc::AF_VSOCK, libc::SOCK_STREAM, 0, &address)
}

/// Two sockets of a family without TCP or UDP ports, and EADDRINUSE for the second.
fn taken_twice(stage: &mut Stage, family: i32, kind: i32, protocol: i32, address: &[u8]) -> Result<Holder> {
    let mut neighbour = stage.actor("neighbour")?;
    for errno in [0, libc::EADDRINUSE] {
        let socket = ways::open(&mut neighbour, family, kind, protocol)?;
        // Ping sockets come with SO_REUSEADDR set, which admits the second.
        neighbour.must(&ways::set(socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &[0; 4]))?;
        ways::expect(&mut neighbour, &Command::Raw(RawCall::Bind(socket, address.to_vec())), errno)?;
    }
    stage.keep(neighbour);
    conflict(stage)
}

/// The same number on two devices is two ports.
fn two_devices(stage: &mut Stage) -> Result<Holder> {
    link::make(&stage.netns)?;
    for (comm, device) in [("on-lo", "lo"), ("on-second", link::SECOND)] {
        let device: &[_] = &[(libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device.as_bytes())];
        ways::listener_with(stage, comm, Tcp4, device, Tcp4.wildcard(SERVICE_PORT))?;
    }
    conflict(stage)
}
