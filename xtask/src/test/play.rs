//! One run of the lineup: shown as it comes, and kept in a log.

use std::fs::{self, File};
use std::io::Write as _;

use anyhow::{Context as _, Result};

use crate::{project, run};

/// What the lineup said, and how it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Played {
    pub(super) lines: Vec<String>,
    /// Its exit code.
    pub(super) code: i32,
}

/// A run that is going on.
#[derive(Debug)]
pub(super) struct Play {
    lines: Vec<String>,
    log: File,
}

impl Play {
    /// Begins a run whose log is called `name`.
    pub(super) fn begin(name: &str) -> Result<Self> {
        let folder = project::target().join("test-logs");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}.log", name.replace(['/', ' '], "-")));
        let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { lines: Vec::new(), log })
    }

    /// Takes a line.
    pub(super) fn hear(&mut self, line: String) {
        run::pass_on(&format!("    {line}"));
        // A full disk is no reason to stop: the line has been shown.
        let _ = writeln!(self.log, "{line}");
        self.lines.push(line);
    }

    /// The run is over.
    pub(super) fn end(self, code: i32) -> Played {
        Played { lines: self.lines, code }
    }
}
