//! The agent's numbers of a range, against what really is on it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::{PATIENCE, WIDE, other_server, server, stage};
use crate::agent::{Daemon, Folder, Setup};
use crate::netns::Range;
use crate::product::Backend;
use crate::wire::Command;
use crate::wire::Transport::{Tcp4, Udp4};
use stage::Scene;

/// Two destinations share source ports: more sockets than ports, and neither is full.
pub(super) fn check(program: &Path, backend: Backend) -> Result<String> {
    let range = Range { low: WIDE.low, high: WIDE.low + 39 };
    let scene = Scene::new(range)?;
    let mut full = scene.connecting(server())?;
    let folder = Folder::new("exhaustion")?;
    folder.configure(&format!("backend = '{}'\n", backend.name()))?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    full.cast(&scene, "listens-inside", |actor| stage::listen(actor, range.low, 3))?;
    full.cast(&scene, "client-bound", |actor| stage::bind_and_connect(actor, server(), 2))?;
    let mut client = scene.actor("client-both")?;
    let mut connect = |to: SocketAddr, count: u32| -> Result<BTreeSet<u16>> {
        let one = |_| {
            let socket = client.open(Tcp4, &[])?;
            let answer = client.must(&Command::Connect(socket, to))?;
            Ok(answer.reply.local.context("a connection without an address")?.port())
        };
        (0..count).map(one).collect()
    };
    let (here, there) = (connect(server(), 35)?, connect(other_server(), 30)?);
    full.cast(&scene, "sender-many", |actor| stage::send(actor, 6))?;
    full.cast(&scene, "hoarder-udp", |actor| stage::bind(actor, Udp4, 5))?;
    let ports = here.union(&there).count();
    ensure!(here.len() == 35 && ports < 65, "{ports} ports for 65 connections");
    let expected = [
        ("ephemeral_ports{protocol=\"tcp\",state=\"listen\"}", 3),
        ("ephemeral_ports{protocol=\"tcp\",state=\"established\"}", ports + 2),
        ("ephemeral_ports{protocol=\"udp\",state=\"bound\"}", 11),
        ("ephemeral_ports_unavailable{protocol=\"tcp\",to=\"anybody\"}", 5),
        ("ephemeral_ports_unavailable{protocol=\"tcp\",to=\"fullest_destination\"}", 40),
        ("ephemeral_ports_unavailable{protocol=\"udp\",to=\"anybody\"}", 11),
        ("ephemeral_ports_unavailable{protocol=\"udp\",to=\"fullest_destination\"}", 11),
        ("ephemeral_range_ports", 40),
    ];
    let lines: Vec<String> =
        expected.iter().map(|(name, count)| format!("portwatch_{name} {count}")).collect();
    let wrong = |metrics: &str| {
        let missing = lines.iter().filter(|line| !metrics.lines().any(|one| one == line.as_str()));
        missing.cloned().collect::<Vec<_>>()
    };
    let right = agent.until(PATIENCE, || Ok(wrong(&agent.get("/metrics")?).is_empty().then_some(())))?;
    if right.is_none() {
        let metrics = agent.get("/metrics")?;
        let told: Vec<_> = metrics.lines().filter(|line| line.starts_with("portwatch_ephemeral")).collect();
        anyhow::bail!("no {:?} in {told:#?}", wrong(&metrics));
    }
    // Full towards the first, and the numbers have said so; the second has room.
    let first = full.victim.ask(&full.call)?;
    ensure!(first.reply.errno == libc::EADDRNOTAVAIL, "the full destination answered {}", first.reply.errno);
    let socket = full.victim.open(Tcp4, &[])?;
    full.victim.must(&Command::Connect(socket, other_server()))?;
    agent.stop()?;
    Ok(format!("{} sockets on {ports} ports; {} numbers right", 65, lines.len()))
}
