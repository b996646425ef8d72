//! Listeners of every kind in two namespaces, and those beside them that are none, or are safe.

use std::ffi::OsStr;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::actor::{Actor, Answer};
use crate::netns::Netns;
use crate::scenario::RANGE;
use crate::wire::Transport::{Tcp4, Tcp6, Udp4, Udp6};
use crate::wire::{Command, Transport};

/// In the range, and reserved.
pub(super) const RESERVED_PORT: u16 = 42_300;
/// Outside the range.
const SAFE_PORT: u16 = 8_099;
/// A socket's that is only bound.
const BOUND_PORT: u16 = 42_500;

/// A listener that must be found.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) netns: u64,
    pub(super) kind: &'static str,
    pub(super) protocol: &'static str,
    pub(super) local: SocketAddr,
    pub(super) pid: u32,
}

pub(super) struct Scene {
    pub(super) first: Netns,
    pub(super) second: Netns,
    pub(super) truth: Vec<Truth>,
    /// In the range, and a client's.
    pub(super) client_port: u16,
    cast: Vec<Actor>,
}

impl Scene {
    /// What must be found in one namespace.
    pub(super) fn of(&self, netns: &Netns) -> Vec<Truth> {
        self.truth.iter().filter(|truth| truth.netns == netns.inode).cloned().collect()
    }

    /// TCP ports of the first namespace's range with a listener that are not reserved.
    pub(super) fn listeners_in_range(&self) -> u64 {
        self.of(&self.first).iter().filter(|truth| truth.protocol == "tcp").count() as u64
    }

    fn is_at_risk(
        &mut self,
        netns: u64,
        kind: &'static str,
        actor: Actor,
        stands: &Answer,
        on: Transport,
    ) -> Result<()> {
        let local = stands.reply.local.context("a socket without a local address")?;
        self.truth.push(Truth { netns, kind, protocol: on.protocol(), local, pid: actor.process.pid });
        self.cast.push(actor);
        Ok(())
    }
}

pub(super) fn set() -> Result<Scene> {
    let (first, second) = (Netns::new(RANGE)?, Netns::new(RANGE)?);
    first.within(|| super::judge::reserve(&RESERVED_PORT.to_string()))?;
    let mut scene = Scene { first, second, truth: Vec::new(), client_port: 0, cast: Vec::new() };
    let here = scene.first.inode;
    for (comm, transport, port) in [
        ("audit-web", Tcp4, 42_050),
        ("audit-six", Tcp6, 42_101),
        ("audit-udp", Udp4, 42_200),
        ("audit-udp-six", Udp6, 42_201),
        ("audit-any", Tcp4, 0),
    ] {
        let kind = if port == 0 { "port-0-listener" } else { "listener-in-range" };
        let (actor, stands) = stand(&scene.first, comm, transport, transport.wildcard(port))?;
        scene.is_at_risk(here, kind, actor, &stands, transport)?;
    }
    // The same port again, where another process has it.
    let (actor, stands) = stand(&scene.second, "audit-elsewhere", Tcp4, Tcp4.loopback(42_050))?;
    scene.is_at_risk(scene.second.inode, "listener-in-range", actor, &stands, Tcp4)?;
    harmless(&mut scene)?;
    Ok(scene)
}

/// Who is not to be found: safe ports, clients, and a socket that nobody can come to.
fn harmless(scene: &mut Scene) -> Result<()> {
    for (comm, transport, port) in [
        ("audit-reserved", Tcp4, RESERVED_PORT),
        ("audit-safe", Tcp4, SAFE_PORT),
        ("audit-safe-udp", Udp4, SAFE_PORT),
    ] {
        scene.cast.push(stand(&scene.first, comm, transport, transport.wildcard(port))?.0);
    }
    let mut client = Actor::start(&scene.first, OsStr::new("audit-client"))?;
    let socket = client.open(Tcp4, &[])?;
    let connects = client.must(&Command::Connect(socket, Tcp4.loopback(SAFE_PORT)))?;
    scene.client_port = connects.reply.local.context("a client without a local address")?.port();
    let socket = client.open(Udp4, &[])?;
    client.must(&Command::SendTo(socket, Udp4.loopback(SAFE_PORT)))?;
    let socket = client.open(Tcp4, &[])?;
    client.must(&Command::Bind(socket, Tcp4.loopback(BOUND_PORT)))?;
    scene.cast.push(client);
    Ok(())
}

fn stand(netns: &Netns, comm: &str, transport: Transport, at: SocketAddr) -> Result<(Actor, Answer)> {
    let mut actor = Actor::start(netns, OsStr::new(comm))?;
    let socket = actor.open(transport, &[])?;
    let mut stands = actor.must(&Command::Bind(socket, at))?;
    if transport.is_tcp() {
        stands = actor.must(&Command::Listen(socket))?;
    }
    Ok((actor, stands))
}
