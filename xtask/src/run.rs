//! Running other programs: what is done and why, how long it takes, and what they said when they fail.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::project;

/// How often a running step is looked at.
const TICK: Duration = Duration::from_millis(100);
/// A log gets a line about a step that takes longer than this, before it is done.
const LONG: Duration = Duration::from_secs(2);
/// Lines of a failed program's output that are shown; the rest is in its log.
const TAIL: usize = 40;

/// Runs a program without showing its output: one line says what is done and why, with the seconds counting up on a
/// terminal. The output goes to a log, whose end is shown when the program fails.
pub(crate) fn quiet(command: &mut Command, what: &str, why: &str) -> Result<()> {
    let log = log_file(what)?;
    let output = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let status = watch(command, what, why)?;
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        eprintln!("    {line}");
    }
    bail!("{what} failed ({status}); all of its output: {}\n  command: {}", log.display(), shown(command));
}

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

fn watch(command: &mut Command, what: &str, why: &str) -> Result<ExitStatus> {
    let start = Instant::now();
    let live = io::stderr().is_terminal();
    let title = format!("  {what}: {why}");
    let mut is_announced = false;
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if live {
            eprint!("\r{title} ... {} s", start.elapsed().as_secs());
            io::stderr().flush()?;
        } else if !is_announced && start.elapsed() >= LONG {
            eprintln!("{title} ...");
            is_announced = true;
        }
        sleep(TICK);
    };
    let (clear, outcome) = (if live { "\r" } else { "" }, if status.success() { "done" } else { "FAILED" });
    eprintln!("{clear}{title} ... {outcome} in {:.1} s", start.elapsed().as_secs_f32());
    Ok(status)
}

fn log_file(what: &str) -> Result<PathBuf> {
    let dir = project::target().join("xtask-logs");
    fs::create_dir_all(&dir)?;
    let name: String =
        what.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    Ok(dir.join(format!("{name}.log")))
}

/// A command as one would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
