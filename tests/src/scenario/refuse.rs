//! The ways to be refused: a victim asks for a port that somebody has, and the kernel must say EADDRINUSE.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use rustix::io::Errno;

use super::Stage;
use crate::actor::{Actor, Answer};
use crate::case::Refusal;
use crate::clock::Window;
use crate::wire::{Command, Flag, Transport};

/// Name of everybody who is refused.
pub(super) const VICTIM: &str = "victim-service";

/// bind() of a fresh socket by a fresh process.
pub(super) fn bind(stage: &mut Stage, transport: Transport, wanted: SocketAddr) -> Result<Refusal> {
    let mut victim = stage.actor(VICTIM)?;
    let refusal = bind_by(&mut victim, transport, &[], wanted)?;
    stage.keep(victim);
    Ok(refusal)
}

/// bind() of a fresh socket by a process that is there already.
pub(super) fn bind_by(
    victim: &mut Actor,
    transport: Transport,
    flags: &[Flag],
    wanted: SocketAddr,
) -> Result<Refusal> {
    let socket = victim.open(transport, flags)?;
    let answer = in_use(victim, &Command::Bind(socket, wanted))?;
    victim.must(&Command::Close(socket))?;
    Ok(refusal(victim, "bind", transport, wanted, answer.when))
}

/// A call that must be answered with EADDRINUSE.
pub(super) fn in_use(victim: &mut Actor, command: &Command) -> Result<Answer> {
    let answer = victim.ask(command)?;
    let (got, expected) = (answer.reply.errno, Errno::ADDRINUSE);
    ensure!(
        got == expected.raw_os_error(),
        "{}: {command:?}: the kernel said \"{}\", not \"{expected}\"",
        victim.process,
        std::io::Error::from_raw_os_error(got)
    );
    Ok(answer)
}

pub(super) fn refusal(
    victim: &Actor,
    operation: &'static str,
    transport: Transport,
    wanted: SocketAddr,
    when: Window,
) -> Refusal {
    Refusal {
        victims: vec![victim.process.clone()],
        operation,
        errno: "EADDRINUSE",
        transport,
        address: wanted.ip(),
        port: wanted.port(),
        count: 1,
        when,
    }
}
