//! `lineup odds`: restarts servers many hundred times under load, and compares how often they lost their port with what
//! `portwatch audit` had said before.

mod load;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::netns::{Netns, Range};
use crate::soak::Dice;
use load::{Kind, Load};

/// Small, so that a port is lost often enough to be counted.
const RANGE: Range = Range { low: 42_000, high: 42_099 };
/// How long a restart takes here.
const DOWNTIME: Duration = Duration::from_millis(100);
/// How long the server is up between two restarts, to twice as long: until the clients are again as many as they were.
/// It is drawn: else the restarts and the clients' walk over the
/// range would keep in step, and the same part of it would be met every time.
const UPTIME: Duration = Duration::from_millis(120);
/// How long a lost port may stay lost once the clients were told to let go.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much of the prediction the model may be off, beside chance.
const MODEL: f64 = 0.2;
/// Standard deviations of chance that are let pass.
const DEVIATIONS: f64 = 4.0;

/// A server, and who takes ports meanwhile.
#[derive(Clone, Copy, Debug)]
struct Setting {
    name: &'static str,
    port: u16,
    protocol: &'static str,
    load: Kind,
    reserved: &'static str,
    own: Own,
}

/// What the server leaves on its port while it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    Nothing,
    /// A connection that it had accepted.
    Connection,
}

const SETTINGS: [Setting; 8] = [
    Setting { name: "odds-first-parity", load: Kind::Connects { peers: 1, network: 1 }, ..PLAIN },
    Setting { name: "odds-many-peers", load: Kind::Connects { peers: 40, network: 2 }, ..PLAIN },
    Setting {
        name: "odds-other-parity",
        port: 42_051,
        load: Kind::Connects { peers: 1, network: 3 },
        ..PLAIN
    },
    Setting {
        name: "odds-after-a-block",
        port: 42_042,
        reserved: "42002-42041",
        load: Kind::Connects { peers: 1, network: 4 },
        ..PLAIN
    },
    Setting {
        name: "odds-after-a-block-many-peers",
        port: 42_042,
        reserved: "42002-42041",
        load: Kind::Connects { peers: 200, network: 5 },
        ..PLAIN
    },
    Setting { name: "odds-bind-to-port-0", port: 42_051, load: Kind::Binds, ..PLAIN },
    Setting { name: "odds-udp", protocol: "udp", load: Kind::Datagrams, ..PLAIN },
    Setting {
        name: "odds-own-connection",
        own: Own::Connection,
        load: Kind::Connects { peers: 1, network: 6 },
        ..PLAIN
    },
];

const PLAIN: Setting = Setting {
    name: "",
    port: 42_050,
    protocol: "tcp",
    load: Kind::Connects { peers: 1, network: 1 },
    reserved: "",
    own: Own::Nothing,
};

/// What was said, and what happened.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    predicted: f64,
    lost: u32,
    restarts: u32,
    run: u64,
}

/// Plays all settings side by side; whether the odds were right.
pub(crate) fn run(program: &Path, restarts: u32, only: &[String]) -> Result<bool> {
    let play = |setting: &'static Setting| {
        let outcome = Netns::new(RANGE).and_then(|netns| {
            let path = netns.path();
            netns.within(|| play(program, &path, setting, restarts))
        });
        match outcome.and_then(|outcome| judge(setting, outcome)) {
            Ok(words) => (true, format!("ok {} {words}", setting.name)),
            Err(error) => (false, format!("FAIL {} {error:#}", setting.name)),
        }
    };
    let is_wanted = |setting: &&Setting| only.is_empty() || only.iter().any(|name| name == setting.name);
    let settings = SETTINGS.iter().filter(is_wanted);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = settings.map(|setting| scope.spawn(move || play(setting))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or((false, "FAIL a thread panicked".into())))
            .collect()
    });
    outcomes.iter().for_each(|(_, line)| println!("{line}"));
    Ok(!outcomes.is_empty() && outcomes.iter().all(|(is_good, _)| *is_good))
}

fn play(program: &Path, netns: &Path, setting: &Setting, restarts: u32) -> Result<Outcome> {
    std::fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", format!("{}\n", setting.reserved))
        .context("reserving ports")?;
    let mut server = Server::start(setting)?;
    let load = Load::start(setting.load)?;
    let mut lost = 0;
    let mut down = Duration::ZERO;
    let mut dice = Dice::new(u64::from(setting.port), 0);
    for _ in 0..restarts {
        let stopped = Instant::now();
        server.stop();
        sleep(DOWNTIME);
        down += stopped.elapsed();
        lost += u32::from(!server.come_back(setting, &load)?);
        sleep(UPTIME + UPTIME * dice.below(100) / 100);
    }
    // A busy machine sleeps longer than it was told.
    let (predicted, run) = ask(program, netns, setting, down / restarts)?;
    load.stop()?;
    Ok(Outcome { predicted, lost, restarts, run })
}

/// The odds that portwatch gives the restart, and the run before the port.
fn ask(program: &Path, netns: &Path, setting: &Setting, downtime: Duration) -> Result<(f64, u64)> {
    let downtime = format!("{}ms", downtime.as_millis());
    let output = Command::new(program)
        .args(["audit", "-o", "json", "--sample", "3s", "--downtime", &downtime, "--netns"])
        .arg(netns)
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    ensure!(output.status.success(), "audit: {}", String::from_utf8_lossy(&output.stderr));
    let audit: Value = serde_json::from_slice(&output.stdout).context("reading the audit")?;
    let findings = audit["findings"].as_array().context("no findings")?;
    let is_ours = |finding: &&Value| {
        finding["kind"] == "listener-in-range"
            && finding["port"] == setting.port
            && finding["protocol"] == setting.protocol
    };
    let odds =
        &findings.iter().find(is_ours).with_context(|| format!("the server is not found: {audit}"))?["odds"];
    ensure!(odds["downtime_from"] == "given", "not the downtime that was given: {odds}");
    let own = odds["own_connections"].as_u64();
    ensure!(own == Some(u64::from(setting.own == Own::Connection)), "own connections: {odds}");
    let restart = odds["restart"].as_f64();
    let is_kept = setting.own == Own::Connection;
    ensure!(
        is_kept == (restart != odds["idle_restart"].as_f64()),
        "its own connections are not counted: {odds}"
    );
    ensure!(!is_kept || restart == Some(0.0), "its own connection keeps the port: {odds}");
    Ok((odds["idle_restart"].as_f64().context("no odds")?, odds["run"].as_u64().context("no run")?))
}

fn judge(setting: &Setting, outcome: Outcome) -> Result<String> {
    let Outcome { predicted, lost, restarts, run } = outcome;
    let observed = f64::from(lost) / f64::from(restarts);
    let words = format!("predicted {predicted:.3}, lost {lost} of {restarts} = {observed:.3}, run {run}");
    if setting.own == Own::Connection {
        ensure!(lost == 0 && predicted > 0.05, "its own connection should have kept the port: {words}");
        return Ok(words);
    }
    let blocks = setting.reserved.is_empty() || run >= 20;
    ensure!(blocks, "20 reserved ports of its parity stand before the port: {words}");
    let chance = DEVIATIONS * (predicted * (1.0 - predicted) / f64::from(restarts)).sqrt();
    ensure!((observed - predicted).abs() <= chance + MODEL * predicted, "too far apart: {words}");
    let is_spared = setting.name == "odds-other-parity";
    ensure!(is_spared == (predicted < 0.01), "{words}");
    Ok(words)
}

/// The server that is restarted.
struct Server {
    socket: Option<Standing>,
    /// What it leaves behind: both ends.
    own: Vec<TcpStream>,
}

enum Standing {
    Tcp(TcpListener),
    Udp(#[expect(dead_code, reason = "it is there to have the port")] UdpSocket),
}

impl Server {
    fn start(setting: &Setting) -> Result<Self> {
        let mut server = Self { socket: Some(stand(setting).context("the first start")?), own: Vec::new() };
        if setting.own == Own::Connection
            && let Some(Standing::Tcp(listener)) = &server.socket
        {
            // From outside the range, so that the other end is none of the clients.
            let client = load::connect_from(7_000, SocketAddr::from((Ipv4Addr::LOCALHOST, setting.port)))?;
            let (accepted, _) = listener.accept()?;
            server.own = vec![client, accepted];
        }
        Ok(server)
    }

    fn stop(&mut self) {
        self.socket = None;
    }

    /// Whether the port was there at once. Otherwise the clients let go, and it is waited for.
    fn come_back(&mut self, setting: &Setting, load: &Load) -> Result<bool> {
        let begun = Instant::now();
        let mut is_first = true;
        loop {
            match stand(setting) {
                Ok(standing) => {
                    self.socket = Some(standing);
                    return Ok(is_first);
                }
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    if begun.elapsed() > PATIENCE {
                        bail!("the port did not come back in {PATIENCE:?}");
                    }
                    is_first = false;
                    load.let_go();
                    sleep(Duration::from_millis(2));
                }
                Err(error) => return Err(error).context("starting again"),
            }
        }
    }
}

fn stand(setting: &Setting) -> std::io::Result<Standing> {
    let at = (Ipv4Addr::UNSPECIFIED, setting.port);
    if setting.protocol == "udp" {
        UdpSocket::bind(at).map(Standing::Udp)
    } else {
        TcpListener::bind(at).map(Standing::Tcp)
    }
}
