//! One run of the lineup or of another test program: what matters of it is shown as it comes, all of it is kept in a log.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::{project, run};

/// What a test program said, and how it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    pub(super) lines: Vec<String>,
    /// Its exit code.
    pub(super) code: i32,
}

/// A run that is going on.
#[derive(Debug)]
pub(super) struct Play {
    row: String,
    part: String,
    /// When it began.
    begun: Instant,
    /// When its last line came; `None` before the first.
    heard: Option<Instant>,
    lines: Vec<String>,
    log: File,
}

impl Play {
    /// Begins a run of `part` on the kernel called `row`.
    pub(super) fn begin(row: &str, part: &str) -> Result<Self> {
        let folder = project::target().join("test-logs");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{row}-{part}.log").replace(['/', ' '], "-"));
        let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            row: row.to_owned(),
            part: part.to_owned(),
            begun: Instant::now(),
            heard: None,
            lines: Vec::new(),
            log,
        })
    }

    /// When its last line came.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// It began when another part on the same machine ended.
    pub(super) fn begins_after(&mut self, other: Instant) {
        self.begun = other;
    }

    /// Takes a line. Scenarios in which all is well are only counted: there are thousands.
    pub(super) fn hear(&mut self, line: String) {
        self.heard = Some(Instant::now());
        if !line.starts_with("ok ") && !line.is_empty() {
            run::pass_on(&format!("    {} | {line}", self.row));
        }
        // A full disk is no reason to stop: the line has been shown.
        let _ = writeln!(self.log, "{line}");
        self.lines.push(line);
    }

    /// The run is over.
    pub(super) fn end(self, code: i32) -> Played {
        if let Some(heard) = self.heard {
            let took = heard - self.begun;
            run::pass_on(&format!("    {} | {} took {} s", self.row, self.part, took.as_secs()));
            run::note(&format!("{}: {}", self.row, self.part), took);
        }
        Played { lines: self.lines, code }
    }
}
