//! Another tool that watches ports, run as it comes. What it prints goes to /dev/null.

use std::fs;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::operation::spent_by;

/// It has started when it has done nothing for so long. A machine that counts instructions passes over idle time.
const IDLE: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(300);
/// Of what it says when it fails.
const WORDS: usize = 300;

/// A running tool; killed on drop.
pub(super) struct Peer {
    child: Child,
}

impl Peer {
    /// Starts it and waits until it watches; else why it does not, in its own words.
    pub(super) fn start(command: &str) -> Result<Result<Self, String>> {
        let mut words = command.split(' ');
        let child = Command::new(words.next().unwrap_or_default())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command}"))?;
        let mut peer = Self { child };
        let deadline = Instant::now() + DEADLINE;
        let mut spent = None;
        loop {
            thread::sleep(IDLE);
            if let Some(status) = peer.child.try_wait()? {
                return Ok(Err(format!("{status}: {}", peer.words())));
            }
            let now = spent_by(peer.pid())?;
            if spent == Some(now) || Instant::now() > deadline {
                break;
            }
            spent = Some(now);
        }
        ensure!(peer.has_hooks()?, "{command} runs, but has nothing attached");
        Ok(Ok(peer))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if it had ended by itself.
    pub(super) fn stop(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "it ended meanwhile: {:?}: {}", ended, self.words());
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Whether one of its descriptors is a hook.
    fn has_hooks(&self) -> Result<bool> {
        let mut entries = fs::read_dir(format!("/proc/{}/fd", self.pid()))?.filter_map(Result::ok);
        Ok(entries.any(|entry| {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            let target = target.to_string_lossy();
            target.contains("bpf_link") || target.contains("bpf-link") || target.contains("[perf_event]")
        }))
    }

    /// The end of what it said on stderr, on one line. Only for when it has ended.
    fn words(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(mut pipe) = self.child.stderr.take() {
            // What can still be read says enough.
            let _ = pipe.read_to_end(&mut said);
        }
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let words = lines.join(" | ");
        let skipped = words.char_indices().rev().nth(WORDS).map_or(0, |(at, _)| at);
        words[skipped..].to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
