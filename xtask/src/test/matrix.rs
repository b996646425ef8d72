//! Lane 3: the kernels of the matrix, each in a virtual machine of its own, two at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::parts::Part;
use super::play::{Play, Played};
use crate::build::{self, Binaries, Profile};
use crate::kernels::{self, Arch, Kernel};
use crate::vm::{Machine, run_all};

/// A kernel, and the backends that must run on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) series: &'static str,
    pub(super) arch: Arch,
    pub(super) backends: &'static [&'static str],
}

const ALL: &[&str] = &["fexit", "kprobe", "tracepoint"];
/// The slowest first: arm64 is emulated at half the speed.
pub(super) const MATRIX: [Row; 6] = [
    Row { series: "6.12", arch: Arch::Aarch64, backends: ALL },
    // Its kernel has no trampolines: fexit programs load and cannot be attached.
    Row { series: "6.1", arch: Arch::Aarch64, backends: &["kprobe", "tracepoint"] },
    Row { series: "5.10", arch: Arch::X86_64, backends: ALL },
    Row { series: "6.1", arch: Arch::X86_64, backends: ALL },
    Row { series: "6.12", arch: Arch::X86_64, backends: ALL },
    Row { series: "7.x", arch: Arch::X86_64, backends: ALL },
];

/// Machines at one time. Most scenarios wait for one process after the other, so that a machine keeps one processor
/// busy at most.
const AT_ONCE: usize = 2;
/// For everything that one machine has to do. A guard against a hang, not a budget.
const PATIENCE: Duration = Duration::from_secs(2_400);

impl Row {
    /// As people call it.
    pub(super) fn name(self) -> String {
        format!("{}/{}", self.series, self.arch.name())
    }
}

/// What a machine needs before it can boot.
struct Ready {
    row: Row,
    backends: Vec<&'static str>,
    kernel: Kernel,
    binaries: Binaries,
}

/// What became of a row: one outcome a part.
pub(super) type Outcome = (Row, Vec<&'static str>, Result<Vec<Played>>);

/// Runs the parts on the kernels of `rows`; `parts` says what there is to do with these backends.
pub(super) fn run(
    rows: Vec<(Row, Vec<&'static str>)>,
    parts: impl Fn(Row, &[&str]) -> Vec<Part> + Sync,
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut ready = VecDeque::new();
    for (row, backends) in rows {
        // One after the other: they fetch and build, and say so.
        match kernels::obtain(row.arch, row.series)
            .and_then(|kernel| Ok((kernel, build::static_for(row.arch, Profile::Lab)?)))
        {
            Ok((kernel, binaries)) => ready.push_back(Ready { row, backends, kernel, binaries }),
            Err(error) => outcomes.push((row, backends, Err(error))),
        }
    }
    let (queue, done) = (Mutex::new(ready), Mutex::new(&mut outcomes));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(ready) = next() {
                    let played = play(&ready, &parts(ready.row, &ready.backends));
                    let outcome = (ready.row, ready.backends, played);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    let place = |row: &Row| MATRIX.iter().position(|one| one.name() == row.name());
    outcomes.sort_by_key(|(row, ..)| (row.arch == Arch::Aarch64, place(row)));
    outcomes
}

fn play(ready: &Ready, parts: &[Part]) -> Result<Vec<Played>> {
    let name = ready.row.name();
    let mut plays = parts.iter().map(|part| Play::begin(&name, part.name)).collect::<Result<Vec<_>>>()?;
    let commands: Vec<Vec<String>> = parts.iter().map(|part| part.command.clone()).collect();
    let machine = Machine { timeout: PATIENCE, ..Machine::usual(&ready.kernel) };
    let codes = run_all(&machine, &ready.binaries, &commands, &mut |part, line| {
        // Parts run one after the other.
        if plays[part].heard().is_none()
            && let Some(end) = part.checked_sub(1).and_then(|before| plays[before].heard())
        {
            plays[part].begins_after(end);
        }
        plays[part].hear(line.to_owned());
    })?;
    Ok(plays.into_iter().zip(codes).map(|(play, code)| play.end(code)).collect())
}
