//! One step of a command: a program whose output goes to a log. A line says what it does and why, and how far it is.

use std::fs::{self, File};
use std::io::{self, IsTerminal as _, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::termios::tcgetwinsize;

use super::shown;
use crate::project;

/// How often a running program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(50);
/// How often the line on a terminal is written.
const REFRESH: Duration = Duration::from_secs(1);
/// A log gets a line about a step that takes longer than this, before it is done.
const LONG: Duration = Duration::from_secs(2);
/// Lines of a failed program's output that are shown; the rest is in its log.
const TAIL: usize = 40;
/// Bytes at the end of a log in which cargo's count of crates is looked for.
const RECENT: u64 = 512;

/// A step that is done, and how long it took.
type Step = (String, Duration);

static STEPS: Mutex<Vec<Step>> = Mutex::new(Vec::new());
/// A step that is shorter is not worth a line in the closing table.
const SHORT: Duration = Duration::from_secs(1);

/// Notes a step for the closing table.
pub(crate) fn note(what: &str, took: Duration) {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner).push((what.to_owned(), took));
}

/// Prints how long each step of this command took, in the order in which they ended.
pub(crate) fn print_steps(total: Duration) {
    let steps = STEPS.lock().unwrap_or_else(PoisonError::into_inner);
    println!("\n{:<60} seconds", "step");
    for (what, took) in steps.iter().filter(|(_, took)| *took >= SHORT) {
        println!("{what:<60} {:>7}", took.as_secs());
    }
    println!("{:<60} {:>7}", "all, some of them at the same time", total.as_secs());
}

/// Runs a program without showing its output. The output goes to a log, whose end is shown if the program fails.
pub(crate) fn quiet(command: &mut Command, what: &str, why: &str) -> Result<()> {
    let log = log_file(what)?;
    let output = File::create(&log)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    // Without them cargo counts crates on a terminal only.
    command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "80");
    let status = watch(command, &format!("  {what}: {why}"), what, &log)?;
    if status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let lines: Vec<&str> = text.lines().filter_map(without_progress).collect();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        eprintln!("    {line}");
    }
    bail!("{what} failed ({status}); all of its output: {}\n  command: {}", log.display(), shown(command));
}

fn watch(command: &mut Command, title: &str, what: &str, log: &Path) -> Result<ExitStatus> {
    let start = Instant::now();
    let is_live = io::stderr().is_terminal();
    let mut written: Option<Instant> = None;
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if is_live && written.is_none_or(|written| written.elapsed() >= REFRESH) {
            let crates = crates(log).map(|count| format!(", {count} crates")).unwrap_or_default();
            rewrite(title, &format!(" ... {} s{crates}", start.elapsed().as_secs()));
            written = Some(Instant::now());
        } else if !is_live && written.is_none() && start.elapsed() >= LONG {
            eprintln!("{title} ...");
            written = Some(Instant::now());
        }
        sleep(POLL);
    };
    let took = start.elapsed();
    let outcome = if status.success() { "done" } else { "FAILED" };
    let end = format!(" ... {outcome} in {:.1} s", took.as_secs_f32());
    if is_live {
        rewrite(title, &end);
        eprintln!();
    } else {
        eprintln!("{title}{end}");
    }
    note(what, took);
    Ok(status)
}

/// Writes over the present line of the terminal; what does not fit is cut from the title.
fn rewrite(title: &str, end: &str) {
    let width = tcgetwinsize(io::stderr()).map_or(80, |size| usize::from(size.ws_col)).max(20);
    // The last column stays free: some terminals begin a new line after it.
    let line = fitted(title, end, width - 1);
    let mut stderr = io::stderr();
    let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
}

fn fitted(title: &str, end: &str, width: usize) -> String {
    let room = width.saturating_sub(end.chars().count());
    let title: String = if title.chars().count() > room {
        title.chars().take(room.saturating_sub(1)).chain(['…']).collect()
    } else {
        title.to_owned()
    };
    format!("{title}{end}").chars().take(width).collect()
}

/// Cargo's count of crates, such as `57/212`, by the end of its output.
fn crates(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(RECENT))).ok()?;
    let mut end = Vec::new();
    file.take(RECENT).read_to_end(&mut end).ok()?;
    count(&String::from_utf8_lossy(&end)).map(str::to_owned)
}

/// The last `N/M` behind a progress bar.
fn count(output: &str) -> Option<&str> {
    let (_, after) = output.rsplit_once("] ")?;
    let end = after.find(|c: char| !c.is_ascii_digit() && c != '/').unwrap_or(after.len());
    let count = &after[..end];
    count.split_once('/').filter(|(done, all)| !done.is_empty() && !all.is_empty()).map(|_| count)
}

/// A line of cargo's output without the progress bars before it; nothing if there is nothing else.
fn without_progress(line: &str) -> Option<&str> {
    let last = line.rsplit('\r').find(|part| !part.trim().is_empty() && !part.contains("Building ["))?;
    Some(last.trim_end())
}

fn log_file(what: &str) -> Result<PathBuf> {
    let dir = project::target().join("xtask-logs");
    fs::create_dir_all(&dir)?;
    let name: String =
        what.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    Ok(dir.join(format!("{name}.log")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_the_terminal_and_keeps_its_end() {
        let line = fitted(
            "  static build for x86_64: portwatch and the tests' actors",
            " ... 17 s, 57/212 crates",
            60,
        );
        assert_eq!(line.chars().count(), 60);
        assert!(line.ends_with("… ... 17 s, 57/212 crates"), "{line}");
        assert_eq!(fitted("  a: b", " ... done", 79), "  a: b ... done");
    }

    #[test]
    fn crates_are_counted_by_the_last_progress_bar() {
        let output =
            "   Compiling a v1\n    Building [=>    ] 3/212: a\r    Building [==>   ] 57/212: b, c\r";
        assert_eq!(count(output), Some("57/212"));
        assert_eq!(count("   Compiling a [x] b"), None);
        assert_eq!(count(""), None);
    }

    #[test]
    fn a_failure_is_shown_without_progress_bars() {
        assert_eq!(
            without_progress("    Building [=>  ] 3/9: a\rerror: no such crate"),
            Some("error: no such crate")
        );
        assert_eq!(without_progress("    Building [=>  ] 3/9: a\r"), None);
        assert_eq!(without_progress("error: x"), Some("error: x"));
    }
}
