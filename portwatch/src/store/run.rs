//! The writer's thread: batches, another try when the file cannot be written, and a count of what was lost.

use super::StoreError;
use super::pending::{CAPACITY, Pending};
use super::retention::Retention;
use super::writer::Writer;
use crate::sink::Told;
use crate::text;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// A conflict is written no later than this after it was told.
const BATCH_TIME: Duration = Duration::from_secs(1);
/// So many are written at once.
const BATCH: usize = 512;
/// Between two rounds of retention.
const MAINTAIN: Duration = Duration::from_secs(60);
/// After so many written conflicts there is a round early.
const MAINTAIN_AFTER: u64 = 10_000;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Conflicts in one transaction: where the disk has no room for all, some are better than none.
const PIECE: usize = 32;

/// What became of what was told: `written` and `lost` together are all of it, once `run` has returned.
#[derive(Debug, Default)]
pub struct Counts {
    /// Tellings that stand in the file; a repeat that a later one overtook is written with that.
    pub written: AtomicU64,
    /// Tellings that could not be written and are in memory no more.
    pub lost: AtomicU64,
    /// Failed tries to open, write or maintain the file.
    pub errors: AtomicU64,
}

/// Writes what is told until the channel closes, whatever befalls the file. Says on standard error what a person must
/// know.
pub fn run(path: PathBuf, retention: Retention, told: &Receiver<Told>, counts: Arc<Counts>) {
    run_logging(path, retention, told, counts, |words| {
        words.lines().for_each(|line| eprintln!("portwatch: {}", text::printable(line)));
    });
}

/// The same with a log of the caller's.
pub fn run_logging(
    path: PathBuf,
    retention: Retention,
    told: &Receiver<Told>,
    counts: Arc<Counts>,
    log: impl FnMut(&str),
) {
    // A limit on the size of files ends a process that does not ignore this signal; then writing merely fails.
    // SAFETY: no handler is installed, only one signal ignored.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let now = Instant::now();
    let mut keeper = Keeper {
        path,
        retention,
        writer: None,
        pending: Pending::default(),
        oldest: None,
        next_try: now,
        pause: BATCH_TIME,
        next_round: now,
        since_round: 0,
        is_failing: false,
        is_doubtful: false,
        lost_before: 0,
        counts,
        log,
    };
    keeper.try_to_write(now);
    loop {
        let wait = keeper.due().saturating_duration_since(Instant::now());
        match told.recv_timeout(wait) {
            Ok(told) => keeper.add(told),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return keeper.finish(),
        }
        keeper.tick(Instant::now());
    }
}

struct Keeper<L> {
    path: PathBuf,
    retention: Retention,
    writer: Option<Writer>,
    pending: Pending,
    /// When the first of `pending` was told.
    oldest: Option<Instant>,
    next_try: Instant,
    pause: Duration,
    next_round: Instant,
    since_round: u64,
    is_failing: bool,
    /// SQLite said that the file is damaged: it is read through before it is used again.
    is_doubtful: bool,
    lost_before: u64,
    counts: Arc<Counts>,
    log: L,
}

impl<L: FnMut(&str)> Keeper<L> {
    fn add(&mut self, told: Told) {
        self.oldest.get_or_insert_with(Instant::now);
        let lost = self.pending.add(told);
        self.counts.lost.fetch_add(lost, Relaxed);
    }

    /// When there is something to do next.
    fn due(&self) -> Instant {
        let batch = self.oldest.map(|oldest| (oldest + BATCH_TIME).max(self.next_try));
        let reopen = self.writer.is_none().then_some(self.next_try);
        [batch, reopen].into_iter().flatten().fold(self.next_round.max(self.next_try), Instant::min)
    }

    fn tick(&mut self, now: Instant) {
        if now < self.next_try {
            return;
        }
        let is_due = self.oldest.is_some_and(|oldest| now >= oldest + BATCH_TIME);
        if is_due || self.pending.len() >= BATCH || self.writer.is_none() {
            self.try_to_write(now);
        }
        if self.writer.is_some() && (now >= self.next_round || self.since_round >= MAINTAIN_AFTER) {
            (self.next_round, self.since_round) = (now + MAINTAIN, 0);
            if let Some(Err(error)) = self.writer.as_mut().map(Writer::maintain) {
                self.failed(&error, now);
            }
        }
    }

    fn try_to_write(&mut self, now: Instant) {
        match self.write() {
            Ok(()) => self.succeeded(),
            Err(error) => self.failed(&error, now),
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let (writer, notices) = Writer::open_doubting(&self.path, self.retention, self.is_doubtful)?;
                self.is_doubtful = false;
                notices.iter().for_each(|notice| (self.log)(notice));
                none.insert(writer)
            }
        };
        let mut all = Ok(());
        while self.pending.len() > 0 {
            let outcome = writer.write_all(self.pending.first(PIECE));
            if outcome.as_ref().is_err_and(|error| !error.is_of_a_row()) {
                return outcome;
            }
            for (conflict, told) in self.pending.take(PIECE) {
                // One conflict that the file does not take must not keep the others out.
                let alone = if outcome.is_err() { writer.write_all([&*conflict]) } else { Ok(()) };
                let count = if alone.is_ok() { &self.counts.written } else { &self.counts.lost };
                count.fetch_add(told, Relaxed);
                self.since_round += 1;
            }
            all = all.and(outcome);
        }
        self.oldest = None;
        all
    }

    fn succeeded(&mut self) {
        self.pause = BATCH_TIME;
        if !self.is_failing {
            return;
        }
        self.is_failing = false;
        let lost = self.counts.lost.load(Relaxed) - self.lost_before;
        (self.log)(&match lost {
            0 => "the history is written again; nothing was lost".to_owned(),
            lost => format!("the history is written again; {lost} conflicts or repeats were lost meanwhile"),
        });
    }

    fn failed(&mut self, error: &StoreError, now: Instant) {
        self.counts.errors.fetch_add(1, Relaxed);
        self.is_doubtful |= matches!(error, StoreError::Damaged { .. } | StoreError::Foreign { .. });
        // A full disk is no fault of the open file; everything else may be.
        if !matches!(error, StoreError::Full { .. }) {
            self.writer = None;
        }
        self.next_try = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if !self.is_failing {
            self.is_failing = true;
            self.lost_before = self.counts.lost.load(Relaxed);
            (self.log)(&format!(
                "the history is not written: {error}\nportwatch goes on without; up to {CAPACITY} conflicts are kept in \
                 memory and written as soon as that is possible"
            ));
        }
    }

    /// The last words.
    fn finish(mut self) {
        self.try_to_write(Instant::now());
        let lost: u64 = self.pending.take(CAPACITY).into_iter().map(|(_, told)| told).sum();
        self.counts.lost.fetch_add(lost, Relaxed);
        if lost > 0 {
            (self.log)(&format!(
                "the history could not be written to the end: {lost} conflicts or repeats are lost"
            ));
        }
    }
}
