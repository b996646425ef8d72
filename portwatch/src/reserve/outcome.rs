//! What was done, or would be: plain data, in exactly the shape and order of its JSON. Schema 1; fields are only ever added.

use super::sysctl::Setting;
use crate::exit_code::ExitCode;
use crate::model::HeldSocket;
use serde::Serialize;
use std::path::PathBuf;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The kernel is not to choose the ports.
    Reserve,
    /// It may again.
    Unreserve,
}

/// What became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// [`crate::model::SCHEMA`].
    pub schema: u32,
    /// What was asked for.
    pub action: Action,
    /// Nothing was changed: this is what would be.
    pub dry_run: bool,
    /// The ports that were named, as a list like `80,8000-8010`; so are all lists here.
    pub ports: String,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Its name, where it has one.
    pub netns_name: Option<String>,
    /// The list in the kernel.
    pub kernel: Kernel,
    /// The file for boot; `null` unless `--persist` was given.
    pub file: Option<File>,
    /// Who has one of the ports now, and keeps it.
    pub holders: Vec<HeldSocket>,
    /// What could not be seen of the holders, and why.
    pub unseen: Vec<String>,
    /// What else has to be known.
    pub notes: Vec<Note>,
}

/// `ip_local_reserved_ports`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Kernel {
    /// The list before.
    pub before: String,
    /// The list afterwards, read back; with `dry_run` what it would be.
    pub after: String,
    /// Ports that came to it.
    pub added: String,
    /// Ports that went.
    pub removed: String,
    /// Ports that were to go and are kept, for others had reserved them.
    pub kept: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// `/etc/sysctl.d/60-portwatch.conf`.
#[derive(Clone, Debug, Serialize)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Ports that it keeps for `portwatch reserve`, afterwards.
    pub reserved: String,
    /// The lines that differ: `-` gone, `+` new. Empty if nothing changes.
    pub difference: Vec<String>,
    /// What went wrong: the file is as it was.
    pub error: Option<String>,
    /// The line of another file that replaces its list at boot.
    pub overridden_by: Option<Setting>,
    /// The line of an earlier file that it replaces at boot, and whose ports it therefore has too.
    pub carries: Option<Setting>,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// What a reservation does not do.
    ExplicitBinds,
    /// Somebody has a port and keeps it.
    Holder,
    /// Nothing changes, for it is so already.
    Already,
    /// The kernel never chooses the port anyway.
    OutsideRange,
    /// Ports after a long reserved block are chosen much more often.
    Skewed,
    /// The next boot brings another list.
    NotForBoot,
    /// Another file replaces the list at boot.
    Overridden,
    /// Ports of an earlier file are in portwatch's line too.
    Carried,
    /// A list that long is cut by a common tool.
    CutAtBoot,
    /// The port comes back at boot.
    BackAtBoot,
    /// Ports that others reserved are kept.
    Kept,
    /// What an earlier portwatch left unfinished was put right.
    Repaired,
    /// What was added is not remembered.
    Forgetful,
    /// Something could not be looked at.
    Unseen,
}

/// Something to know. Its text is printable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about.
    pub about: About,
    /// Sentences.
    pub text: String,
    /// Exactly what to type; not escaped.
    pub commands: Vec<String>,
}

impl Note {
    /// A note without commands.
    pub(super) fn new(about: About, text: impl Into<String>) -> Self {
        Self { about, text: text.into(), commands: Vec::new() }
    }

    /// The same with a command.
    pub(super) fn with(mut self, command: impl Into<String>) -> Self {
        self.commands.push(command.into());
        self
    }
}

impl Outcome {
    /// How the process is to end: failed, unless everything that was asked for is so now.
    pub fn code(&self) -> ExitCode {
        let is_file_wrong = self.file.as_ref().is_some_and(|file| file.error.is_some());
        let is_wrong = self.kernel.error.is_some() || is_file_wrong || !self.kernel.kept.is_empty();
        if is_wrong { ExitCode::Failed } else { ExitCode::Done }
    }
}
