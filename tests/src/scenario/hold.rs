//! The ways to come to a port, from the system calls of a real process.

use std::ffi::OsStr;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use super::{RANGE, SERVICE_PORT, Stage};
use crate::actor::{Actor, Answer};
use crate::case::{Holder, state};
use crate::wire::{Command, Flag, SocketId, Transport};

/// A connection as its two ends see it.
pub(super) struct Connection {
    pub(super) server: Actor,
    pub(super) accepted: SocketId,
    pub(super) thief: Actor,
    pub(super) socket: SocketId,
    pub(super) holder: Holder,
}

/// connect() of a fresh TCP socket: the kernel takes the port out of the ephemeral range.
pub(super) fn connection(stage: &Stage, comm: &OsStr, transport: Transport) -> Result<Connection> {
    let mut server = stage.actor("far-server")?;
    let listener = server.open(transport, &[])?;
    let target = transport.loopback(SERVICE_PORT);
    server.must(&Command::Bind(listener, target))?;
    server.must(&Command::Listen(listener))?;
    let mut thief = stage.actor(comm)?;
    let socket = thief.open(transport, &[])?;
    let answer = thief.must(&Command::Connect(socket, target))?;
    let accepted = server.accept(listener)?;
    let holder = Holder {
        state: state::ESTABLISHED,
        cause: "ephemeral-client",
        assigned_by: "connect",
        ..chosen_by_kernel(&thief, &answer)?
    };
    Ok(Connection { server, accepted, thief, socket, holder })
}

/// A TCP client that goes on.
pub(super) fn tcp_client(stage: &mut Stage, comm: impl AsRef<OsStr>, transport: Transport) -> Result<Holder> {
    let Connection { server, thief, holder, .. } = connection(stage, comm.as_ref(), transport)?;
    stage.keep(server);
    stage.keep(thief);
    Ok(holder)
}

/// UDP connect() without bind(). Nobody need listen at the other end.
pub(super) fn udp_client(stage: &mut Stage, comm: &str, transport: Transport) -> Result<Holder> {
    let mut thief = stage.actor(comm)?;
    let socket = thief.open(transport, &[])?;
    let answer = thief.must(&Command::Connect(socket, transport.loopback(SERVICE_PORT)))?;
    let holder = Holder {
        state: state::ESTABLISHED,
        cause: "ephemeral-client",
        assigned_by: "autobind",
        ..chosen_by_kernel(&thief, &answer)?
    };
    stage.keep(thief);
    Ok(holder)
}

/// UDP sendto() without bind().
pub(super) fn udp_sender(stage: &mut Stage, comm: &str, transport: Transport) -> Result<Holder> {
    let mut thief = stage.actor(comm)?;
    let socket = thief.open(transport, &[])?;
    let answer = thief.must(&Command::SendTo(socket, transport.loopback(SERVICE_PORT)))?;
    let holder =
        Holder { cause: "ephemeral-client", assigned_by: "autobind", ..chosen_by_kernel(&thief, &answer)? };
    stage.keep(thief);
    Ok(holder)
}

/// bind() to port 0, and no more.
pub(super) fn bind0(stage: &mut Stage, comm: &str, transport: Transport) -> Result<Holder> {
    let mut thief = stage.actor(comm)?;
    let socket = thief.open(transport, &[])?;
    let answer = thief.must(&Command::Bind(socket, transport.loopback(0)))?;
    let holder =
        Holder { cause: "ephemeral-bind", assigned_by: "bind0", ..chosen_by_kernel(&thief, &answer)? };
    stage.keep(thief);
    Ok(holder)
}

/// listen() without bind(): also a choice of the kernel.
pub(super) fn listen_unbound(stage: &mut Stage, comm: &str) -> Result<Holder> {
    let mut thief = stage.actor(comm)?;
    let socket = thief.open(Transport::Tcp4, &[])?;
    let answer = thief.must(&Command::Listen(socket))?;
    let holder = Holder {
        state: state::LISTEN,
        cause: "ephemeral-bind",
        assigned_by: "listen",
        ..chosen_by_kernel(&thief, &answer)?
    };
    stage.keep(thief);
    Ok(holder)
}

/// bind() to a number, and no more.
pub(super) fn bound(stage: &mut Stage, comm: &str, transport: Transport, at: SocketAddr) -> Result<Holder> {
    let mut holder = stage.actor(comm)?;
    let socket = holder.open(transport, &[])?;
    let answer = holder.must(&Command::Bind(socket, at))?;
    let truth = described(&holder, &answer)?;
    stage.keep(holder);
    Ok(truth)
}

/// bind() to a number and listen().
pub(super) fn listener(
    stage: &mut Stage,
    comm: &str,
    transport: Transport,
    flags: &[Flag],
    at: SocketAddr,
) -> Result<Holder> {
    let mut holder = stage.actor(comm)?;
    let socket = holder.open(transport, flags)?;
    let answer = holder.must(&Command::Bind(socket, at))?;
    holder.must(&Command::Listen(socket))?;
    let truth = Holder { state: state::LISTEN, cause: "listener", ..described(&holder, &answer)? };
    stage.keep(holder);
    Ok(truth)
}

pub(super) fn chosen_by_kernel(thief: &Actor, answer: &Answer) -> Result<Holder> {
    let holder = described(thief, answer)?;
    ensure!(
        RANGE.contains(holder.port()),
        "the kernel chose {}, outside the range it was given",
        holder.local
    );
    Ok(Holder { ephemeral: true, ..holder })
}

pub(super) fn described(holder: &Actor, answer: &Answer) -> Result<Holder> {
    Holder::new(&holder.process, answer).context("a socket with a port has no local address")
}
