//! A conflict on its stage, with what portwatch says of it, and the victim's next attempts.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::case::Case;
use crate::product::Portwatch;
use crate::scenario::{Scenario, Stage};
use crate::wire::{Command, Flag};

/// The report comes at once; an emulated machine is slow.
const REPORT: Duration = Duration::from_secs(20);

pub(super) struct Scene {
    pub(super) stage: Stage,
    pub(super) case: Case,
    pub(super) report: Value,
    pub(super) patience: u32,
}

impl Scene {
    pub(super) fn play(scenario: &Scenario, portwatch: &Portwatch, patience: u32) -> Result<Self> {
        let (mut stage, holder) = scenario.set_up()?;
        let case = scenario.play(&mut stage, holder)?.pop().context("nobody was refused")?;
        let victim = case.refusal.victims.first().context("nobody was refused")?.pid;
        let is_it = |report: &Value| {
            report["victim"]["pid"] == victim
                && report["netns"] == case.netns
                && report["port"] == case.refusal.port
        };
        let report = portwatch.wait_for(REPORT * patience, is_it).context("no report")?;
        Ok(Self { stage, case, report, patience })
    }

    /// What is advised, best first.
    pub(super) fn advice(&self) -> Result<&Vec<Value>> {
        self.report["advice"].as_array().context("a report without advice")
    }

    /// Where the victim wanted to be.
    pub(super) fn wanted(&self) -> SocketAddr {
        SocketAddr::new(self.case.refusal.address, self.case.refusal.port)
    }

    /// The victim comes again with these options, as this user, to this address: what the kernel says, 0 if it starts. It
    /// ends at once, so that the port is as before.
    pub(super) fn retry(&self, flags: &[Flag], uid: Option<u32>, at: SocketAddr) -> Result<i32> {
        let transport = self.case.refusal.transport;
        let mut victim = self.stage.actor("victim-again")?;
        if let Some(uid) = uid {
            victim.must(&Command::BecomeUser(uid))?;
        }
        let socket = victim.open(transport, flags)?;
        let mut errno = victim.ask(&Command::Bind(socket, at))?.reply.errno;
        if errno == 0 && transport.is_tcp() {
            errno = victim.ask(&Command::Listen(socket))?.reply.errno;
        }
        victim.kill()?;
        Ok(errno)
    }

    /// The victim comes again as it was, until it starts.
    pub(super) fn starts_within(&self, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        loop {
            let errno = self.retry(&[], None, self.wanted())?;
            if errno == 0 {
                return Ok(start.elapsed());
            }
            let error = std::io::Error::from_raw_os_error(errno);
            ensure!(start.elapsed() < limit * self.patience, "the victim still does not start: {error}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}
