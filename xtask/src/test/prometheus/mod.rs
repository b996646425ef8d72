//! The metrics, the alert rules and the dashboard against the real Prometheus: it scrapes a real agent while ports are
//! refused for real, and everything is asked back of it.

mod dashboard;
mod servers;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::prometheus::{self, Tools};
use crate::{project, run};
use servers::{Agent, Server};

/// What must happen happens within this, on a loaded machine too.
const DEADLINE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(200);
/// Refusals of the conflict that this program makes with itself.
const OWN: u32 = 3;

/// All of it; what it came to in a line.
pub(super) fn check(portwatch: &Path) -> Result<String> {
    let tools = prometheus::obtain()?;
    let contrib = project::root().join("contrib/prometheus");
    promtool(&tools, &["check", "rules"], &contrib.join("portwatch.rules.yml"))?;
    promtool(&tools, &["test", "rules"], &contrib.join("portwatch.rules.test.yml"))?;

    let folder = project::target().join("prometheus");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let mut agent = Agent::start(portwatch, &folder)?;
    agent.wait_until_ready(DEADLINE)?;
    check_metrics(&tools, &agent)?;
    let server = Server::start(&tools, &folder, agent.port, &contrib.join("portwatch.rules.yml"))?;
    let asked = Asked { tools: &tools, url: server.url() };
    asked.wait("up{job=\"portwatch\"} == 1").context("Prometheus does not scrape the agent")?;
    conflicts(&asked, portwatch)?;
    let queries = dashboard::queries(&project::root().join("contrib/grafana/portwatch.json"))?;
    for query in &queries {
        asked.wait(&query.text).with_context(|| format!("the dashboard's {:?} has no data", query.of))?;
    }
    let alert = "ALERTS{alertname=\"PortwatchConflict\", cause=\"own-socket\", alertstate=\"firing\"}";
    asked.wait(alert).context("the alert does not fire")?;
    check_metrics(&tools, &agent)?;
    asked.wait("up{job=\"locked\"} == 0").context("TLS is spoken though nobody wants it")?;
    agent.lock()?;
    asked.wait("up{job=\"locked\"} == 1").context("Prometheus does not get in with TLS and a password")?;
    asked.wait("up{job=\"portwatch\"} == 0").context("Prometheus gets in without TLS and a password")?;
    agent.stop()?;
    asked.wait("up{job=\"locked\"} == 0").context("Prometheus does not notice that the agent is gone")?;
    Ok(format!("real Prometheus: conflicts counted, {} queries of the dashboard answered", queries.len()))
}

/// Real conflicts, and that Prometheus tells of each what is true of it.
fn conflicts(asked: &Asked<'_>, portwatch: &Path) -> Result<()> {
    let total = |metric: &str, cause: &str| format!("sum(portwatch_{metric}_total{{cause=\"{cause}\"}})");
    let own = [total("conflicts", "own-socket"), total("refusals", "own-socket")];
    let client = total("conflicts", "ephemeral-client");
    let before_own = [asked.number(&own[0])?, asked.number(&own[1])?];
    let before_client = asked.number(&client)?;

    let listener = TcpListener::bind("127.0.0.1:0").context("no port to listen on")?;
    let address = listener.local_addr()?;
    for _ in 0..OWN {
        ensure!(TcpListener::bind(address).is_err(), "the kernel gave {address} away twice");
    }
    // Other conflicts of this host may come in between, so at least that many.
    asked
        .wait(&format!("{} >= {}", own[0], before_own[0] + 1.0))
        .context("our own conflict is not counted")?;
    let refusals = before_own[1] + f64::from(OWN);
    asked.wait(&format!("{} >= {refusals}", own[1])).context("its refusals are not counted")?;

    let mut demo = run::as_root(portwatch)?;
    run::quiet(demo.args(["demo", "-o", "json"]), "portwatch demo", "a port that a client was given")?;
    asked.wait(&format!("{client} >= {}", before_client + 1.0)).context("the stolen port is not counted")?;
    let last = "time() - portwatch_last_conflict_timestamp_seconds{cause=\"ephemeral-client\"} < 120";
    asked.wait(last).context("the time of the stolen port is not told")?;
    Ok(())
}

/// Names, types and help as Prometheus's own linter wants them.
fn check_metrics(tools: &Tools, agent: &Agent) -> Result<()> {
    let exposition = agent.get("/metrics")?;
    let path = project::target().join("prometheus/metrics.txt");
    fs::write(&path, &exposition)?;
    let output = Command::new(&tools.promtool)
        .args(["check", "metrics"])
        .stdin(fs::File::open(&path)?)
        .output()
        .context("cannot start promtool")?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
    // Its advice is printed with an exit code of its own; none is wanted.
    ensure!(output.status.success() && said.is_empty(), "promtool check metrics: {said}");
    Ok(())
}

fn promtool(tools: &Tools, words: &[&str], file: &Path) -> Result<()> {
    let mut command = Command::new(&tools.promtool);
    // The tests name their rules by a path beside them.
    command.current_dir(file.parent().context("a file has a folder")?).args(words).arg(file);
    run::output(&mut command).map(|_| ())
}

/// Prometheus, asked for what it knows.
struct Asked<'a> {
    tools: &'a Tools,
    url: String,
}

impl Asked<'_> {
    /// The lines of an answer; none if there is no data.
    fn ask(&self, query: &str) -> Result<Vec<String>> {
        let mut command = Command::new(&self.tools.promtool);
        command.args(["query", "instant", &self.url, query]);
        let lines = run::output(&mut command)?;
        Ok(lines.lines().filter(|line| line.contains("=>")).map(str::to_owned).collect())
    }

    /// The number of a query that has one series: `{} => 3 @[1795489964.1]`.
    fn number(&self, query: &str) -> Result<f64> {
        let lines = self.ask(query)?;
        let [line] = lines.as_slice() else { bail!("{query}: {} series", lines.len()) };
        let value = line.split("=> ").nth(1).and_then(|rest| rest.split(' ').next());
        value.and_then(|text| text.parse().ok()).with_context(|| format!("{query}: {line}"))
    }

    /// Asks until there is data.
    fn wait(&self, query: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            // It may not answer yet; what it says in the end counts.
            let said = match self.ask(query) {
                Ok(lines) if !lines.is_empty() => return Ok(()),
                Ok(_) => "no data".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            ensure!(start.elapsed() < DEADLINE, "{query}: {said}");
            sleep(TICK);
        }
    }
}

/// A port of the loopback device that nobody has, below the ephemeral range: no client gets it meanwhile.
fn free_port(from: u16) -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (from..from + 200).find(is_free).with_context(|| format!("no free port from {from} on"))
}

/// The log of a program in a folder, for a message.
fn tail(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n    ")
}
