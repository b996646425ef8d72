//! Running other programs: what is done and why, how long it takes, and what they said when they fail.

mod step;

use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};

pub(crate) use step::{note, print_steps, quiet};

/// Runs a program and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    if !output.status.success() {
        bail!(
            "{} failed ({}): {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a program on the present terminal; returns its exit code, 128 and the signal's number if it was killed.
pub(crate) fn visible(command: &mut Command) -> Result<i32> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// A program to be run as root: through sudo where this user is not root.
pub(crate) fn as_root(program: &Path) -> Result<Command> {
    if rustix::process::geteuid().is_root() {
        return Ok(Command::new(program));
    }
    if find("sudo").is_none() {
        bail!(
            "{} needs root, and there is no sudo here; run it as root, or install it: apt-get install sudo",
            program.display()
        );
    }
    say_once(program);
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}

/// Prints a line that another program said. A reader that has gone (`| head`) is no reason to stop that program.
pub(crate) fn pass_on(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Says that a program is started as root, once a program.
fn say_once(program: &Path) {
    static SAID: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.iter().any(|path| path == program) {
        eprintln!("  as root, through sudo: {}", program.display());
        said.push(program.to_path_buf());
    }
}

/// Finds a program on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|p| p.is_file())
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
