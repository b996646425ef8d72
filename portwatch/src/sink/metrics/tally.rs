//! Conflicts as numbers: what was told so far, by closed sets of labels.

use std::collections::{BTreeMap, HashMap};

use crate::model::{Cause, Conflict, Operation, Protocol, UnnamedReason};
use crate::sink::Told;

/// Protocol, operation, cause.
pub(super) type Kind = (Protocol, Operation, Cause);

/// Conflicts whose count is remembered. The correlator follows 4096 at one time; one that it no longer follows is told no
/// more.
const REMEMBERED: usize = 8_192;

/// The counts. Ordered, so that two scrapes differ only in numbers.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) conflicts: BTreeMap<Kind, u64>,
    pub(super) refusals: BTreeMap<Kind, u64>,
    pub(super) unattributed: BTreeMap<UnnamedReason, u64>,
    /// Seconds since 1970.
    pub(super) last: BTreeMap<Cause, f64>,
    pub(super) exhaustions: BTreeMap<Protocol, u64>,
    /// Refusals counted so far, by the conflict's id. The younger half, and the older one.
    counted: [HashMap<String, u64>; 2],
}

impl Tally {
    /// Everything that can happen, at 0.
    pub(super) fn new() -> Self {
        let kinds: BTreeMap<Kind, u64> = kinds().map(|kind| (kind, 0)).collect();
        Self {
            refusals: kinds.clone(),
            conflicts: kinds,
            unattributed: UnnamedReason::ALL.iter().map(|reason| (*reason, 0)).collect(),
            last: Cause::ALL.iter().map(|cause| (*cause, 0.0)).collect(),
            exhaustions: Protocol::ALL.iter().map(|protocol| (*protocol, 0)).collect(),
            counted: [HashMap::new(), HashMap::new()],
        }
    }

    /// Takes in a conflict, or that one has grown.
    pub(super) fn told(&mut self, told: &Told) {
        let conflict = &*told.conflict;
        let kind = (conflict.protocol, conflict.operation, conflict.cause);
        if told.is_new {
            *self.conflicts.entry(kind).or_default() += 1;
            if let Some(reason) = unattributed(conflict) {
                *self.unattributed.entry(reason).or_default() += 1;
            }
        }
        let refusals = self.fresh(conflict);
        *self.refusals.entry(kind).or_default() += refusals;
        if conflict.cause == Cause::Exhausted {
            *self.exhaustions.entry(conflict.protocol).or_default() += refusals;
        }
        let time = conflict.time.as_duration().as_secs_f64();
        let last = self.last.entry(conflict.cause).or_default();
        *last = last.max(time);
    }

    /// Refusals of the conflict that were not counted yet.
    fn fresh(&mut self, conflict: &Conflict) -> u64 {
        let known = self.counted.iter_mut().find_map(|half| half.remove(&conflict.id)).unwrap_or(0);
        let [younger, older] = &mut self.counted;
        if younger.len() >= REMEMBERED / 2 {
            *older = std::mem::take(younger);
        }
        younger.insert(conflict.id.clone(), conflict.count.max(known));
        conflict.count.saturating_sub(known)
    }
}

/// Why the culprit is not named; `None` if it is. Of an exhausted range nobody in particular is the culprit.
fn unattributed(conflict: &Conflict) -> Option<UnnamedReason> {
    if conflict.cause == Cause::Exhausted {
        return None;
    }
    match conflict.culprit() {
        Some(culprit) if culprit.process.is_some() => None,
        Some(culprit) => culprit.unnamed_reason.or(Some(UnnamedReason::AlreadyGone)),
        // Nobody stood on the port when it was looked at.
        None => Some(UnnamedReason::ReleasedMeanwhile),
    }
}

/// What can be refused by what: shown from the start. A third of the full product; anything else would be shown when it
/// happens.
fn kinds() -> impl Iterator<Item = Kind> {
    let all = Protocol::ALL.iter().flat_map(|protocol| {
        Operation::ALL
            .iter()
            .flat_map(move |operation| Cause::ALL.iter().map(move |cause| (*protocol, *operation, *cause)))
    });
    all.filter(|(protocol, operation, cause)| match operation {
        Operation::Bind => true,
        Operation::Listen => !protocol.is_datagram(),
        // No number was asked for, so that only the whole range can be in the way.
        Operation::Connect | Operation::Autobind => *cause == Cause::Exhausted,
        Operation::Sendto => *cause == Cause::Exhausted && protocol.is_datagram(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;
    use std::sync::Arc;

    fn tell(tally: &mut Tally, is_new: bool, change: impl FnOnce(&mut Conflict)) {
        let mut conflict = example::client();
        change(&mut conflict);
        tally.told(&Told { conflict: Arc::new(conflict), is_new });
    }

    const KIND: Kind = (Protocol::Tcp, Operation::Bind, Cause::EphemeralClient);

    #[test]
    fn a_restart_loop_is_one_conflict_and_every_refusal_counts_once() {
        let mut tally = Tally::new();
        tell(&mut tally, true, |_| {});
        tell(&mut tally, false, |conflict| conflict.count = 7);
        // Told late, or twice.
        tell(&mut tally, false, |conflict| conflict.count = 7);
        tell(&mut tally, false, |conflict| conflict.count = 3);
        tell(&mut tally, true, |conflict| conflict.id = "another".into());
        assert_eq!((tally.conflicts[&KIND], tally.refusals[&KIND]), (2, 8));
        assert_eq!(tally.conflicts.values().sum::<u64>(), 2, "nothing else is counted");
        assert_eq!(tally.unattributed.values().sum::<u64>(), 0);
    }

    #[test]
    fn counts_survive_thousands_of_other_conflicts() {
        let mut tally = Tally::new();
        tell(&mut tally, true, |_| {});
        for number in 0..REMEMBERED * 2 {
            tell(&mut tally, true, |conflict| conflict.id = format!("other-{number}"));
            if number % 1000 == 0 {
                tell(&mut tally, false, |conflict| conflict.count = 2);
            }
        }
        assert_eq!(tally.refusals[&KIND], 2 * REMEMBERED as u64 + 2);
        assert!(tally.counted.iter().map(HashMap::len).sum::<usize>() <= REMEMBERED);
    }

    #[test]
    fn who_is_not_named_is_counted_by_the_reason() {
        let mut tally = Tally::new();
        tell(&mut tally, true, |conflict| {
            conflict.holders[0].process = None;
            conflict.holders[0].unnamed_reason = Some(UnnamedReason::NotRecorded);
        });
        tell(&mut tally, true, |conflict| {
            conflict.id = "b".into();
            conflict.holders.clear();
        });
        assert_eq!(tally.unattributed[&UnnamedReason::NotRecorded], 1);
        assert_eq!(tally.unattributed[&UnnamedReason::ReleasedMeanwhile], 1);
    }

    #[test]
    fn an_exhausted_range_is_nobodys_and_has_a_count_of_its_own() {
        let mut tally = Tally::new();
        let exhausted = |conflict: &mut Conflict| {
            conflict.cause = Cause::Exhausted;
            conflict.operation = Operation::Connect;
            conflict.holders.clear();
            conflict.count = 5;
        };
        tell(&mut tally, true, exhausted);
        assert_eq!(tally.exhaustions[&Protocol::Tcp], 5);
        assert_eq!(tally.unattributed.values().sum::<u64>(), 0);
        assert!(tally.last[&Cause::Exhausted] > 1.7e9);
        assert!(tally.last[&Cause::Listener] == 0.0);
    }

    #[test]
    fn what_cannot_happen_has_no_series() {
        let kinds: Vec<Kind> = kinds().collect();
        assert!(kinds.contains(&KIND) && kinds.len() < 130, "{}", kinds.len());
        assert!(!kinds.contains(&(Protocol::Udp, Operation::Listen, Cause::Listener)));
        assert!(!kinds.contains(&(Protocol::Tcp, Operation::Connect, Cause::Listener)));
        assert!(kinds.contains(&(Protocol::Tcp, Operation::Connect, Cause::Exhausted)));
    }
}
