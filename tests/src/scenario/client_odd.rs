//! Clients that came to their port in a rarer way than connect() of a fresh socket.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};

use super::Watch::FromTheStart;
use super::{Needs, RANGE, SERVICE_PORT, Scenario, Stage, hold, refuse, ways};
use crate::case::{Holder, state};
use crate::feature::{Feature, IP_LOCAL_PORT_RANGE};
use crate::netns::Range;
use crate::wire::Command;
use crate::wire::Transport::{Mptcp4, Tcp4, Tcp6, UdpLite4};
use crate::wire::raw::{RawCall, RingCall};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "tcp4-client-connecting",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: unanswered,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "tcp4-client-fastopen",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: fast_open,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "tcp4-client-bind-address-no-port",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: address_only,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, Tcp4.wildcard(thief.port())),
    },
    Scenario {
        name: "tcp4-client-local-port-range",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::LocalPortRange),
        hold: range_of_its_own,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "tcp6-client-v4-mapped",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: mapped,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, Tcp4.loopback(thief.port())),
    },
    Scenario {
        name: "tcp6-client-v4-mapped-against-itself",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: mapped,
        refuse: |stage, thief| refuse::bind(stage, Tcp6, thief.local),
    },
    Scenario {
        name: "tcp4-client-fixed-port",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: fixed_port,
        refuse: |stage, client| refuse::bind(stage, Tcp4, client.local),
    },
    Scenario {
        name: "udplite4-client",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::UdpLite),
        hold: |stage| hold::udp_client(stage, "thief-udplite", UdpLite4),
        refuse: |stage, thief| refuse::bind(stage, UdpLite4, thief.local),
    },
    Scenario {
        name: "mptcp4-client",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Mptcp),
        hold: |stage| hold::tcp_client(stage, "thief-mptcp", Mptcp4),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "ring-client",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Ring),
        hold: through_a_ring,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "tcp4-source-port-of-two-clients",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| share_port(stage, &["thief-one", "thief-two"]),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "tcp4-source-port-used-thrice",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| share_port(stage, &["thief-thrice"]),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
];

/// A connect() that nobody answers: the other end's queue is full, so that the kernel drops what comes.
fn unanswered(stage: &mut Stage) -> Result<Holder> {
    let target = Tcp4.loopback(SERVICE_PORT);
    let mut server = stage.actor("busy-server")?;
    let listener = server.open(Tcp4, &[])?;
    server.must(&Command::Bind(listener, target))?;
    server.must(&Command::Raw(RawCall::Listen { socket: listener, backlog: 0 }))?;
    let first = server.open(Tcp4, &[])?;
    server.must(&Command::Connect(first, target))?;
    stage.keep(server);

    let mut thief = stage.actor("thief-waiting")?;
    let socket = ways::open(&mut thief, libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
    let called = ways::expect(&mut thief, &Command::Connect(socket, target), libc::EINPROGRESS)?;
    let mut answer = thief.must(&Command::Raw(RawCall::Describe(socket)))?;
    answer.when = called.when;
    ensure!(answer.reply.remote.is_none(), "the connection was answered after all");
    let holder = Holder { state: state::SYN_SENT, remote: Some(target), ..ways::client(&thief, &answer)? };
    stage.keep(thief);
    Ok(holder)
}

/// sendto() that connects: no connect() is ever called.
fn fast_open(stage: &mut Stage) -> Result<Holder> {
    let to = ways::far_server(stage, Tcp4, SERVICE_PORT)?;
    let mut thief = stage.actor("thief-fastopen")?;
    let socket = thief.open(Tcp4, &[])?;
    let flags = libc::MSG_FASTOPEN.cast_unsigned();
    let answer = thief.must(&Command::Raw(RawCall::Send { socket, flags, to }))?;
    let holder = ways::client(&thief, &answer)?;
    stage.keep(thief);
    Ok(holder)
}

/// bind() of an address alone; the port comes with connect().
fn address_only(stage: &mut Stage) -> Result<Holder> {
    let to = ways::far_server(stage, Tcp4, SERVICE_PORT)?;
    let mut thief = stage.actor("thief-noport")?;
    let socket = thief.open(Tcp4, &[])?;
    thief.must(&ways::set(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1_i32.to_ne_bytes()))?;
    let bound = thief.must(&Command::Bind(socket, Tcp4.loopback(0)))?;
    ensure!(bound.reply.local.is_some_and(|local| local.port() == 0), "bind() gave a port after all");
    ways::connect(stage, thief, socket, to)
}

/// A socket that asked for a range within the range.
fn range_of_its_own(stage: &mut Stage) -> Result<Holder> {
    const LOW: u16 = RANGE.high - 7;
    let to = ways::far_server(stage, Tcp4, SERVICE_PORT)?;
    let mut thief = stage.actor("thief-range")?;
    let socket = thief.open(Tcp4, &[])?;
    let range = u32::from(LOW) | u32::from(RANGE.high) << 16;
    thief.must(&ways::set(socket, libc::IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range.to_ne_bytes()))?;
    let holder = ways::connect(stage, thief, socket, to)?;
    ensure!(holder.port() >= LOW, "the kernel chose {}, outside the socket's own range", holder.local);
    Ok(holder)
}

/// An IPv6 socket that speaks IPv4: it stands in the way of an IPv4 server.
fn mapped(stage: &mut Stage) -> Result<Holder> {
    ways::far_server(stage, Tcp4, SERVICE_PORT)?;
    let mut thief = stage.actor("thief-mapped")?;
    let socket = thief.open(Tcp6, &[])?;
    let to = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), SERVICE_PORT);
    ways::connect(stage, thief, socket, to)
}

/// A client that chose its own number, as firewalls like it.
fn fixed_port(stage: &mut Stage) -> Result<Holder> {
    let to = ways::far_server(stage, Tcp4, SERVICE_PORT)?;
    let mut client = stage.actor("client-fixed")?;
    let socket = client.open(Tcp4, &[])?;
    let bound = client.must(&Command::Bind(socket, Tcp4.loopback(SERVICE_PORT + 1)))?;
    client.must(&Command::Connect(socket, to))?;
    let holder = Holder { state: state::ESTABLISHED, remote: Some(to), ..hold::described(&client, &bound)? };
    stage.keep(client);
    Ok(holder)
}

fn through_a_ring(stage: &mut Stage) -> Result<Holder> {
    let to = ways::far_server(stage, Tcp4, SERVICE_PORT)?;
    let mut thief = stage.actor("thief-ring")?;
    let socket = thief.open(Tcp4, &[])?;
    let answer = thief.must(&ways::ring(socket, RingCall::Connect(to)))?;
    let holder = ways::client(&thief, &answer)?;
    stage.keep(thief);
    Ok(holder)
}

/// Three connections to three servers from the one port that there is, by so many clients. Each stands in the way.
fn share_port(stage: &mut Stage, clients: &[&str]) -> Result<Holder> {
    stage.netns.narrow(Range { high: RANGE.low + 1, ..RANGE })?;
    // connect() gives nobody a port that somebody bound: one is left. (The kernel warns of a range of one.)
    hold::bound(stage, "innocent-bound", Tcp4, Tcp4.loopback(RANGE.low + 1))?;
    let mut clients: Vec<_> = clients.iter().map(|comm| stage.actor(comm)).collect::<Result<_>>()?;
    let mut holders = Vec::new();
    for turn in 0..3_u16 {
        let to = ways::far_server(stage, Tcp4, SERVICE_PORT + turn)?;
        let at = usize::from(turn) % clients.len();
        let thief = &mut clients[at];
        let socket = thief.open(Tcp4, &[])?;
        let answer = thief.must(&Command::Connect(socket, to))?;
        holders.push(ways::client(thief, &answer)?);
    }
    clients.into_iter().for_each(|client| stage.keep(client));
    let first = holders.remove(0);
    holders.into_iter().for_each(|holder| stage.also(holder));
    Ok(first)
}
