//! Listeners and bound sockets beyond the plain ones: other addresses, other users, devices, `io_uring`, MPTCP.

use anyhow::Result;

use super::Watch::{AfterHolder, FromTheStart};
use super::refuse::{VICTIM, in_use, refusal};
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse, ways};
use crate::case::{Holder, Refusal, state};
use crate::feature::Feature;
use crate::product::Backend;
use crate::wire::Transport::{Mptcp4, Tcp4, Tcp6, Udp4, Udp6, UdpLite4};
use crate::wire::raw::RingCall;
use crate::wire::{Command, Flag};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "preexisting-udp4-server",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| Ok(hold::bound(stage, "earlier-udp", Udp4, Udp4.wildcard(SERVICE_PORT))?.preexisting()),
        refuse: |stage, holder| refuse::bind(stage, Udp4, Udp4.loopback(holder.port())),
    },
    Scenario {
        name: "preexisting-tcp6-listener",
        watch: AfterHolder,
        needs: Needs::Ipv6,
        hold: |stage| {
            let at = Tcp6.loopback(SERVICE_PORT);
            Ok(hold::listener(stage, "earlier-listen6", Tcp6, &[], at)?.preexisting())
        },
        refuse: |stage, holder| refuse::bind(stage, Tcp6, Tcp6.wildcard(holder.port())),
    },
    Scenario {
        name: "preexisting-udp6-client",
        watch: AfterHolder,
        needs: Needs::Ipv6,
        hold: |stage| Ok(hold::udp_client(stage, "earlier-udp6", Udp6)?.preexisting()),
        refuse: |stage, thief| refuse::bind(stage, Udp6, thief.local),
    },
    Scenario {
        name: "tcp4-listener-on-port-0",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: listener_on_port_0,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "tcp4-specific-against-wildcard",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::listener(stage, "holder-wild", Tcp4, &[], Tcp4.wildcard(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, Tcp4.loopback(holder.port())),
    },
    Scenario {
        name: "tcp6-specific-against-wildcard",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| hold::listener(stage, "holder-wild6", Tcp6, &[], Tcp6.wildcard(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Tcp6, Tcp6.loopback(holder.port())),
    },
    Scenario {
        name: "tcp6-wildcard-against-specific",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| hold::listener(stage, "holder-narrow6", Tcp6, &[], Tcp6.loopback(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Tcp6, Tcp6.wildcard(holder.port())),
    },
    Scenario {
        name: "tcp6-v6only-against-its-like",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| {
            hold::listener(stage, "innocent-v4", Tcp4, &[], Tcp4.wildcard(SERVICE_PORT))?;
            hold::listener(stage, "holder-v6only", Tcp6, &[Flag::V6Only], Tcp6.wildcard(SERVICE_PORT))
        },
        refuse: |stage, holder| {
            let mut victim = stage.actor(VICTIM)?;
            let refusal = refuse::bind_by(&mut victim, Tcp6, &[Flag::V6Only], holder.local)?;
            stage.keep(victim);
            Ok(refusal)
        },
    },
    Scenario {
        name: "udp4-reuseport-of-another-user",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: other_users_socket,
        refuse: |stage, holder| {
            let mut victim = stage.actor(VICTIM)?;
            let refusal = refuse::bind_by(&mut victim, Udp4, &[Flag::ReusePort], holder.local)?;
            stage.keep(victim);
            Ok(refusal)
        },
    },
    Scenario {
        name: "listener-on-a-device",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| {
            let device: &[_] = &[(libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo".as_slice())];
            ways::listener_with(stage, "holder-on-lo", Tcp4, device, Tcp4.wildcard(SERVICE_PORT))
        },
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "device-against-listener-everywhere",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::listener(stage, "holder-anywhere", Tcp4, &[], Tcp4.wildcard(SERVICE_PORT)),
        refuse: bind_on_lo,
    },
    Scenario {
        name: "accepted-connection-outlives-its-listener",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: accepted_only,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "udplite4-server",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::UdpLite),
        hold: |stage| {
            hold::bound(stage, "innocent-udp", Udp4, Udp4.wildcard(SERVICE_PORT))?;
            hold::bound(stage, "holder-udplite", UdpLite4, UdpLite4.wildcard(SERVICE_PORT))
        },
        refuse: |stage, holder| refuse::bind(stage, UdpLite4, UdpLite4.loopback(holder.port())),
    },
    Scenario {
        name: "mptcp4-listener",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Mptcp),
        hold: |stage| hold::listener(stage, "holder-mptcp", Mptcp4, &[], Mptcp4.loopback(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    // Go's net.Listen asks for MPTCP wherever it is to be had.
    Scenario {
        name: "mptcp4-victim",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Mptcp),
        hold: |stage| hold::tcp_client(stage, "thief-tcp4", Tcp4),
        refuse: |stage, thief| refuse::bind(stage, Mptcp4, thief.local),
    },
    Scenario {
        name: "ring-listener",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::RingBind),
        hold: ring_listener,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "ring-victim",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::RingVictim),
        hold: |stage| hold::tcp_client(stage, "thief-of-ring", Tcp4),
        refuse: ring_victim,
    },
];

/// What a test server does: any port will do, and it says which.
fn listener_on_port_0(stage: &mut Stage) -> Result<Holder> {
    let mut thief = stage.actor("thief-port0")?;
    let socket = thief.open(Tcp4, &[])?;
    let answer = thief.must(&Command::Bind(socket, Tcp4.loopback(0)))?;
    thief.must(&Command::Listen(socket))?;
    let holder = hold::chosen_by_kernel(&thief, &answer)?;
    stage.keep(thief);
    Ok(Holder { state: state::LISTEN, cause: "ephemeral-bind", assigned_by: "bind0", ..holder })
}

/// SO_REUSEPORT admits only sockets of one user, of UDP too.
fn other_users_socket(stage: &mut Stage) -> Result<Holder> {
    let mut holder = stage.actor("holder-uid1000")?;
    holder.must(&Command::BecomeUser(1000))?;
    holder.process.portrait.uid = Some(1000);
    let socket = holder.open(Udp4, &[Flag::ReusePort])?;
    let answer = holder.must(&Command::Bind(socket, Udp4.loopback(SERVICE_PORT)))?;
    let truth = Holder { cause: "reuseport-mismatch", ..hold::described(&holder, &answer)? };
    stage.keep(holder);
    Ok(truth)
}

/// A service of one device.
fn bind_on_lo(stage: &mut Stage, holder: &Holder) -> Result<Refusal> {
    let mut victim = stage.actor(VICTIM)?;
    let socket = victim.open(Tcp4, &[])?;
    victim.must(&ways::set(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, b"lo"))?;
    let answer = in_use(&mut victim, &Command::Bind(socket, holder.local))?;
    let refusal = refusal(&victim, "bind", Tcp4, holder.local, answer.when);
    stage.keep(victim);
    Ok(refusal)
}

/// A server that stopped listening and goes on to serve who is there. Nobody bound the socket that is left: it came
/// out of a listener that is gone.
fn accepted_only(stage: &mut Stage) -> Result<Holder> {
    let target = Tcp4.loopback(SERVICE_PORT);
    let mut server = stage.actor("holder-accepted")?;
    let listener = server.open(Tcp4, &[])?;
    server.must(&Command::Bind(listener, target))?;
    server.must(&Command::Listen(listener))?;
    let mut client = stage.actor("far-client")?;
    let socket = client.open(Tcp4, &[])?;
    client.must(&Command::Connect(socket, target))?;
    let accepted = server.must(&Command::Accept(listener))?;
    server.must(&Command::Close(listener))?;
    let truth = Holder {
        state: state::ESTABLISHED,
        assigned_by: "accept",
        // It may be told by the listener's record, by its own or not at all.
        assigned: None,
        ..hold::described(&server, &accepted)?
    };
    stage.keep(server);
    stage.keep(client);
    Ok(truth)
}

fn ring_listener(stage: &mut Stage) -> Result<Holder> {
    let mut holder = stage.actor("holder-ring")?;
    let socket = holder.open(Tcp4, &[])?;
    let answer = holder.must(&ways::ring(socket, RingCall::Bind(Tcp4.loopback(SERVICE_PORT))))?;
    holder.must(&ways::ring(socket, RingCall::Listen))?;
    let truth = Holder { unseen_by: Some(Backend::Tracepoint), ..ways::listener(&holder, &answer)? };
    stage.keep(holder);
    Ok(truth)
}

/// A service that asks for its port through a ring.
fn ring_victim(stage: &mut Stage, thief: &Holder) -> Result<Refusal> {
    let mut victim = stage.actor(VICTIM)?;
    let socket = victim.open(Tcp4, &[])?;
    let answer = in_use(&mut victim, &ways::ring(socket, RingCall::Bind(thief.local)))?;
    let refusal = refusal(&victim, "bind", Tcp4, thief.local, answer.when);
    stage.keep(victim);
    Ok(refusal)
}
