//! What a report must say of a process beside its identity: where it runs, what it runs, which thread made the call.

use std::path::PathBuf;

use serde_json::Value;

use crate::actor::Process;
use crate::fields::{Checker, is_comm};

/// Only what is set is checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Portrait {
    /// The thread that made the call, where it must be named.
    pub(crate) thread: Option<u32>,
    /// The program, if it is not the lineup's own.
    pub(crate) exe: Option<PathBuf>,
    /// First word of the command line.
    pub(crate) argument0: Option<Vec<u8>>,
    pub(crate) uid: Option<u32>,
    pub(crate) place: Option<Place>,
}

impl Portrait {
    /// Of whoever the lineup starts.
    pub(crate) fn own() -> Self {
        Self { uid: Some(rustix::process::geteuid().as_raw()), ..Self::default() }
    }
}

/// A cgroup, and what its path says about the processes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Below the root of the hierarchy.
    pub(crate) path: &'static str,
    pub(crate) unit: Option<&'static str>,
    pub(crate) container: Option<&'static str>,
    pub(crate) pod: Option<&'static str>,
}

impl Checker<'_> {
    /// Checks the process in `field` against its portrait; the program is told apart by `program`.
    pub(crate) fn portrait(&mut self, field: &str, process: &Process) {
        let Portrait { thread, exe: _, argument0, uid, place } = &process.portrait;
        if let Some(thread) = thread {
            self.equal(&format!("{field}/tid"), *thread);
        }
        if let Some(word) = argument0 {
            let field = format!("{field}/cmdline");
            let holds = self.at(&field).as_str().is_some_and(|got| is_comm_at_start(got, word));
            self.expect(holds, &field, || format!("to begin with {}", word.escape_ascii()));
        }
        if let Some(uid) = uid {
            self.equal(&format!("{field}/uid"), *uid);
        }
        if let Some(Place { path, unit, container, pod }) = *place {
            self.equal(&format!("{field}/cgroup"), format!("/{path}"));
            for (name, expected) in [("unit", unit), ("container", container), ("pod", pod)] {
                self.equal(&format!("{field}/{name}"), expected.map_or(Value::Null, Value::from));
            }
        }
    }

    /// Checks the program of the process in `field`.
    pub(crate) fn program(&mut self, field: &str, process: &Process) {
        let field = format!("{field}/exe");
        let got = self.at(&field);
        let expected = process.portrait.exe.as_deref();
        let holds = match expected {
            Some(path) => got.as_str().is_some_and(|got| is_comm(got, path.as_os_str().as_encoded_bytes())),
            None => got == self.exe,
        };
        // A process that is gone may have ended before anybody read its program: null then, but never another's.
        let holds = holds || (!process.alive && got.is_null());
        let own = self.exe.to_owned();
        self.expect(holds, &field, || expected.map_or(own, |path| format!("{}", path.display())));
    }
}

/// Whether a command line begins with a word, however that is quoted and escaped.
fn is_comm_at_start(line: &str, word: &[u8]) -> bool {
    let first = word.split(|byte| !byte.is_ascii_alphanumeric()).find(|run| !run.is_empty());
    let begins = first
        .and_then(|run| std::str::from_utf8(run).ok())
        .and_then(|run| line.find(run))
        // An escape such as \x1b[31m comes before at most.
        .is_some_and(|at| at <= 16);
    let last = word.split(|byte| !byte.is_ascii_alphanumeric()).rfind(|run| !run.is_empty());
    begins && last.and_then(|run| std::str::from_utf8(run).ok()).is_some_and(|run| line.contains(run))
}
