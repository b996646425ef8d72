//! Steps that the scenarios about rarer ways to a port have in common.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use super::{Stage, hold};
use crate::actor::{Actor, Answer};
use crate::case::{Holder, state};
use crate::wire::raw::{RawCall, RingCall};
use crate::wire::{Command, Flag, SocketId, Transport};

/// Somebody on the loopback who listens and is there for the rest of the scenario. Nobody need accept: a connection
/// is one as soon as it is in the queue.
pub(super) fn far_server(stage: &mut Stage, transport: Transport, port: u16) -> Result<SocketAddr> {
    let mut server = stage.actor("far-server")?;
    let listener = server.open(transport, &[])?;
    server.must(&Command::Bind(listener, transport.loopback(port)))?;
    server.must(&Command::Listen(listener))?;
    stage.keep(server);
    Ok(transport.loopback(port))
}

/// A client whose port the kernel chose, as the answer to its call describes it.
pub(super) fn client(thief: &Actor, answer: &Answer) -> Result<Holder> {
    Ok(Holder {
        state: state::ESTABLISHED,
        cause: "ephemeral-client",
        assigned_by: "connect",
        ..hold::chosen_by_kernel(thief, answer)?
    })
}

/// A listener that bound its number, as the answer to its bind() describes it.
pub(super) fn listener(holder: &Actor, answer: &Answer) -> Result<Holder> {
    Ok(Holder { state: state::LISTEN, cause: "listener", ..hold::described(holder, answer)? })
}

/// connect() of a socket that was prepared, by an actor that stays.
pub(super) fn connect(
    stage: &mut Stage,
    mut thief: Actor,
    socket: SocketId,
    to: SocketAddr,
) -> Result<Holder> {
    let answer = thief.must(&Command::Connect(socket, to))?;
    let holder = client(&thief, &answer)?;
    stage.keep(thief);
    Ok(holder)
}

/// bind() and listen() with options of the kernel's own numbers set before.
pub(super) fn listener_with(
    stage: &mut Stage,
    comm: &str,
    transport: Transport,
    options: &[(i32, i32, &[u8])],
    at: SocketAddr,
) -> Result<Holder> {
    let mut holder = stage.actor(comm)?;
    let socket = holder.open(transport, &[])?;
    for &(level, name, value) in options {
        holder.must(&set(socket, level, name, value))?;
    }
    let answer = holder.must(&Command::Bind(socket, at))?;
    holder.must(&Command::Listen(socket))?;
    let truth = listener(&holder, &answer)?;
    stage.keep(holder);
    Ok(truth)
}

/// bind() by number of a datagram socket with flags, by a process that stays.
pub(super) fn bound_with(
    stage: &mut Stage,
    comm: &str,
    transport: Transport,
    flags: &[Flag],
    at: SocketAddr,
) -> Result<Holder> {
    let mut holder = stage.actor(comm)?;
    let socket = holder.open(transport, flags)?;
    let answer = holder.must(&Command::Bind(socket, at))?;
    let truth = hold::described(&holder, &answer)?;
    stage.keep(holder);
    Ok(truth)
}

/// A socket of any family.
pub(super) fn open(actor: &mut Actor, family: i32, kind: i32, protocol: i32) -> Result<SocketId> {
    let opened = actor.must(&Command::Raw(RawCall::Open { family, kind, protocol }))?;
    opened.reply.socket.context("a socket without a number")
}

pub(super) fn set(socket: SocketId, level: i32, name: i32, value: &[u8]) -> Command {
    Command::Raw(RawCall::Set { socket, level, name, value: value.to_vec() })
}

pub(super) fn ring(socket: SocketId, call: RingCall) -> Command {
    Command::Raw(RawCall::Ring(socket, call))
}

/// Has a call made that the kernel must answer with this error, 0 for none.
pub(super) fn expect(actor: &mut Actor, command: &Command, errno: i32) -> Result<Answer> {
    let answer = actor.ask(command)?;
    let error = |errno| std::io::Error::from_raw_os_error(errno);
    let got = answer.reply.errno;
    ensure!(
        got == errno,
        "{}: {command:?}: the kernel said \"{}\", not \"{}\"",
        actor.process,
        error(got),
        error(errno)
    );
    Ok(answer)
}
