//! `lineup agent`: a real agent, real conflicts, and what history, why, metrics and the live tail say of them; then what
//! befalls an agent: a sudden end, a full disk, a second agent, a wrong configuration.

mod conflicts;
mod daemon;
mod disk;

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::actor::Actor;
use crate::netns::Netns;
use crate::scenario::RANGE;
use conflicts::{Scene, Truth};
pub(crate) use daemon::{Daemon, Folder, Setup, ask, reports};

/// An emulated machine on a busy host needs its time.
const PATIENCE: Duration = Duration::from_secs(90);
const NOBODY: u32 = 65_534;

type Check = fn(&Path) -> Result<String>;

/// Stages and compares; whether all is right.
pub(crate) fn run(program: &Path) -> Result<bool> {
    let checks: [(&str, Check); 9] = [
        ("agent-tells-the-morning-after", tells),
        ("agent-counts-listeners-at-risk", counts_at_risk),
        ("agent-flushes-when-stopped", flushes),
        ("agent-killed-leaves-a-history", killed),
        ("agent-alone", alone),
        ("agent-names-who-has-its-port", port_taken),
        ("agent-survives-a-full-disk", full_disk),
        ("agent-reads-its-configuration-again", reload),
        ("agent-refuses-a-wrong-configuration", wrong_configuration),
    ];
    Ok(crate::checks::tell(checks, |check| check(program)))
}

/// History, why, metrics and an unprivileged tail all tell of the same conflict.
fn tells(program: &Path) -> Result<String> {
    let folder = Folder::new("tells")?;
    let mut scene = Scene::new()?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    let mut tail = agent.tail_as(NOBODY)?;
    let truth = scene.conflict()?;
    let live =
        tail.wait(PATIENCE, |report| report["port"] == truth.port).context("the tail tells nothing")?;
    truth.is_told_by(&live).context("the tail")?;
    let port = truth.port.to_string();
    let kept = agent.until(PATIENCE, || {
        let found = reports(&ask(program, &folder, &["history", "-o", "json", "--port", &port])?)?;
        Ok(found.into_iter().next())
    })?;
    truth.is_told_by(&kept.context("the history has nothing")?).context("the history")?;
    let why = ask(program, &folder, &["why", &port, "-o", "json"])?;
    ensure!(why.status.code() == Some(3), "why found something and ended with {}", why.status);
    let story: Value = serde_json::from_slice(&why.stdout).context("why is not JSON")?;
    truth.is_told_by(&story["conflicts"][0]).context("why")?;
    let words = String::from_utf8(ask(program, &folder, &["why", &port])?.stdout)?;
    ensure!(words.contains(&truth.thief), "why does not name {}: {words}", truth.thief);
    let nothing = ask(program, &folder, &["why", "7"])?;
    ensure!(nothing.status.code() == Some(0), "nothing was found, and why ended with {}", nothing.status);
    let metrics = agent.get("/metrics")?;
    let counted =
        "portwatch_conflicts_total{protocol=\"tcp\",operation=\"bind\",cause=\"ephemeral-client\"} 1";
    ensure!(metrics.contains(counted), "no line {counted}");
    ensure!(agent.get("/readyz")?.starts_with("HTTP/1.1 200 "), "not ready");
    agent.stop()?;
    Ok(format!("port {port}: tail, history, why and metrics agree"))
}

/// Ports that somebody wants by number, in a namespace that is not the agent's own; not those that the kernel chose.
fn counts_at_risk(program: &Path) -> Result<String> {
    let folder = Folder::new("at-risk")?;
    let (home, elsewhere) = (Netns::new(RANGE)?, Netns::new(RANGE)?);
    let count = || {
        let agent = Daemon::start(program, &folder, &home, &Setup::default())?;
        let metrics = agent.get("/metrics")?;
        agent.stop()?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("portwatch_listeners_at_risk "));
        let number: u64 = line.context("no such metric")?.trim().parse()?;
        Ok::<_, anyhow::Error>(number)
    };
    let before = count()?;
    // A namespace is found by who is in it.
    let _resident = Actor::start(&elsewhere, "resident".as_ref())?;
    let sockets = elsewhere.within(|| {
        let fixed = [TcpListener::bind("0.0.0.0:42050")?, TcpListener::bind("[::1]:42051")?];
        let any = [TcpListener::bind("0.0.0.0:0")?, TcpListener::bind("0.0.0.0:8080")?];
        let udp = [UdpSocket::bind("0.0.0.0:42060")?, UdpSocket::bind("0.0.0.0:0")?];
        Ok((fixed, any, udp))
    })?;
    let after = count()?;
    ensure!(after == before + 3, "three more ports are at risk, and it counts {before}, then {after}");
    drop(sockets);
    Ok(format!("{before}, then {after}"))
}

/// What was told a moment before SIGTERM is in the history.
fn flushes(program: &Path) -> Result<String> {
    const CONFLICTS: usize = 30;
    let folder = Folder::new("flushes")?;
    let mut scene = Scene::new()?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    let truths = (0..CONFLICTS).map(|_| scene.conflict()).collect::<Result<Vec<_>>>()?;
    let said = agent.stop()?;
    ensure!(said.contains(&format!("{CONFLICTS} conflicts")), "the summary is another: {said}");
    ensure!(said.contains("nothing lost"), "something was lost: {said}");
    are_kept(program, &folder, &truths)?;
    ensure!(!folder.socket().exists(), "the socket is still there");
    Ok(format!("{CONFLICTS} conflicts kept"))
}

/// The history can be read after `kill -9`, and the next agent goes on with it.
fn killed(program: &Path) -> Result<String> {
    let folder = Folder::new("killed")?;
    let mut scene = Scene::new()?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    let mut truths = (0..10).map(|_| scene.conflict()).collect::<Result<Vec<_>>>()?;
    agent.until(PATIENCE, || Ok(are_kept(program, &folder, &truths).ok()))?.context("not kept in time")?;
    agent.kill()?;
    are_kept(program, &folder, &truths).context("after kill -9")?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    truths.push(scene.conflict()?);
    agent.stop()?;
    are_kept(program, &folder, &truths).context("after the next agent")?;
    Ok(format!("{} conflicts kept across two agents", truths.len()))
}

fn are_kept(program: &Path, folder: &Folder, truths: &[Truth]) -> Result<()> {
    let kept = reports(&ask(program, folder, &["history", "-o", "json", "--limit", "1000"])?)?;
    for truth in truths {
        let found = kept.iter().find(|report| report["port"] == truth.port);
        truth.is_told_by(found.with_context(|| format!("port {} is not kept", truth.port))?)?;
    }
    ensure!(kept.len() == truths.len(), "{} kept, {} made", kept.len(), truths.len());
    Ok(())
}

/// A second agent is refused, and says why.
fn alone(program: &Path) -> Result<String> {
    let folder = Folder::new("alone")?;
    let scene = Scene::new()?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    let error = refused(Daemon::start(program, &folder, &scene.netns, &Setup::default()))?;
    ensure!(error.contains("another agent answers"), "says {error}");
    let other = Folder::new("alone-too")?;
    let error = refused(Daemon::start(program, &other, &scene.netns, &Setup::default()))?;
    let first = agent.pid().to_string();
    ensure!(error.contains(&first), "does not name {first}, who has the port: {error}");
    ensure!(agent.get("/healthz")?.starts_with("HTTP/1.1 200 "), "the first one suffered");
    agent.stop()?;
    Ok(error.lines().next().unwrap_or_default().to_owned())
}

/// The agent's own port, taken by a client: it must name the thief like anybody else's.
fn port_taken(program: &Path) -> Result<String> {
    let folder = Folder::new("taken")?;
    let mut scene = Scene::new()?;
    let (port, thief, pid) = scene.steal()?;
    let setup = Setup { listen: Some(port) };
    let error = refused(Daemon::start(program, &folder, &scene.netns, &setup))?;
    ensure!(error.contains(&format!("{thief}[{pid}]")), "does not name {thief}[{pid}]: {error}");
    Ok(format!("port {port}: {thief}[{pid}]"))
}

/// The disk is full: the agent goes on, and what it could not keep is counted.
fn full_disk(program: &Path) -> Result<String> {
    const CONFLICTS: usize = 300;
    let folder = Folder::new("full")?;
    let _disk = disk::Small::mount(&folder.store_folder(), 1 << 20)?;
    let mut scene = Scene::new()?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    for _ in 0..CONFLICTS {
        scene.conflict()?;
    }
    let counted = format!("{{protocol=\"tcp\",operation=\"bind\",cause=\"ephemeral-client\"}} {CONFLICTS}\n");
    let metrics = agent.until(PATIENCE, || {
        let metrics = agent.get("/metrics")?;
        let is_done = metrics.contains(&counted) && value(&metrics, "portwatch_store_errors_total") > 0.0;
        Ok(is_done.then_some(metrics))
    })?;
    metrics.context("not all were counted, or no error of the store")?;
    let said = agent.stop()?;
    let kept = reports(&ask(program, &folder, &["history", "-o", "json", "--limit", "1000"])?)?.len();
    let lost = lost_by(&said, "store");
    ensure!(kept > 0 && lost > 0, "{kept} kept, {lost} lost: {said}");
    ensure!(kept as u64 + lost == CONFLICTS as u64, "{kept} kept and {lost} lost of {CONFLICTS}: {said}");
    Ok(format!("{kept} kept, {lost} counted as lost"))
}

fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// `…; lost: 12 store, 3 channel full`
fn lost_by(said: &str, stage: &str) -> u64 {
    let list = said.split_once("; lost: ").map_or("", |(_, list)| list.lines().next().unwrap_or_default());
    let mut entries = list.split(", ").filter_map(|entry| entry.split_once(' '));
    entries.find(|(_, name)| *name == stage).and_then(|(count, _)| count.parse().ok()).unwrap_or_default()
}

/// SIGHUP: a wrong file changes nothing, and is told of with its line; a right one counts.
fn reload(program: &Path) -> Result<String> {
    let folder = Folder::new("reload")?;
    let mut scene = Scene::new()?;
    folder.configure("store_age = '1d'\n")?;
    let agent = Daemon::start(program, &folder, &scene.netns, &Setup::default())?;
    folder.configure("store_age = '2d'\n\nstore_agge = '3d'\n")?;
    agent.hang_up()?;
    let words = agent.hear(PATIENCE, "not reloaded").context("a wrong file was not told of")?;
    ensure!(words.contains(":3: ") && words.contains("did you mean store_age"), "says {words}");
    folder.configure("store_age = '2d'\nbackend = 'auto'\ntable_size = 1024\n")?;
    agent.hang_up()?;
    let words = agent.hear(PATIENCE, "needs a restart").context("what needs a restart was not told of")?;
    ensure!(words.contains("table_size") && !words.contains("store_age"), "says {words}");
    agent.hear(PATIENCE, "read again").context("not read again")?;
    let truth = scene.conflict()?;
    agent.stop()?;
    are_kept(program, &folder, &[truth])?;
    Ok("a wrong file is refused, a right one counts".to_owned())
}

fn wrong_configuration(program: &Path) -> Result<String> {
    let folder = Folder::new("wrong")?;
    let scene = Scene::new()?;
    folder.configure("# mine\nlisten_to = '127.0.0.1:1'\n")?;
    let error = refused(Daemon::start(program, &folder, &scene.netns, &Setup::default()))?;
    ensure!(error.contains(":2: there is no key \"listen_to\""), "says {error}");
    ensure!(error.contains("(exit status: 2)"), "another exit code: {error}");
    Ok(error.lines().next().unwrap_or_default().to_owned())
}

fn refused(started: Result<Daemon>) -> Result<String> {
    match started {
        Ok(_) => anyhow::bail!("it was started"),
        Err(error) => Ok(format!("{error:#}")),
    }
}
