//! Ranges to be filled, and who fills them.

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::judge::Truth;
use super::{WIDE, other_server};
use crate::actor::Actor;
use crate::netns::{Netns, Range};
use crate::scenario::{TIME_WAIT, wait_for_state};
use crate::wire::Transport::{Tcp4, Udp4};
use crate::wire::raw::RawCall;
use crate::wire::{Command, SocketId, Transport};

/// Connections that wait to be accepted; nobody need accept them.
const QUEUE: i32 = 4_096;

/// A network namespace with a range of its own.
pub(super) struct Scene {
    pub(super) netns: Netns,
}

/// A process and how many sockets it has on the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) pid: u32,
    pub(super) sockets: u32,
}

/// A range that is full, and the call that finds it so.
pub(super) struct Full {
    pub(super) truth: Truth,
    /// The action of the first advice.
    pub(super) advice: &'static str,
    /// Another destination, and what connect() to it is answered with.
    pub(super) elsewhere: Option<(SocketAddr, i32)>,
    pub(super) victim: Actor,
    pub(super) call: Command,
    pub(super) errno: i32,
    /// Everybody who must stay alive.
    pub(super) cast: Vec<Actor>,
}

impl Scene {
    pub(super) fn new(range: Range) -> Result<Self> {
        Ok(Self { netns: Netns::new(range)? })
    }

    /// Sets a sysctl of IPv4.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/ipv4/{name}");
        self.netns.within(|| fs::write(&path, value).with_context(|| format!("writing {path}")))
    }

    pub(super) fn actor(&self, name: &str) -> Result<Actor> {
        Actor::start(&self.netns, OsStr::new(name))
    }

    /// A victim that wants to connect to a server; there is another one at another address.
    pub(super) fn connecting(&self, to: SocketAddr) -> Result<Full> {
        let mut full = self.calling(Tcp4, libc::EADDRNOTAVAIL, |socket| Command::Connect(socket, to))?;
        self.servers(&mut full, &[to, other_server()])?;
        Ok(full)
    }

    /// A victim that binds to port 0.
    pub(super) fn binding(&self, transport: Transport) -> Result<Full> {
        self.calling(transport, libc::EADDRINUSE, |socket| Command::Bind(socket, transport.wildcard(0)))
    }

    /// A victim that listens without bind.
    pub(super) fn listening(&self) -> Result<Full> {
        self.calling(Tcp4, libc::EADDRINUSE, Command::Listen)
    }

    /// A victim that sends without bind.
    pub(super) fn sending(&self) -> Result<Full> {
        self.calling(Udp4, libc::EAGAIN, |socket| Command::SendTo(socket, Udp4.loopback(53)))
    }

    fn calling(
        &self,
        transport: Transport,
        errno: i32,
        call: impl FnOnce(SocketId) -> Command,
    ) -> Result<Full> {
        let mut victim = self.actor("victim")?;
        let socket = victim.open(transport, &[])?;
        let truth = Truth::of(WIDE);
        let call = call(socket);
        Ok(Full { truth, advice: "", elsewhere: None, victim, call, errno, cast: Vec::new() })
    }

    fn servers(&self, full: &mut Full, all: &[SocketAddr]) -> Result<()> {
        all.iter().try_for_each(|at| full.serve(self, *at))
    }
}

impl Full {
    /// Somebody listens there and accepts nobody: a connection is one in the queue already.
    pub(super) fn serve(&mut self, scene: &Scene, at: SocketAddr) -> Result<()> {
        let mut server = scene.actor("far-server")?;
        let socket = server.open(Tcp4, &[])?;
        server.must(&Command::Bind(socket, at))?;
        server.must(&Command::Raw(RawCall::Listen { socket, backlog: QUEUE }))?;
        self.cast.push(server);
        Ok(())
    }

    /// Somebody takes ports, and stays.
    pub(super) fn cast(
        &mut self,
        scene: &Scene,
        name: &str,
        take: impl FnOnce(&mut Actor) -> Result<u32>,
    ) -> Result<Held> {
        let mut actor = scene.actor(name)?;
        let sockets = take(&mut actor)?;
        let held = Held { pid: actor.process.pid, sockets };
        self.cast.push(actor);
        Ok(held)
    }

    /// Connections that the client closes first: its ends wait out TIME_WAIT.
    pub(super) fn close(&mut self, scene: &Scene, name: &str, to: SocketAddr, count: u32) -> Result<Held> {
        let mut client = scene.actor(name)?;
        let server = self.cast.first_mut().context("there is no server")?;
        for _ in 0..count {
            let socket = client.open(Tcp4, &[])?;
            let connected = client.must(&Command::Connect(socket, to))?;
            // The first socket of a server is its listener.
            let accepted = server.accept(0)?;
            client.must(&Command::Close(socket))?;
            server.must(&Command::Close(accepted))?;
            let port = connected.reply.local.context("a connection without an address")?.port();
            wait_for_state(client.process.pid, port, TIME_WAIT)?;
        }
        let held = Held { pid: client.process.pid, sockets: count };
        self.cast.push(client);
        Ok(held)
    }
}

/// bind() to port 0 at the wildcard.
pub(super) fn bind(actor: &mut Actor, transport: Transport, count: u32) -> Result<u32> {
    for _ in 0..count {
        let socket = actor.open(transport, &[])?;
        actor.must(&Command::Bind(socket, transport.wildcard(0)))?;
    }
    Ok(count)
}

/// bind() to 127.0.0.1 and port 0, then connect().
pub(super) fn bind_and_connect(actor: &mut Actor, to: SocketAddr, count: u32) -> Result<u32> {
    for _ in 0..count {
        let socket = actor.open(Tcp4, &[])?;
        actor.must(&Command::Bind(socket, Tcp4.loopback(0)))?;
        actor.must(&Command::Connect(socket, to))?;
    }
    Ok(count)
}

pub(super) fn connect(actor: &mut Actor, to: SocketAddr, count: u32) -> Result<u32> {
    for _ in 0..count {
        let socket = actor.open(Tcp4, &[])?;
        actor.must(&Command::Connect(socket, to))?;
    }
    Ok(count)
}

/// bind() to the numbers from `first` on, and listen().
pub(super) fn listen(actor: &mut Actor, first: u16, count: u16) -> Result<u32> {
    for port in first..first + count {
        let socket = actor.open(Tcp4, &[])?;
        actor.must(&Command::Bind(socket, Tcp4.wildcard(port)))?;
        actor.must(&Command::Listen(socket))?;
    }
    Ok(count.into())
}

/// sendto() without bind, each by a socket of its own. Nobody need be there.
pub(super) fn send(actor: &mut Actor, count: u32) -> Result<u32> {
    for _ in 0..count {
        let socket = actor.open(Udp4, &[])?;
        actor.must(&Command::SendTo(socket, Udp4.loopback(53)))?;
    }
    Ok(count)
}
