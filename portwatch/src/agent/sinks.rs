//! The sinks that run by themselves: history and journal, started and ended as the configuration says.

use super::fan::Fan;
use crate::config::{Config, Journal};
use crate::sink::Told;
use crate::sink::journal;
use crate::store::{self, Retention};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

const STORE: &str = "store";
const JOURNAL: &str = "journal";

/// All of them, and how they were set up.
#[derive(Debug)]
pub(super) struct Sinks {
    fan: Fan,
    store: Arc<store::Counts>,
    journal_lost: Arc<AtomicU64>,
    retention: Option<Retention>,
    has_journal: bool,
}

impl Sinks {
    /// Starts what the configuration wants.
    ///
    /// # Errors
    /// If there can be no more threads, or a journal is wanted and there is none.
    pub(super) fn start(config: &Config) -> io::Result<Self> {
        let mut sinks = Self {
            fan: Fan::default(),
            store: Arc::default(),
            journal_lost: Arc::default(),
            retention: None,
            has_journal: false,
        };
        sinks.start_store(config)?;
        sinks.start_journal(config.journal)?;
        Ok(sinks)
    }

    fn start_store(&mut self, config: &Config) -> io::Result<()> {
        let Some(path) = config.store.clone() else { return Ok(()) };
        let retention = Retention { age: config.store_age, bytes: config.store_size };
        self.retention = Some(retention);
        let counts = Arc::clone(&self.store);
        self.fan.start(STORE, move |told| store::run(path, retention, &told, counts))
    }

    fn start_journal(&mut self, wanted: Journal) -> io::Result<()> {
        self.has_journal = match wanted {
            Journal::Off => false,
            Journal::Auto => journal::is_there(),
            Journal::On if journal::is_there() => true,
            Journal::On => return Err(io::Error::other("journal = on, but this host has no journal")),
        };
        if !self.has_journal {
            return Ok(());
        }
        let lost = Arc::clone(&self.journal_lost);
        self.fan.start(JOURNAL, move |told| write_journal(&told, &lost))
    }

    /// Gives a conflict to each, and waits for none.
    pub(super) fn tell(&self, told: &Told) {
        self.fan.tell(told);
    }

    /// Takes over what can be changed while they run; says what could not be.
    pub(super) fn change(&mut self, config: &Config) -> Vec<String> {
        let mut words = Vec::new();
        let retention = Retention { age: config.store_age, bytes: config.store_size };
        if self.retention.is_some_and(|before| before != retention) {
            words.extend(self.fan.end(Some(STORE)).err().map(|late| too_late(&late)));
            words.extend(
                self.start_store(config).err().map(|error| format!("no history from now on: {error}")),
            );
        }
        let wants_journal = match config.journal {
            Journal::Off => false,
            Journal::On | Journal::Auto => journal::is_there(),
        };
        if wants_journal != self.has_journal {
            words.extend(self.fan.end(Some(JOURNAL)).err().map(|late| too_late(&late)));
            words.extend(self.start_journal(config.journal).err().map(|error| error.to_string()));
        }
        words
    }

    /// Lets all of them write down what they have; says which did not come to an end.
    pub(super) fn end(&mut self) -> Vec<String> {
        self.fan.end(None).err().map(|late| too_late(&late)).into_iter().collect()
    }

    /// Conflicts that did not reach a sink, or that it could not write down, by its name.
    pub(super) fn lost(&self) -> Vec<(&'static str, u64)> {
        let own = |name: &str| match name {
            STORE => self.store.lost.load(Ordering::Relaxed),
            _ => self.journal_lost.load(Ordering::Relaxed),
        };
        self.fan.lost().into_iter().map(|(name, lost)| (name, lost + own(name))).collect()
    }

    /// Failures of the store, each with its reason in the log.
    pub(super) fn store_errors(&self) -> u64 {
        self.store.errors.load(Ordering::Relaxed)
    }
}

fn write_journal(told: &Receiver<Told>, lost: &AtomicU64) {
    let mut journal = journal::Journal::new();
    let mut was_said = false;
    for told in told {
        if let Err(error) = told.to(&mut journal) {
            lost.fetch_add(1, Ordering::Relaxed);
            if !was_said {
                super::say(&[format!("the journal does not take it: {error}; what is lost is counted")]);
            }
            was_said = true;
        }
    }
}

fn too_late(names: &[&str]) -> String {
    format!("{} did not end in time; what was still to be written is lost", names.join(", "))
}
