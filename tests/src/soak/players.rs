//! The processes of a soak as the director sees them: started, listened to, ended with it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use anyhow::{Context, Result};

use super::truth::Truth;
use crate::netns::Netns;

/// What the director learns of a troupe.
pub(super) enum Event {
    Staged(usize, Box<Truth>),
    /// A troupe has staged all it was to, or has failed.
    Ended,
    Garbled(String),
}

/// A troupe or a bystander.
pub(super) struct Player {
    pub(super) process: Child,
    pub(super) orders: Option<ChildStdin>,
}

impl Player {
    pub(super) fn end(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts one in a namespace.
pub(super) fn start(role: &str, netns: &Netns, options: &[(&str, u64)], words: &[&str]) -> Result<Player> {
    let mut command = Command::new("/proc/self/exe");
    command.arg(role).arg("--netns").arg(netns.path()).args(words);
    for (option, value) in options {
        command.arg(option).arg(value.to_string());
    }
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting a {role}"))?;
    let orders = process.stdin.take();
    Ok(Player { process, orders })
}

/// Reads what a troupe says on a thread of its own.
pub(super) fn listen(player: &mut Player, troupe: usize, to: Sender<Event>) -> Result<()> {
    let words = player.process.stdout.take().context("a troupe has no output")?;
    thread::spawn(move || {
        for line in BufReader::new(words).lines().map_while(Result::ok) {
            let event = match serde_json::from_str(&line) {
                Ok(truth) => Event::Staged(troupe, Box::new(truth)),
                Err(error) => Event::Garbled(format!("{error}: {line}")),
            };
            if to.send(event).is_err() {
                return;
            }
        }
        // Nobody listens any more when the soak has failed.
        let _ = to.send(Event::Ended);
    });
    Ok(())
}
