//! What is to be written: bounded, and of each conflict only the latest.

use crate::model::Conflict;
use crate::sink::Told;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Conflicts kept while they cannot be written; as many as are followed at one time.
pub(super) const CAPACITY: usize = 4_096;

#[derive(Debug)]
struct Entry {
    conflict: Arc<Conflict>,
    /// How often it was told since it was last written.
    told: u64,
}

/// In the order of the first telling.
#[derive(Debug, Default)]
pub(super) struct Pending {
    entries: BTreeMap<u64, Entry>,
    places: HashMap<(String, Timestamp), u64>,
    next: u64,
}

impl Pending {
    /// Takes one in. Returns how many tellings had to go for it.
    pub(super) fn add(&mut self, told: Told) -> u64 {
        let key = (told.conflict.id.clone(), told.conflict.first_time);
        if let Some(entry) = self.places.get(&key).and_then(|place| self.entries.get_mut(place)) {
            entry.told += 1;
            if told.conflict.count >= entry.conflict.count {
                entry.conflict = told.conflict;
            }
            return 0;
        }
        let lost = if self.entries.len() >= CAPACITY { self.drop_oldest() } else { 0 };
        self.places.insert(key, self.next);
        self.entries.insert(self.next, Entry { conflict: told.conflict, told: 1 });
        self.next += 1;
        lost
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The first `count` of them, or all if there are no more.
    pub(super) fn first(&self, count: usize) -> impl Iterator<Item = &Conflict> {
        self.entries.values().take(count).map(|entry| &*entry.conflict)
    }

    /// Takes the same out: each conflict, with how often it was told.
    pub(super) fn take(&mut self, count: usize) -> Vec<(Arc<Conflict>, u64)> {
        let entries: Vec<Entry> =
            std::iter::from_fn(|| Some(self.entries.pop_first()?.1)).take(count).collect();
        for Entry { conflict, .. } in &entries {
            self.places.remove(&(conflict.id.clone(), conflict.first_time));
        }
        entries.into_iter().map(|entry| (entry.conflict, entry.told)).collect()
    }

    fn drop_oldest(&mut self) -> u64 {
        let Some((_, entry)) = self.entries.pop_first() else { return 0 };
        self.places.remove(&(entry.conflict.id.clone(), entry.conflict.first_time));
        entry.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    fn told(id: usize, count: u64) -> Told {
        let conflict = Conflict { id: id.to_string(), count, ..example::client() };
        Told { conflict: Arc::new(conflict), is_new: count == 1 }
    }

    #[test]
    fn of_each_conflict_the_latest_is_kept() {
        let mut pending = Pending::default();
        assert_eq!([told(1, 1), told(2, 1), told(1, 3)].map(|told| pending.add(told)), [0, 0, 0]);
        let kept: Vec<_> =
            pending.take(CAPACITY).into_iter().map(|(kept, told)| (kept.count, told)).collect();
        assert_eq!(kept, [(3, 2), (1, 1)]);
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut pending = Pending::default();
        pending.add(told(0, 1));
        pending.add(told(0, 2));
        (1..CAPACITY).for_each(|id| assert_eq!(pending.add(told(id, 1)), 0));
        assert_eq!(pending.add(told(CAPACITY, 1)), 2, "two tellings of the first are lost");
        assert_eq!(
            (pending.len(), pending.first(CAPACITY).next().map(|first| &*first.id)),
            (CAPACITY, Some("1"))
        );
    }
}
