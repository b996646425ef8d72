//! portwatch as a black box: started, waited for, listened to, interrupted.

use std::io;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::hearing::{Log, Said, hear_report, hear_words, is_ready, listen};

/// Which kind of kernel hooks portwatch is told to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    Fexit,
    Kprobe,
    Tracepoint,
}

impl Backend {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// Exit code for "this kernel does not admit it".
const NOT_SUPPORTED: i32 = 4;
/// An emulated machine on a busy host needs its time to load, and to detach, some forty programs.
const START_DEADLINE: Duration = Duration::from_secs(90);
const STOP_DEADLINE: Duration = START_DEADLINE;

/// What becomes of its reports.
#[derive(Clone, Copy)]
enum Output<'a> {
    Heard,
    /// /dev/null has them: to read them would cost what is not portwatch's.
    Unheard,
    /// Kept byte for byte, beside a recording in this file.
    Recorded(&'a Path),
}

/// How a start went.
pub(crate) enum Started {
    Ready(Portwatch),
    /// This kernel does not admit the backend, in portwatch's own words.
    Unavailable(String),
}

/// A running `portwatch trace`; killed on drop.
pub(crate) struct Portwatch {
    child: Child,
    log: Arc<Log>,
}

impl Portwatch {
    /// Starts the product and waits until its hooks are attached.
    pub(crate) fn start(program: &Path, backend: Backend, patience: u32) -> Result<Started> {
        Self::start_with(Command::new(program), backend, patience, Output::Heard)
    }

    /// The same with nobody to hear its reports.
    pub(crate) fn start_unheard(program: &Path, backend: Backend, patience: u32) -> Result<Started> {
        Self::start_with(Command::new(program), backend, patience, Output::Unheard)
    }

    /// The same with a recording in a file; what is said on stdout is kept byte for byte.
    pub(crate) fn start_recording(
        program: &Path,
        backend: Backend,
        patience: u32,
        file: &Path,
    ) -> Result<Started> {
        Self::start_with(Command::new(program), backend, patience, Output::Recorded(file))
    }

    fn start_with(
        mut program: Command,
        backend: Backend,
        patience: u32,
        output: Output<'_>,
    ) -> Result<Started> {
        let name = program.get_program().to_string_lossy().into_owned();
        program
            .args(["trace", "-o", "json", "--backend", backend.name(), "--netns", "all"])
            .stdin(Stdio::null())
            .stdout(if matches!(output, Output::Unheard) { Stdio::null() } else { Stdio::piped() })
            .stderr(Stdio::piped());
        if let Output::Recorded(file) = output {
            program.arg("--record").arg(file);
        }
        let mut child = program.spawn().with_context(|| format!("starting {name}"))?;
        let log = Arc::new(Log::default());
        log.said().raw = matches!(output, Output::Recorded(_)).then(Vec::new);
        let Some(stderr) = child.stderr.take() else { bail!("portwatch came without pipes") };
        match child.stdout.take() {
            Some(stdout) => listen(&log, stdout, hear_report),
            None => listen(&log, io::empty(), hear_report),
        }
        listen(&log, stderr, hear_words);
        let mut portwatch = Self { child, log };
        let is_ready = |said: &Said| said.diagnostics.iter().any(|line| is_ready(line)).then_some(());
        if portwatch.log.wait(START_DEADLINE * patience, is_ready).is_some() {
            return Ok(Started::Ready(portwatch));
        }
        portwatch.why_not_ready(patience).map(Started::Unavailable)
    }

    /// The reason why a kernel does not admit the backend; every other reason is an error.
    fn why_not_ready(&mut self, patience: u32) -> Result<String> {
        let status = self.wait_for_exit()?;
        let words = self.words();
        match status {
            Some(status) if status.code() == Some(NOT_SUPPORTED) => Ok(words),
            Some(status) => bail!("portwatch ended before it was ready ({status}); it said: {words}"),
            None => bail!("portwatch was not ready within {START_DEADLINE:?} x {patience}; it said: {words}"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The newest report for which `wanted` holds, waited for.
    pub(crate) fn wait_for(&self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        self.log.wait(patience, |said| said.conflicts.iter().rev().find(|report| wanted(report)).cloned())
    }

    /// Every report so far.
    pub(crate) fn reports(&self) -> Vec<Value> {
        self.log.said().conflicts.clone()
    }

    /// The reports that have come since the last call, waited for if there are none. They are kept nowhere else.
    pub(crate) fn take_reports(&self, patience: Duration) -> Vec<Value> {
        self.log.wait(patience, |said| (!said.conflicts.is_empty()).then_some(()));
        std::mem::take(&mut self.log.said().conflicts)
    }

    /// All of stdout so far, if it is kept.
    pub(crate) fn raw(&self) -> Option<Vec<u8>> {
        self.log.said().raw.clone()
    }

    /// The last line with counts that it said to people.
    pub(crate) fn summary(&self) -> Option<String> {
        self.log.said().diagnostics.iter().rev().find(|line| line.contains(" refused call")).cloned()
    }

    /// Presses Ctrl-C and waits for the end. What is wrong with it is in the list returned.
    pub(crate) fn stop(&mut self) -> Result<Vec<String>> {
        let before = self.log.said().diagnostics.len();
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("portwatch has no pid")?;
        let mut faults = Vec::new();
        if let Err(error) = kill_process(pid, Signal::INT) {
            faults.push(format!("portwatch could not be interrupted: {error}"));
        }
        self.log.wait(STOP_DEADLINE, |_| None::<()>);
        match self.wait_for_exit()? {
            None => faults.push(format!("portwatch did not end within {STOP_DEADLINE:?} of SIGINT")),
            Some(status) if !status.success() => {
                faults.push(format!("after SIGINT portwatch ended with {status}, not 0"));
            }
            Some(_) => {}
        }
        let said = self.log.said();
        if !said.diagnostics[before..].iter().any(|line| line.contains("conflict")) {
            faults.push(format!("no summary on stderr after SIGINT, only {:?}", &said.diagnostics[before..]));
        }
        faults.extend(said.faults.iter().cloned());
        Ok(faults)
    }

    /// For when both pipes have ended or a deadline has passed: the process is gone now, or in a moment, or stays. A
    /// moment, because its pipes are closed before its hooks, each of which waits for the kernel's grace period.
    fn wait_for_exit(&mut self) -> Result<Option<ExitStatus>> {
        let has_ended = self.log.said().ended();
        let deadline = Instant::now() + if has_ended { STOP_DEADLINE } else { Duration::from_secs(1) };
        loop {
            let status = self.child.try_wait().context("waiting for portwatch's end")?;
            if status.is_some() || Instant::now() > deadline {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// All of its words on one line: the reason is seldom in the last of them.
    fn words(&self) -> String {
        let said = self.log.said();
        let lines = said.diagnostics.iter().map(|line| line.trim_start_matches("portwatch:").trim());
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for Portwatch {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
