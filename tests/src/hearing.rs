//! What portwatch says, line by line: reports on stdout, words for people on stderr, and whatever is neither.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// What portwatch has said so far.
#[derive(Default)]
pub(crate) struct Said {
    /// Reports, oldest first.
    pub(crate) conflicts: Vec<Value>,
    /// Lines of stdout that are no report: every one is a fault of its own.
    pub(crate) faults: Vec<String>,
    /// Stdout byte for byte, where it is kept.
    pub(crate) raw: Option<Vec<u8>>,
    /// Lines of stderr.
    pub(crate) diagnostics: Vec<String>,
    /// How many of stdout and stderr have ended.
    ended: u8,
}

impl Said {
    /// Both pipes have ended: nothing more can come.
    pub(crate) fn ended(&self) -> bool {
        self.ended == 2
    }
}

#[derive(Default)]
pub(crate) struct Log {
    said: Mutex<Said>,
    more: Condvar,
}

impl Log {
    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.said());
        self.more.notify_all();
    }

    /// Waits until `find` finds something, nothing more can come, or the time is up.
    pub(crate) fn wait<T>(&self, patience: Duration, find: impl Fn(&Said) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut said = self.said();
        loop {
            let found = find(&said);
            let left = deadline.saturating_duration_since(Instant::now());
            if found.is_some() || left.is_zero() || said.ended() {
                return found;
            }
            said = self.more.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Reads a pipe to its end on a thread of its own, so that portwatch never waits for the lineup.
pub(crate) fn listen(log: &Arc<Log>, pipe: impl Read + Send + 'static, hear: fn(&mut Said, &[u8])) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        let lines = BufReader::new(pipe).split(b'\n');
        for line in lines.map_while(Result::ok) {
            log.add(|said| hear(said, &line));
        }
        log.add(|said| said.ended += 1);
    });
}

/// One line of stdout.
pub(crate) fn hear_report(said: &mut Said, line: &[u8]) {
    if let Some(raw) = &mut said.raw {
        raw.extend_from_slice(line);
        raw.push(b'\n');
    }
    match report(line) {
        Ok(report) => said.conflicts.push(report),
        Err(error) => said.faults.push(format!("stdout: {error:#}: {}", line.escape_ascii())),
    }
}

/// One line of stderr.
pub(crate) fn hear_words(said: &mut Said, line: &[u8]) {
    said.diagnostics.push(String::from_utf8_lossy(line).into_owned());
}

/// A line that is one JSON object and harmless on a terminal, whatever names the processes in it took.
fn report(line: &[u8]) -> Result<Value> {
    let line = std::str::from_utf8(line).context("not UTF-8")?;
    ensure!(!line.contains(char::is_control), "a control character as it is");
    let report: Value = serde_json::from_str(line).context("not JSON")?;
    ensure!(report.is_object(), "not an object");
    Ok(report)
}

/// Whether a line of stderr has `ready` as a word of its own.
pub(crate) fn is_ready(line: &str) -> bool {
    line.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clean_object_is_a_report() {
        assert!(report(br#"{"comm":"\u001b[31m"}"#).is_ok());
        assert!(report(b"{\"comm\":\"\x1b[31m\"}").is_err());
        assert!(report(b"{\"comm\":\"\xff\"}").is_err());
        assert!(report(b"[]").is_err());
        assert!(report(b"ready").is_err());
    }

    #[test]
    fn ready_is_a_word() {
        assert!(is_ready("portwatch: ready, backend fexit"));
        assert!(!is_ready("already attached"));
    }

    #[test]
    fn waiting_ends_with_both_pipes() {
        let log = Arc::new(Log::default());
        listen(&log, &b"{\"id\":1}\nnonsense\n"[..], hear_report);
        listen(&log, &b"ready\n"[..], hear_words);
        assert_eq!(log.wait(Duration::from_secs(60), |_| None::<()>), None);
        let said = log.said();
        assert_eq!((said.conflicts.len(), said.faults.len(), said.diagnostics.len()), (1, 1, 1));
    }
}
