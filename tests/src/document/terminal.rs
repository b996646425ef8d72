//! The second terminal of the page's reader: `portwatch trace -o wide`, which tells of what happens in the first.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::shell::Shell;
use crate::hearing::is_ready;

/// For hooks to attach, and to detach.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running trace; killed on drop.
pub(super) struct Terminal {
    child: Child,
    reports: JoinHandle<String>,
    diagnostics: Receiver<String>,
}

impl Terminal {
    /// Starts it and waits until it watches.
    pub(super) fn open(shell: &Shell, filter: &[String]) -> Result<Self> {
        let mut command = shell.command("portwatch");
        command.args(["trace", "-o", "wide"]).args(filter).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting portwatch trace")?;
        let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            bail!("portwatch trace came without pipes");
        };
        let reports = thread::spawn(move || {
            let mut text = Vec::new();
            // Whatever came before an error is compared, and found too short.
            let _ = stdout.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (sender, diagnostics) = channel();
        thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let terminal = Self { child, reports, diagnostics };
        let mut said = Vec::new();
        loop {
            match terminal.diagnostics.recv_timeout(PATIENCE) {
                Ok(line) if is_ready(&line) => return Ok(terminal),
                Ok(line) => said.push(line),
                Err(_) => bail!("portwatch trace does not begin; it said: {}", said.join(" | ")),
            }
        }
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses Ctrl-C, and returns all that was reported.
    pub(super) fn close(mut self) -> Result<String> {
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("portwatch has no pid")?;
        kill_process(pid, Signal::INT).context("interrupting portwatch trace")?;
        while self.diagnostics.recv_timeout(PATIENCE).is_ok() {}
        let status = self.child.wait().context("waiting for portwatch trace")?;
        anyhow::ensure!(status.success(), "portwatch trace ended with {status}");
        let nobody = thread::spawn(String::new);
        std::mem::replace(&mut self.reports, nobody).join().map_err(|_| anyhow!("the reader panicked"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
