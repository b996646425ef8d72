//! The two programs that run meanwhile: the agent, as root, and Prometheus, as whoever tests.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::{TICK, free_port, tail};
use crate::setup::prometheus::Tools;
use crate::{project, run};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What Prometheus knows, and its bcrypt hash of the lowest usual cost.
const PASSWORD: &str = "secret";
const PASSWORD_HASH: &str = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

/// The certificates of the tests.
fn certificate(name: &str) -> PathBuf {
    project::root().join("portwatch/tests/fixtures/tls").join(name)
}

/// A real agent.
pub(super) struct Agent {
    pub(super) port: u16,
    child: Child,
    log: PathBuf,
    web: PathBuf,
    is_stopped: bool,
}

impl Agent {
    pub(super) fn start(portwatch: &Path, folder: &Path) -> Result<Self> {
        let port = free_port(19_737)?;
        // Nothing of this machine's own configuration.
        let config = folder.join("portwatch.toml");
        fs::write(&config, "")?;
        let web = folder.join("web.yml");
        fs::write(&web, "")?;
        let log = folder.join("agent.log");
        let mut command = run::as_root(portwatch)?;
        command.arg("agent").arg("--config").arg(&config).arg("--store").arg(folder.join("history.db"));
        command.arg("--web-config").arg(&web);
        command.args(["--listen", &format!("127.0.0.1:{port}"), "--socket", "off", "--journal", "off"]);
        let child = spawn(&mut command, &log)?;
        Ok(Self { port, child, log, web, is_stopped: false })
    }

    /// From now on only by TLS and with the password, without a restart.
    pub(super) fn lock(&self) -> Result<()> {
        let (cert, key) = (certificate("server.pem"), certificate("server.key"));
        let text = format!(
            "tls_server_config:\n  cert_file: {}\n  key_file: {}\nbasic_auth_users:\n  prometheus: {PASSWORD_HASH}\n",
            cert.display(),
            key.display()
        );
        let fresh = self.web.with_extension("new");
        fs::write(&fresh, text)?;
        Ok(fs::rename(&fresh, &self.web)?)
    }

    /// Waits until its hooks are attached.
    pub(super) fn wait_until_ready(&mut self, deadline: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let Err(said) = self.get("/readyz") else { return Ok(()) };
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none() && start.elapsed() < deadline,
                "the agent is not ready: {said:#}\n    {}",
                tail(&self.log)
            );
            sleep(TICK);
        }
    }

    /// The body of a good answer.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status == "200", "{path}: {status} {}", body.trim());
        Ok(body.to_owned())
    }

    /// As a service manager ends it; it must end well.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.terminate()?;
        let status = self.child.wait()?;
        ensure!(status.success(), "the agent ended with {status}\n    {}", tail(&self.log));
        Ok(())
    }

    fn terminate(&mut self) -> Result<()> {
        self.is_stopped = true;
        let mut kill = run::as_root(Path::new("/bin/kill"))?;
        run::output(kill.args(["-TERM", &self.child.id().to_string()])).map(|_| ())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !self.is_stopped && matches!(self.child.try_wait(), Ok(None)) && self.terminate().is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// A real Prometheus.
pub(super) struct Server {
    port: u16,
    child: Child,
}

impl Server {
    pub(super) fn start(tools: &Tools, folder: &Path, agent: u16, rules: &Path) -> Result<Self> {
        let port = free_port(19_090)?;
        let config = folder.join("prometheus.yml");
        fs::write(&config, configuration(agent, rules))?;
        let mut command = Command::new(&tools.prometheus);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let log = folder.join("prometheus.log");
        let mut child = spawn(&mut command, &log)?;
        sleep(TICK);
        if let Some(status) = child.try_wait()? {
            bail!("Prometheus ended with {status}\n    {}", tail(&log));
        }
        Ok(Self { port, child })
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One job as most have it, and one with TLS and a password, which the agent does not want at first.
fn configuration(agent: u16, rules: &Path) -> String {
    let target = format!("static_configs: [{{targets: [\"127.0.0.1:{agent}\"]}}]");
    format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [\"{}\"]\nscrape_configs:\n\
         - job_name: portwatch\n  {target}\n\
         - job_name: locked\n  {target}\n  scheme: https\n  tls_config: {{ca_file: \"{}\"}}\n\
         \x20 basic_auth: {{username: prometheus, password: {PASSWORD}}}\n",
        rules.display(),
        certificate("ca.pem").display(),
    )
}

fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let output = File::create(log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))
}
