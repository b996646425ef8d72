//! Addresses, ports and whole connections that are used again: a record of the earlier one must not count for the later one.

use anyhow::{Context, Result};

use super::Watch::FromTheStart;
use super::hold::{self, described};
use super::timewait::{TIME_WAIT, wait_for_state};
use super::{Needs, SERVICE_PORT, Scenario, Stage, refuse};
use crate::actor::Actor;
use crate::case::{Holder, state};
use crate::wire::Transport::Tcp4;
use crate::wire::{Command, SocketId};

/// Earlier connections: fewer than the records that one bucket of a table holds, so that none of them is overwritten.
const EARLIER: usize = 2;
/// As `/proc/net/tcp` writes it.
const FIN_WAIT2: &str = "05";

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "reused-connection-time-wait",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: repeated_connection,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "reused-connection-accepted-time-wait",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| accepted_instead(stage, true),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "reused-connection-accepted-half-closed",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| accepted_instead(stage, false),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "reused-port-listener",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| {
            let mut server = stage.actor("far-server")?;
            let listener = listening(&mut server, SERVICE_PORT)?;
            let port = free_port(stage)?;
            former_connections(stage, &mut server, listener, port)?;
            stage.keep(server);
            hold::listener(stage, "present-server", Tcp4, &[], Tcp4.loopback(port))
        },
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
];

/// The last of several connections between the same two ports is closed and waits; all but its owner reset theirs.
fn repeated_connection(stage: &mut Stage) -> Result<Holder> {
    let mut server = stage.actor("far-server")?;
    let listener = listening(&mut server, SERVICE_PORT)?;
    let port = free_port(stage)?;
    former_connections(stage, &mut server, listener, port)?;
    let mut owner = stage.actor("present-client")?;
    let socket = owner.open(Tcp4, &[])?;
    let bound = owner.must(&Command::Bind(socket, Tcp4.loopback(port)))?;
    let connected = owner.must(&Command::Connect(socket, Tcp4.loopback(SERVICE_PORT)))?;
    let accepted = server.accept(listener)?;
    let holder = Holder { remote: connected.reply.remote, ..described(&owner, &bound)? };
    owner.must(&Command::Close(socket))?;
    server.must(&Command::Close(accepted))?;
    wait_for_state(server.process.pid, port, TIME_WAIT)?;
    stage.keep(server);
    let process = Some(owner.kill()?);
    Ok(Holder { process, inode: None, state: state::TIME_WAIT, cause: "time-wait", ..holder })
}

/// A connection between the ports of an earlier one, the other way round: accepted, closed by the server, which is gone. No
/// process can be named for it, least of all the earlier client.
fn accepted_instead(stage: &mut Stage, is_closed_by_both: bool) -> Result<Holder> {
    let mut server = stage.actor("far-server")?;
    let listener = listening(&mut server, SERVICE_PORT)?;
    let port = free_port(stage)?;
    former_connections(stage, &mut server, listener, port)?;
    server.kill()?;

    let mut server = stage.actor("gone-server")?;
    let listener = listening(&mut server, port)?;
    let mut client = stage.actor("present-client")?;
    let socket = client.open(Tcp4, &[])?;
    client.must(&Command::Bind(socket, Tcp4.loopback(SERVICE_PORT)))?;
    client.must(&Command::Connect(socket, Tcp4.loopback(port)))?;
    let accepted = server.must(&Command::Accept(listener))?;
    let accepted_id = accepted.reply.socket.context("accept() without a socket")?;
    server.must(&Command::Close(accepted_id))?;
    let holder = Holder {
        process: None,
        assigned_by: "unknown",
        assigned: None,
        inode: None,
        ephemeral: false,
        ..described(&server, &accepted)?
    };
    server.kill()?;
    if is_closed_by_both {
        client.must(&Command::Close(socket))?;
    }
    // In FIN_WAIT2 the kernel already keeps a TIME_WAIT socket, which is what is reported.
    wait_for_state(client.process.pid, port, if is_closed_by_both { TIME_WAIT } else { FIN_WAIT2 })?;
    stage.keep(client);
    Ok(Holder { state: state::TIME_WAIT, cause: "time-wait", ..holder })
}

/// Clients that connected from this port and reset the connection, so that it can be used again at once.
fn former_connections(stage: &mut Stage, server: &mut Actor, listener: SocketId, port: u16) -> Result<()> {
    for _ in 0..EARLIER {
        let mut client = stage.actor("former-client")?;
        let socket = client.open(Tcp4, &[])?;
        client.must(&Command::Bind(socket, Tcp4.loopback(port)))?;
        client.must(&Command::Connect(socket, Tcp4.loopback(SERVICE_PORT)))?;
        let accepted = server.accept(listener)?;
        // A socket that is closed with something left to read resets its connection, and keeps both ends until then.
        server.must(&Command::SendTo(accepted, Tcp4.loopback(port)))?;
        client.must(&Command::Close(socket))?;
        server.must(&Command::Close(accepted))?;
        client.kill()?;
    }
    Ok(())
}

fn listening(server: &mut Actor, port: u16) -> Result<SocketId> {
    let listener = server.open(Tcp4, &[])?;
    server.must(&Command::Bind(listener, Tcp4.loopback(port)))?;
    server.must(&Command::Listen(listener))?;
    Ok(listener)
}

/// A port that the kernel would give to a client, and that nothing holds.
fn free_port(stage: &mut Stage) -> Result<u16> {
    let mut finder = stage.actor("finder")?;
    let socket = finder.open(Tcp4, &[])?;
    let bound = finder.must(&Command::Bind(socket, Tcp4.loopback(0)))?;
    let port = described(&finder, &bound)?.port();
    finder.kill()?;
    Ok(port)
}
