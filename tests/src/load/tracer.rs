//! A `portwatch trace -o json`, each line of it with the time at which it could be read; killed on drop.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::clock::{self, Wall};
use crate::hearing::is_ready;

/// An emulated machine on a busy host needs its time.
const PATIENCE: Duration = Duration::from_secs(90);

/// A line, and when it was there.
pub(super) type Line = (Wall, String);

/// How it ended.
pub(super) struct Ended {
    /// Its last words.
    pub(super) summary: String,
    /// Lines that nobody had taken yet.
    pub(super) lines: usize,
}

pub(super) struct Tracer {
    child: Child,
    pub(super) lines: Receiver<Line>,
    /// What it said to people before it was ready.
    pub(super) said: Vec<String>,
    words: Receiver<String>,
}

impl Tracer {
    /// Starts it and waits until it is ready.
    pub(super) fn start(program: &Path, words: &[&str]) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["trace", "-o", "json"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            bail!("a trace came without pipes");
        };
        let (sender, lines) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.map(|line| (clock::now(), line)).try_for_each(|line| sender.send(line))
        });
        let (sender, words) = channel();
        thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut tracer = Self { child, lines, said: Vec::new(), words };
        let deadline = Instant::now() + PATIENCE;
        while !tracer.said.last().is_some_and(|line| is_ready(line)) {
            let line = tracer.words.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.with_context(|| format!("a trace is not ready: {}", tracer.said.join(" | ")))?;
            tracer.said.push(line);
        }
        Ok(tracer)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line that tells of a conflict on this port, and when it was there.
    pub(super) fn wait_for(&self, port: u16, patience: Duration) -> Result<(Wall, Value)> {
        let deadline = Instant::now() + patience;
        let wanted = format!("\"port\":{port},");
        loop {
            let (when, line) = self
                .lines
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .with_context(|| format!("nothing about port {port} in {patience:?}"))?;
            if line.contains(&wanted) {
                return Ok((when, serde_json::from_str(&line)?));
            }
        }
    }

    /// Presses Ctrl-C and waits for the end.
    pub(super) fn stop(mut self) -> Result<Ended> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("the trace has no pid")?;
        kill_process(pid, Signal::INT).context("interrupting the trace")?;
        let deadline = Instant::now() + PATIENCE;
        let mut summary = String::new();
        while let Ok(line) = self.words.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            summary = line;
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "the trace ended with {status}: {summary}");
        Ok(Ended { summary, lines: self.lines.iter().count() })
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
