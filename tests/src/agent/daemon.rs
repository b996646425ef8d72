//! `portwatch agent` as a black box, in a network namespace of its own, with all its files in one folder.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::PATIENCE;
use crate::netns::Netns;

const PORT: u16 = 9_737;
/// A group that is on every system, for the socket.
const GROUP: u32 = 0;
const TURN: Duration = Duration::from_millis(50);

/// A folder for one agent; gone on drop.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lineup-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        fs::write(path.join("portwatch.toml"), "")?;
        Ok(Self(path))
    }

    pub(crate) fn configure(&self, text: &str) -> Result<()> {
        fs::write(self.configuration(), text).context("writing the configuration")
    }

    pub(super) fn store_folder(&self) -> PathBuf {
        self.0.join("lib")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("run/portwatch.sock")
    }

    fn store(&self) -> PathBuf {
        self.store_folder().join("history.db")
    }

    fn configuration(&self) -> PathBuf {
        self.0.join("portwatch.toml")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// How an agent is started, beside its folder.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// Where metrics are served.
    pub(crate) listen: Option<u16>,
}

/// A running agent; killed on drop.
pub(crate) struct Daemon {
    child: Child,
    words: Arc<Mutex<Vec<String>>>,
    program: PathBuf,
    socket: PathBuf,
    /// A path into its namespace.
    netns: PathBuf,
    port: u16,
}

impl Daemon {
    /// Waits until it is ready; its own words are the error if it ends before.
    pub(crate) fn start(program: &Path, folder: &Folder, netns: &Netns, setup: &Setup) -> Result<Self> {
        let port = setup.listen.unwrap_or(PORT);
        let mut command = Command::new(program);
        command.arg("agent").arg("--config").arg(folder.configuration());
        command.arg("--store").arg(folder.store()).arg("--socket").arg(folder.socket());
        command.args([
            "--socket-group",
            "root",
            "--journal",
            "off",
            "--listen",
            &format!("127.0.0.1:{port}"),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = netns.within(move || command.spawn().context("starting the agent"))?;
        let stderr = child.stderr.take().context("the agent came without a pipe")?;
        let words = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&words);
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let (program, socket, netns) = (program.to_owned(), folder.socket(), netns.path());
        let mut daemon = Self { child, words, program, socket, netns, port };
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if daemon.said().contains("portwatch: metrics at ") {
                return Ok(daemon);
            }
            if let Some(status) = daemon.child.try_wait()? {
                // Its pipe may still have the last line.
                thread::sleep(TURN);
                bail!("{} ({status})", daemon.said().trim_end());
            }
            thread::sleep(TURN);
        }
        bail!("the agent is not ready; it said: {}", daemon.said())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it said so far.
    fn said(&self) -> String {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// The line with these words, waited for.
    pub(super) fn hear(&self, patience: Duration, words: &str) -> Result<String> {
        let find = || Ok(self.said().lines().find(|line| line.contains(words)).map(str::to_owned));
        self.until(patience, find)?.with_context(|| format!("it said: {}", self.said()))
    }

    /// Asks until there is an answer, or the time is up.
    pub(crate) fn until<T>(
        &self,
        patience: Duration,
        mut ask: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let deadline = Instant::now() + patience;
        loop {
            let answer = ask()?;
            if answer.is_some() || Instant::now() > deadline {
                return Ok(answer);
            }
            thread::sleep(TURN);
        }
    }

    /// An HTTP answer with its head.
    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let (netns, port) = (self.netns.clone(), self.port);
        let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
        let answer = thread::spawn(move || -> Result<String> {
            crate::netns::enter_path(&netns)?;
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        });
        answer.join().map_err(|_| anyhow::anyhow!("the thread that asks panicked"))?
    }

    /// `portwatch trace` as an unprivileged member of the group.
    pub(super) fn tail_as(&self, uid: u32) -> Result<Tail> {
        Tail::start(&self.program, &self.socket, uid)
    }

    pub(super) fn hang_up(&self) -> Result<()> {
        self.signal(Signal::HUP)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("the agent has no pid")?;
        kill_process(pid, signal).context("signalling the agent")
    }

    /// SIGTERM; what it said in all. It must end well.
    pub(crate) fn stop(mut self) -> Result<String> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                thread::sleep(TURN);
                ensure!(status.success(), "the agent ended with {status}: {}", self.said());
                return Ok(self.said());
            }
            thread::sleep(TURN);
        }
        bail!("the agent did not end: {}", self.said())
    }

    /// SIGKILL.
    pub(super) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `portwatch trace` that asks the agent; killed on drop.
pub(super) struct Tail {
    child: Child,
    reports: Receiver<Value>,
}

impl Tail {
    fn start(program: &Path, socket: &Path, uid: u32) -> Result<Self> {
        // Nobody may not be able to walk to the program, which a descriptor needs not.
        let file = fs::File::open(program)?;
        let by_descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let mut command = Command::new(by_descriptor);
        command.args(["trace", "--via", "agent", "-o", "json", "--socket"]).arg(socket).uid(uid).gid(GROUP);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting a tail")?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            bail!("a tail came without pipes");
        };
        let (sender, reports) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if serde_json::from_str(&line).is_ok_and(|report| sender.send(report).is_err()) {
                    return;
                }
            }
        });
        let mut lines = BufReader::new(stderr).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|line| line.contains("ready;"));
        ensure!(ready.is_some(), "the tail is not ready; is the agent's socket open to its group?");
        // Read on, or it would be stopped by a full pipe.
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(Self { child, reports })
    }

    /// The first report for which `wanted` holds.
    pub(super) fn wait(&mut self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let report = self.reports.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
            if wanted(&report) {
                return Ok(report);
            }
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that reads the folder's history.
pub(crate) fn ask(program: &Path, folder: &Folder, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(words).arg("--store").arg(folder.store()).stdin(Stdio::null());
    command.output().with_context(|| format!("starting {}", program.display()))
}

/// The objects of an answer, one a line.
pub(crate) fn reports(output: &Output) -> Result<Vec<Value>> {
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let reports =
        lines.map(|line| serde_json::from_slice(line).context("reading an answer")).collect::<Result<_>>()?;
    Ok(reports)
}
