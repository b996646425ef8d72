//! Repeats of one conflict: a victim in a restart loop is one conflict whose count grows. Pure; time is an argument.

use super::Report;
use super::lookups::ProcessId;
use crate::model::{Cause, Conflict, Protocol};
use std::collections::HashMap;
use std::net::IpAddr;

/// A repeat is told at most once in this time.
const REPEAT_NS: u64 = 1_000_000_000;
/// After so long a silence the next refusal is a new conflict. The longest pause of a restart loop in common use is
/// the five minutes of a container's back-off.
const SILENCE_NS: u64 = 600_000_000_000;
/// Conflicts followed at one time.
const CAPACITY: usize = 4_096;

/// What makes two refusals one conflict.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) netns: u32,
    pub(super) protocol: Protocol,
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) victim: Victim,
    pub(super) culprit: Option<ProcessId>,
    /// Without a culprit: what is known instead.
    pub(super) cause: Option<Cause>,
}

/// Who was refused, as a program and not as a process; in a container, of which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Victim {
    /// Unit, else executable.
    Program(String),
    /// The name alone: it was gone before its executable could be read.
    Name(String),
}

#[derive(Debug)]
struct Followed {
    conflict: Box<Conflict>,
    told_ns: u64,
    seen_ns: u64,
    /// Repeats that were not told yet.
    pending: bool,
}

#[derive(Debug, Default)]
pub(super) struct Coalescer {
    followed: HashMap<Key, Followed>,
    /// Key by name → key under which that is followed.
    names: HashMap<Key, Key>,
    /// Last words of conflicts that had to make room.
    parting: Vec<Report>,
}

impl Coalescer {
    /// The key under which this conflict is followed, if it is: the victims of a restart loop are one program, whether or
    /// not each of them lived long enough to have its executable read. `name` is the victim's, whatever else is known.
    pub(super) fn known_as(&mut self, key: Key, name: String) -> Key {
        let mut by_name = key.clone();
        by_name.victim = Victim::Name(name);
        let known = self.names.get(&by_name).filter(|known| self.followed.contains_key(*known));
        let is_vague = |key: &Key| matches!(key.victim, Victim::Name(_));
        let chosen = match known {
            Some(known) if !self.followed.contains_key(&key) && (is_vague(&key) || is_vague(known)) => {
                known.clone()
            }
            _ => key,
        };
        self.names.insert(by_name, chosen.clone());
        chosen
    }

    /// A resolved refusal: a new conflict, or a repeat that may be told now or later.
    pub(super) fn accept(&mut self, key: Key, conflict: Box<Conflict>, now_ns: u64) -> Option<Report> {
        if let Some(known) = self.followed.get_mut(&key)
            && now_ns.saturating_sub(known.seen_ns) < SILENCE_NS
        {
            let mut latest = conflict;
            latest.id.clone_from(&known.conflict.id);
            latest.first_time = known.conflict.first_time;
            latest.count = known.conflict.count.saturating_add(1);
            known.conflict = latest;
            return known.repeated(now_ns);
        }
        if self.followed.len() >= CAPACITY {
            self.forget(now_ns);
        }
        let report = Report::New(conflict.clone());
        self.followed.insert(key, Followed { conflict, told_ns: now_ns, seen_ns: now_ns, pending: false });
        Some(report)
    }

    /// The same refusal once more, without looking anything up again. `None` if the conflict is not followed.
    pub(super) fn again(&mut self, key: &Key, time: jiff::Timestamp, now_ns: u64) -> Option<Option<Report>> {
        let known = self.followed.get_mut(key)?;
        known.conflict.time = time;
        known.conflict.count = known.conflict.count.saturating_add(1);
        Some(known.repeated(now_ns))
    }

    /// Repeats whose time has come.
    pub(super) fn due(&mut self, now_ns: u64) -> Vec<Report> {
        self.drain(|known| now_ns.saturating_sub(known.told_ns) >= REPEAT_NS, now_ns)
    }

    /// All repeats not told yet: the end.
    pub(super) fn finish(&mut self) -> Vec<Report> {
        self.drain(|_| true, u64::MAX)
    }

    fn drain(&mut self, is_due: impl Fn(&Followed) -> bool, now_ns: u64) -> Vec<Report> {
        let due = self.followed.values_mut().filter(|known| known.pending && is_due(known));
        let mut reports: Vec<_> = due.map(|known| known.tell(now_ns)).collect();
        reports.append(&mut self.parting);
        // A hash map has no order; the reader of a log wants that of time, and a replay the same one every time.
        reports.sort_by(|one, other| {
            let (one, other) = (one.conflict(), other.conflict());
            (one.time, &one.id).cmp(&(other.time, &other.id))
        });
        reports
    }

    /// Makes room: the silent go, or if there are none the one that was silent longest.
    fn forget(&mut self, now_ns: u64) {
        let is_silent = |known: &Followed| now_ns.saturating_sub(known.seen_ns) >= SILENCE_NS;
        self.followed.retain(|_, known| known.pending || !is_silent(known));
        self.names.retain(|_, key| self.followed.contains_key(key));
        if self.followed.len() < CAPACITY {
            return;
        }
        let age = |known: &Followed| (known.pending, known.seen_ns);
        let oldest = self.followed.iter().min_by(|(_, one), (_, other)| {
            (age(one), &one.conflict.id).cmp(&(age(other), &other.conflict.id))
        });
        let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
        if let Some(mut known) = self.followed.remove(&key)
            && known.pending
        {
            self.parting.push(known.tell(now_ns));
        }
    }
}

impl Followed {
    fn repeated(&mut self, now_ns: u64) -> Option<Report> {
        self.seen_ns = now_ns;
        self.pending = true;
        (now_ns.saturating_sub(self.told_ns) >= REPEAT_NS).then(|| self.tell(now_ns))
    }

    fn tell(&mut self, now_ns: u64) -> Report {
        self.told_ns = now_ns;
        self.pending = false;
        Report::Repeat(self.conflict.clone())
    }
}
