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
    /// When its first line came, and its last: parts of a machine are begun together and run one after the other.
    span: Option<(Instant, Instant)>,
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
        Ok(Self { row: row.to_owned(), part: part.to_owned(), span: None, lines: Vec::new(), log })
    }

    /// Takes a line. Scenarios in which all is well are only counted: there are thousands.
    pub(super) fn hear(&mut self, line: String) {
        let now = Instant::now();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
        if !line.starts_with("ok ") && !line.is_empty() {
            run::pass_on(&format!("    {} | {line}", self.row));
        }
        // A full disk is no reason to stop: the line has been shown.
        let _ = writeln!(self.log, "{line}");
        self.lines.push(line);
    }

    /// The run is over.
    pub(super) fn end(self, code: i32) -> Played {
        if let Some((first, last)) = self.span {
            let seconds = (last - first).as_secs();
            run::pass_on(&format!("    {} | {} took {seconds} s", self.row, self.part));
        }
        Played { lines: self.lines, code }
    }
}
