//! Clients that have ports which servers want: a network namespace with a server and thieves.

use std::ffi::OsStr;

use anyhow::{Context, Result};

use crate::actor::Actor;
use crate::netns::{Netns, Range};
use crate::wire::Transport::Tcp4;
use crate::wire::{Command, SocketId};

/// Wide enough for a port of its own for every sample.
const RANGE: Range = Range { low: 20_000, high: 29_999 };
const SERVICE_PORT: u16 = 8_080;
/// Processes that share the stolen ports.
const THIEVES: usize = 4;

/// The namespace, and who is in it.
pub(super) struct Cast {
    pub(super) netns: Netns,
    server: Actor,
    listener: SocketId,
    thieves: Vec<Actor>,
    stolen: usize,
}

impl Cast {
    pub(super) fn new() -> Result<Self> {
        let netns = Netns::new(RANGE)?;
        let mut server = Actor::start(&netns, OsStr::new("load-server"))?;
        let listener = server.open(Tcp4, &[])?;
        server.must(&Command::Bind(listener, Tcp4.wildcard(SERVICE_PORT)))?;
        server.must(&Command::Listen(listener))?;
        let thief = |number| Actor::start(&netns, format!("load-thief-{number}").as_ref());
        let thieves = (0..THIEVES).map(thief).collect::<Result<_>>()?;
        Ok(Self { netns, server, listener, thieves, stolen: 0 })
    }

    /// The next thief connects, and keeps its connection; the port that it was given.
    pub(super) fn steal(&mut self) -> Result<u16> {
        let thief = &mut self.thieves[self.stolen % THIEVES];
        self.stolen += 1;
        let socket = thief.open(Tcp4, &[])?;
        let connected = thief.must(&Command::Connect(socket, Tcp4.loopback(SERVICE_PORT)))?;
        // Else the queue is full after some of them.
        self.server.accept(self.listener)?;
        Ok(connected.reply.local.context("a connection without an address")?.port())
    }
}
