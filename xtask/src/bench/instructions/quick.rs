//! The part for the tests: one kernel, few rounds, judged by what is recorded.

use anyhow::{Result, ensure};

use super::limits::Limits;
use super::machine::{self, Effort};
use super::{BACKENDS, NONE};
use crate::kernels::Arch;

/// The kernel that the tests measure on.
pub(super) const SERIES: &str = "6.12";

/// Whether a row of the tests asks for this part too.
pub(crate) fn is_measured(arch: Arch, series: &str, backends: &[&str]) -> bool {
    arch == Arch::X86_64 && series == SERIES && backends == BACKENDS
}

/// Measures portwatch's backends; fails if one adds more than is recorded. Returns what it came to, in a line.
pub(crate) fn check() -> Result<String> {
    let watchers: Vec<String> = [NONE].into_iter().chain(BACKENDS).chain([NONE]).map(str::to_owned).collect();
    let measured = machine::measure(SERIES, &watchers, &[], Effort::QUICK)?;
    // Too few rounds to judge how far they are apart.
    let faults = Limits::read()?.regressions(&measured)?;
    ensure!(faults.is_empty(), "{}", faults.join("\n    "));
    Ok(format!(
        "{} measurements on Linux {}, none dearer than recorded",
        measured.rows.len(),
        measured.release
    ))
}
