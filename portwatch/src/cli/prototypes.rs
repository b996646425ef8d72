//! `portwatch doctor --prototypes`: the hooked functions as this kernel declares them, against what the programs rely on.

use std::fmt::Write as _;

use serde::Serialize;

use crate::exit_code::ExitCode;
use crate::probe::prototype::{self, Agreement, Compared};
use crate::probe::{Kernel, Reason};
use crate::text;

/// What was compared, on which kernel.
#[derive(Debug, Serialize)]
struct Comparison {
    kernel: String,
    architecture: &'static str,
    prototypes: Vec<Compared>,
}

/// The answer and the exit code; `check` makes a finding of everything that is not the same.
///
/// # Errors
/// When the kernel has no type information to compare with.
pub(super) fn answer(json: bool, check: bool) -> anyhow::Result<(String, ExitCode)> {
    let kernel = match Kernel::read() {
        Ok(kernel) => kernel,
        Err(reason) => return Ok((refusal(&reason), ExitCode::Unsupported)),
    };
    let comparison = Comparison {
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        architecture: std::env::consts::ARCH,
        prototypes: prototype::all(&kernel),
    };
    let is_same = comparison.prototypes.iter().all(|one| one.agreement == Agreement::Same);
    let code = if check && !is_same { ExitCode::Found } else { ExitCode::Done };
    let answer = if json { serde_json::to_string(&comparison)? + "\n" } else { describe(&comparison)? };
    Ok((answer, code))
}

fn refusal(reason: &Reason) -> String {
    let Reason { what, remedy } = reason;
    format!(
        "prototypes cannot be compared: {}\n  remedy: {}\n",
        text::printable(what),
        text::printable(remedy)
    )
}

fn describe(comparison: &Comparison) -> Result<String, std::fmt::Error> {
    let Comparison { kernel, architecture, prototypes } = comparison;
    let mut out = String::new();
    for Compared { expected, found, agreement } in prototypes {
        let word = match agreement {
            Agreement::Same => "same",
            Agreement::Renamed => "renamed",
            Agreement::Differs => "differs",
            Agreement::Missing => "missing",
        };
        writeln!(out, "{word:<8} {expected}")?;
        if let Some(found) = found.as_ref().filter(|_| *agreement != Agreement::Same) {
            writeln!(out, "{:<8} {}", "  here", text::printable(found))?;
        }
    }
    let same = prototypes.iter().filter(|one| one.agreement == Agreement::Same).count();
    writeln!(
        out,
        "Linux {} {architecture}: {same} of {} hooked prototypes are as relied on",
        text::printable(kernel),
        prototypes.len()
    )?;
    Ok(out)
}
