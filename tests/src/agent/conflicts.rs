//! Conflicts whose culprit is known: a client that the kernel gave a port to, and a server that wants it.

use std::ffi::OsStr;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::actor::Actor;
use crate::netns::Netns;
use crate::scenario::{RANGE, SERVICE_PORT};
use crate::wire::Transport::Tcp4;
use crate::wire::{Command, SocketId};

const THIEF: &str = "agent-thief";
const VICTIM: &str = "agent-victim";

/// Who took what from whom.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) port: u16,
    pub(super) thief: String,
    thief_pid: u32,
    victim_pid: u32,
}

impl Truth {
    /// Whether a report says so.
    pub(super) fn is_told_by(&self, report: &Value) -> Result<()> {
        let told = (&report["port"], &report["victim"]["pid"], &report["holders"][0]["process"]["pid"]);
        ensure!(
            *told.0 == self.port && *told.1 == self.victim_pid && *told.2 == self.thief_pid,
            "expected {self:?}, got {report}"
        );
        ensure!(report["cause"] == "ephemeral-client", "another cause: {}", report["cause"]);
        Ok(())
    }
}

/// A namespace with a server, a thief and a victim.
pub(super) struct Scene {
    pub(super) netns: Netns,
    thief: Actor,
    victim: Actor,
    server: Actor,
    listener: SocketId,
}

impl Scene {
    pub(super) fn new() -> Result<Self> {
        let netns = Netns::new(RANGE)?;
        let mut server = Actor::start(&netns, OsStr::new("agent-server"))?;
        let listener = server.open(Tcp4, &[])?;
        server.must(&Command::Bind(listener, Tcp4.wildcard(SERVICE_PORT)))?;
        server.must(&Command::Listen(listener))?;
        let thief = Actor::start(&netns, OsStr::new(THIEF))?;
        let victim = Actor::start(&netns, OsStr::new(VICTIM))?;
        Ok(Self { netns, thief, victim, server, listener })
    }

    /// The thief connects: its port, name and pid.
    pub(super) fn steal(&mut self) -> Result<(u16, String, u32)> {
        let socket = self.thief.open(Tcp4, &[])?;
        let connected = self.thief.must(&Command::Connect(socket, Tcp4.loopback(SERVICE_PORT)))?;
        // Else its queue is full after some of them.
        self.server.accept(self.listener)?;
        let port = connected.reply.local.context("a connection without an address")?.port();
        Ok((port, THIEF.to_owned(), self.thief.process.pid))
    }

    /// The victim wants a port that the thief has just been given.
    pub(super) fn conflict(&mut self) -> Result<Truth> {
        let (port, thief, thief_pid) = self.steal()?;
        let socket = self.victim.open(Tcp4, &[])?;
        let refused = self.victim.ask(&Command::Bind(socket, Tcp4.wildcard(port)))?;
        ensure!(refused.reply.errno == libc::EADDRINUSE, "the bind of port {port} was not refused");
        self.victim.must(&Command::Close(socket))?;
        Ok(Truth { port, thief, thief_pid, victim_pid: self.victim.process.pid })
    }
}
