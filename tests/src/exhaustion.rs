//! `lineup exhaustion`: fills ephemeral ranges in every way, and compares what portwatch says of the refused call with what
//! really has the ports; then does what the first advice says, and makes the same call again.

mod example;
mod judge;
mod metrics;
mod obey;
mod stage;

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::netns::Range;
use crate::product::{Backend, Portwatch, Started};
use crate::wire::Command;
use crate::wire::Transport::{Tcp4, Udp4};
use judge::InUse;
use stage::{Full, Scene};

/// An emulated machine on a busy host needs its time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the call is made again until the advice has had its effect.
const TURN: Duration = Duration::from_millis(50);
/// More than a narrow range, and less than a process may have open.
const WIDE: Range = Range { low: 42_000, high: 42_599 };
const PORTS: u32 = 600;
/// Outside of every range, as the default range is.
const SERVER: u16 = 9_000;

/// Fills a range; what must be reported, and what the first advice is.
type Fill = fn(&Scene) -> Result<Full>;

/// Stages, compares and obeys on every backend that this kernel admits; whether all is right, on one at least.
pub(crate) fn run(program: &Path, backends: &[Backend], page: Option<&Path>) -> Result<bool> {
    let (mut played, mut failed) = (0, 0);
    for &backend in backends {
        match Portwatch::start(program, backend, 1)? {
            Started::Ready(portwatch) => {
                played += 1;
                failed += on_backend(program, backend, portwatch)?;
            }
            Started::Unavailable(why) => println!("skip exhaustion {}: {why}", backend.name()),
        }
    }
    if let Some(page) = page {
        failed += tell("exhaustion-example-of-the-documents", example::check(page));
    }
    Ok(failed == 0 && played > 0)
}

/// Every way; how many went wrong.
fn on_backend(program: &Path, backend: Backend, mut portwatch: Portwatch) -> Result<usize> {
    let ways: [(&str, Fill); 8] = [
        ("exhausted-by-bound-sockets", by_bound),
        ("exhausted-by-clients-that-bound", by_bound_clients),
        ("exhausted-towards-one-destination", towards_one),
        ("exhausted-by-time-wait", by_time_wait),
        ("exhausted-by-reserved-ports", by_reserved),
        ("exhausted-narrow-range", narrow),
        ("exhausted-udp", udp),
        ("exhausted-for-listen", for_listen),
    ];
    let full_name = |name: &str| format!("{}/{name}", backend.name());
    // The kernel gives the number of a namespace that is gone to the next one: two would look like one.
    let scenes = ways.iter().map(|_| Scene::new(WIDE)).collect::<Result<Vec<_>>>()?;
    let mut failed = 0;
    for ((name, fill), scene) in ways.into_iter().zip(&scenes) {
        failed += tell(&full_name(name), play(program, &portwatch, scene, fill));
    }
    let faults = portwatch.stop()?;
    ensure!(faults.is_empty(), "at the end of portwatch: {faults:?}");
    Ok(failed + tell(&full_name("exhaustion-metrics"), metrics::check(program, backend)))
}

/// Says how one went; 1 if it went wrong.
fn tell(name: &str, outcome: Result<String>) -> usize {
    match outcome {
        Ok(words) => println!("ok {name} {words}"),
        Err(error) => {
            println!("FAIL {name} {error:#}");
            return 1;
        }
    }
    0
}

/// One range: filled, refused, judged, mended.
fn play(program: &Path, portwatch: &Portwatch, scene: &Scene, fill: Fill) -> Result<String> {
    let mut full = fill(scene)?;
    let answer = full.victim.ask(&full.call)?;
    ensure!(
        answer.reply.errno == full.errno,
        "the call was answered with {}, not {}",
        answer.reply.errno,
        full.errno
    );
    let is_it = |report: &Value| report["netns"] == scene.netns.inode && report["cause"] == "exhausted";
    let report = portwatch.wait_for(PATIENCE, is_it).context("nothing was reported")?;
    let said = judge::compare(&report, &full.truth).with_context(|| format!("of {report}"))?;
    elsewhere(&mut full).context("another destination")?;
    let advice = &report["advice"][0];
    ensure!(advice["action"] == full.advice, "the first advice is {advice}, not {}", full.advice);
    for command in judge::texts(&advice["commands"]) {
        obey::obey(program, &command).with_context(|| format!("doing what is advised: {command}"))?;
    }
    again(&mut full)?;
    let reports = portwatch.reports().into_iter().filter(|report| is_it(report));
    let unasked: Vec<_> = reports
        .filter(|report| report["exhaustion"]["destination"] != full.truth.destination_json())
        .collect();
    ensure!(unasked.is_empty(), "a call was reported that was not refused: {unasked:?}");
    Ok(format!("{said}; {} helps", full.advice))
}

/// What is full for one destination is not for another, unless nobody shares the ports.
fn elsewhere(full: &mut Full) -> Result<()> {
    let Some((to, errno)) = full.elsewhere else { return Ok(()) };
    let socket = full.victim.open(Tcp4, &[])?;
    let answer = full.victim.ask(&Command::Connect(socket, to))?;
    ensure!(answer.reply.errno == errno, "connect() to {to} was answered with {}", answer.reply.errno);
    full.victim.must(&Command::Close(socket))?;
    Ok(())
}

/// The same call, until it goes well.
fn again(full: &mut Full) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = full.victim.ask(&full.call)?;
        if answer.reply.errno == 0 {
            return Ok(());
        }
        let error = std::io::Error::from_raw_os_error(answer.reply.errno);
        ensure!(Instant::now() < deadline, "after doing what was advised the call still ends with {error}");
        std::thread::sleep(TURN);
    }
}

fn server() -> SocketAddr {
    Tcp4.loopback(SERVER)
}

/// The same port of another address of the loopback.
fn other_server() -> SocketAddr {
    ([127, 0, 0, 2], SERVER).into()
}

/// Two processes have bound all of it.
fn by_bound(scene: &Scene) -> Result<Full> {
    let mut full = scene.connecting(server())?;
    for (name, count) in [("hoarder-most", 500), ("hoarder-rest", 100)] {
        let held = full.cast(scene, name, |actor| stage::bind(actor, Tcp4, count))?;
        full.truth.holders.push(held);
    }
    full.truth.in_use = InUse { bound: PORTS, ..InUse::default() };
    full.truth.unavailable = PORTS;
    full.truth.destination = Some((server(), 0, 0));
    Ok(Full { advice: "free-port", elsewhere: Some((other_server(), libc::EADDRNOTAVAIL)), ..full })
}

/// Clients that bind their source address, and with it a port, before they connect: no destination shares it.
fn by_bound_clients(scene: &Scene) -> Result<Full> {
    let mut full = scene.connecting(server())?;
    let held = full.cast(scene, "client-bound", |actor| stage::bind_and_connect(actor, server(), PORTS))?;
    full.truth.holders.push(held);
    full.truth.in_use = InUse { established: PORTS, ..InUse::default() };
    full.truth.unavailable = PORTS;
    full.truth.destination = Some((server(), 0, 0));
    Ok(Full { advice: "widen-range", elsewhere: Some((other_server(), libc::EADDRNOTAVAIL)), ..full })
}

/// Connections to one destination have all ports but ten, on which somebody listens. Another is as near as ever.
fn towards_one(scene: &Scene) -> Result<Full> {
    let mut full = scene.connecting(server())?;
    let listening = full.cast(scene, "listens-inside", |actor| stage::listen(actor, WIDE.low, 10))?;
    let other = full.cast(scene, "client-other", |actor| stage::connect(actor, other_server(), 7))?;
    let clients = full.cast(scene, "client-one", |actor| stage::connect(actor, server(), PORTS - 10))?;
    full.cast(scene, "listens-above", |actor| stage::listen(actor, 50_000, 1))?;
    full.truth.holders.extend([clients, listening, other]);
    full.truth.in_use = InUse { established: PORTS - 10, listen: 10, ..InUse::default() };
    full.truth.unavailable = 10;
    full.truth.destination = Some((server(), PORTS - 10, 0));
    full.truth.others = vec![(other_server(), 7, 0)];
    Ok(Full { advice: "widen-range", elsewhere: Some((other_server(), 0)), ..full })
}

/// Closed connections.
fn by_time_wait(scene: &Scene) -> Result<Full> {
    scene.set("tcp_tw_reuse", "0")?;
    let mut full = scene.connecting(server())?;
    let held = full.close(scene, "client-closed", server(), PORTS)?;
    full.truth.holders.push(held);
    full.truth.in_use = InUse { time_wait: PORTS, ..InUse::default() };
    full.truth.destination = Some((server(), PORTS, PORTS));
    Ok(Full { advice: "reuse-time-wait", elsewhere: Some((other_server(), 0)), ..full })
}

/// Most of the range is reserved; a few sockets fill the rest.
fn by_reserved(scene: &Scene) -> Result<Full> {
    scene.set("ip_local_reserved_ports", "42050-42599,8080")?;
    let mut full = scene.connecting(server())?;
    let held = full.cast(scene, "hoarder-few", |actor| stage::bind(actor, Tcp4, 50))?;
    full.truth.holders.push(held);
    (full.truth.reserved, full.truth.reserved_list) = (550, "42050-42599");
    full.truth.in_use = InUse { bound: 50, ..InUse::default() };
    full.truth.unavailable = 50;
    full.truth.destination = Some((server(), 0, 0));
    Ok(Full { advice: "unreserve-port", elsewhere: Some((other_server(), libc::EADDRNOTAVAIL)), ..full })
}

/// Four ports are no load, but configuration.
fn narrow(scene: &Scene) -> Result<Full> {
    let range = Range { low: WIDE.low, high: WIDE.low + 3 };
    scene.set("ip_local_port_range", &format!("{} {}", range.low, range.high))?;
    let mut full = scene.binding(Tcp4)?;
    full.truth.range = range;
    let held = full.cast(scene, "hoarder-four", |actor| stage::bind(actor, Tcp4, 4))?;
    full.truth.holders.push(held);
    full.truth.in_use = InUse { bound: 4, ..InUse::default() };
    full.truth.unavailable = 4;
    Ok(Full { advice: "widen-range", ..full })
}

/// A socket for each message.
fn udp(scene: &Scene) -> Result<Full> {
    let mut full = scene.sending()?;
    let held = full.cast(scene, "sender-many", |actor| stage::send(actor, 400))?;
    full.truth.holders.push(held);
    let held = full.cast(scene, "hoarder-udp", |actor| stage::bind(actor, Udp4, 200))?;
    full.truth.holders.push(held);
    full.truth.in_use = InUse { bound: PORTS, ..InUse::default() };
    full.truth.unavailable = PORTS;
    Ok(Full { advice: "free-port", ..full })
}

/// listen() without bind wants a port that nobody has, not even a connection.
fn for_listen(scene: &Scene) -> Result<Full> {
    let mut full = scene.listening()?;
    full.serve(scene, server())?;
    let held = full.cast(scene, "client-all", |actor| stage::connect(actor, server(), PORTS))?;
    full.truth.holders.push(held);
    full.truth.in_use = InUse { established: PORTS, ..InUse::default() };
    full.truth.others = vec![(server(), PORTS, 0)];
    Ok(Full { advice: "widen-range", ..full })
}
