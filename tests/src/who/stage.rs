//! The holders: a listener with connections accepted and not, a client, a bound socket, UDP, TIME_WAIT; and the same
//! port again in a second namespace.

use std::ffi::OsStr;

use anyhow::{Context, Result, ensure};

use super::judge::Truth;
use crate::actor::{Actor, Answer};
use crate::feature::Feature;
use crate::netns::Netns;
use crate::scenario::{RANGE, TIME_WAIT, wait_for_state};
use crate::wire::Transport::{Sctp4, Tcp4, Tcp6, Udp4, Udp6};
use crate::wire::{Command, Flag, Transport};

/// The listener's.
pub(super) const SERVER_PORT: u16 = 8_099;
/// A socket's that is only bound.
const BOUND_PORT: u16 = 8_098;
/// Nobody's.
pub(super) const FREE_PORT: u16 = 8_097;

/// Everything that is there to be told.
pub(super) struct Scene {
    pub(super) first: Netns,
    pub(super) second: Netns,
    pub(super) truth: Vec<Truth>,
    cast: Vec<Actor>,
}

impl Scene {
    /// Every port to ask about, each once.
    pub(super) fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.truth.iter().map(|truth| truth.local.port()).collect();
        ports.push(FREE_PORT);
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    fn actor(&self, netns: &Netns, comm: &str) -> Result<Actor> {
        Actor::start(netns, OsStr::new(comm))
    }

    fn keep(&mut self, actor: Actor, truth: impl IntoIterator<Item = Truth>) {
        self.cast.push(actor);
        self.truth.extend(truth);
    }
}

pub(super) fn set() -> Result<Scene> {
    let (first, second) = (Netns::new(RANGE)?, Netns::new(RANGE)?);
    let mut scene = Scene { first, second, truth: Vec::new(), cast: Vec::new() };
    server_and_clients(&mut scene)?;
    bound(&mut scene, "who-bound", Tcp4, BOUND_PORT)?;
    bound(&mut scene, "who-udp", Udp6, SERVER_PORT)?;
    bound(&mut scene, "who-udp-four", Udp4, BOUND_PORT)?;
    udp_client(&mut scene)?;
    elsewhere(&mut scene)?;
    if Feature::Sctp.lacking(None).is_none() {
        sctp(&mut scene)?;
    }
    Ok(scene)
}

fn truth(netns: &Netns, actor: &Actor, answer: &Answer, transport: Transport) -> Result<Truth> {
    Ok(Truth {
        netns: netns.inode,
        protocol: transport.protocol(),
        local: answer.reply.local.context("a socket without a local address")?,
        remote: answer.reply.remote,
        inode: answer.reply.inode,
        state: "CLOSE",
        role: "bound",
        ephemeral: false,
        process: Some(actor.process.clone()),
        reason: None,
    })
}

/// A listener; a client that it accepted, one that it has not, and one that has closed and waits in TIME_WAIT.
fn server_and_clients(scene: &mut Scene) -> Result<()> {
    let mut server = scene.actor(&scene.first, "who-server")?;
    let listener = server.open(Tcp4, &[Flag::ReuseAddress])?;
    server.must(&Command::Bind(listener, Tcp4.wildcard(SERVER_PORT)))?;
    let listens = server.must(&Command::Listen(listener))?;
    let mut known =
        vec![Truth { state: "LISTEN", role: "listener", ..truth(&scene.first, &server, &listens, Tcp4)? }];

    let mut client = scene.actor(&scene.first, "who-client")?;
    let is_client = client_of(scene, &mut client)?;
    let accepted = server.accept(listener)?;
    let accepted = server.must(&Command::Set(accepted, Flag::ReuseAddress))?;
    let is_accepted = truth(&scene.first, &server, &accepted, Tcp4)?;
    known.push(Truth { state: "ESTABLISHED", role: "accepted", ..is_accepted });

    let mut closer = scene.actor(&scene.first, "who-closer")?;
    let socket = closer.open(Tcp4, &[])?;
    let gone = closer.must(&Command::Connect(socket, Tcp4.loopback(SERVER_PORT)))?;
    let other_end = server.accept(listener)?;
    closer.must(&Command::Close(socket))?;
    server.must(&Command::Close(other_end))?;
    let is_gone = truth(&scene.first, &closer, &gone, Tcp4)?;
    wait_for_state(closer.process.pid, is_gone.local.port(), TIME_WAIT)?;
    known.push(is_gone.without_process("TIME_WAIT", "time-wait", "not-recorded").chosen());

    let mut waiting = scene.actor(&scene.first, "who-waiting")?;
    let is_waiting = client_of(scene, &mut waiting)?;
    let (local, remote) = (is_waiting.remote.context("not connected")?, Some(is_waiting.local));
    let queued = Truth { local, remote, ephemeral: false, ..is_waiting.clone() };
    known.push(queued.without_process("ESTABLISHED", "unaccepted", "not-accepted"));

    scene.keep(server, known);
    scene.keep(client, [is_client]);
    scene.keep(waiting, [is_waiting]);
    scene.keep(closer, []);
    Ok(())
}

fn client_of(scene: &Scene, client: &mut Actor) -> Result<Truth> {
    let socket = client.open(Tcp4, &[])?;
    let answer = client.must(&Command::Connect(socket, Tcp4.loopback(SERVER_PORT)))?;
    let client = truth(&scene.first, client, &answer, Tcp4)?;
    ensure!(RANGE.contains(client.local.port()), "the kernel chose {}", client.local);
    Ok(Truth { state: "ESTABLISHED", role: "client", ..client }.chosen())
}

fn bound(scene: &mut Scene, comm: &str, transport: Transport, port: u16) -> Result<()> {
    let mut actor = scene.actor(&scene.first, comm)?;
    let socket = actor.open(transport, &[])?;
    let answer = actor.must(&Command::Bind(socket, transport.loopback(port)))?;
    let known = truth(&scene.first, &actor, &answer, transport)?;
    scene.keep(actor, [known]);
    Ok(())
}

fn udp_client(scene: &mut Scene) -> Result<()> {
    let mut actor = scene.actor(&scene.first, "who-resolver")?;
    let socket = actor.open(Udp4, &[])?;
    let answer = actor.must(&Command::Connect(socket, Udp4.loopback(BOUND_PORT)))?;
    let known = truth(&scene.first, &actor, &answer, Udp4)?;
    scene.keep(actor, [Truth { state: "ESTABLISHED", role: "client", ..known }.chosen()]);
    Ok(())
}

/// A listener with a connection that it accepted, the client at its other end, and a socket that is only bound.
fn sctp(scene: &mut Scene) -> Result<()> {
    bound(scene, "who-sctp-bound", Sctp4, BOUND_PORT)?;
    let mut server = scene.actor(&scene.first, "who-sctp")?;
    let listener = server.open(Sctp4, &[])?;
    server.must(&Command::Bind(listener, Sctp4.wildcard(SERVER_PORT)))?;
    let listens = server.must(&Command::Listen(listener))?;
    let mut client = scene.actor(&scene.first, "who-sctp-client")?;
    let socket = client.open(Sctp4, &[])?;
    let connects = client.must(&Command::Connect(socket, Sctp4.loopback(SERVER_PORT)))?;
    let accepts = server.must(&Command::Accept(listener))?;
    let listens =
        Truth { state: "LISTEN", role: "listener", ..truth(&scene.first, &server, &listens, Sctp4)? };
    let accepted = truth(&scene.first, &server, &accepts, Sctp4)?;
    let accepted = Truth { state: "ESTABLISHED", role: "accepted", ..accepted };
    let connected = truth(&scene.first, &client, &connects, Sctp4)?;
    let connected = Truth { state: "ESTABLISHED", role: "client", ..connected }.chosen();
    scene.keep(server, [listens, accepted]);
    scene.keep(client, [connected]);
    Ok(())
}

/// The same port, another namespace, another family.
fn elsewhere(scene: &mut Scene) -> Result<()> {
    let mut actor = scene.actor(&scene.second, "who-elsewhere")?;
    let listener = actor.open(Tcp6, &[])?;
    actor.must(&Command::Bind(listener, Tcp6.wildcard(SERVER_PORT)))?;
    let answer = actor.must(&Command::Listen(listener))?;
    let known = truth(&scene.second, &actor, &answer, Tcp6)?;
    scene.keep(actor, [Truth { state: "LISTEN", role: "listener", ..known }]);
    Ok(())
}
