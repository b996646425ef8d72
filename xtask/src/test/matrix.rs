//! Lane 3: the kernels of the matrix, each in a virtual machine of its own.

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

/// For everything that one machine has to do. A guard against a hang, not a budget.
const PATIENCE: Duration = Duration::from_secs(2_400);

impl Row {
    /// As people call it.
    pub(super) fn name(self) -> String {
        format!("{}/{}", self.series, self.arch.name())
    }
}

/// What a machine needs before it can boot.
pub(super) struct Ready {
    pub(super) row: Row,
    pub(super) backends: Vec<&'static str>,
    kernel: Kernel,
    binaries: Binaries,
}

/// Fetches and builds what a row needs, and says so.
pub(super) fn prepare(row: Row, backends: Vec<&'static str>) -> Result<Ready> {
    let kernel = kernels::obtain(row.arch, row.series)?;
    let binaries = build::static_for(row.arch, Profile::Lab)?;
    Ok(Ready { row, backends, kernel, binaries })
}

/// Runs the parts on the kernel of a row, one after the other.
pub(super) fn play(ready: &Ready, parts: &[Part]) -> Result<Vec<Played>> {
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
