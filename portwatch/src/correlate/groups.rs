//! Holders that wait for the refusal they belong to: they come before it on the ring. Bounded, and counted beyond.

use portwatch_common::record::Holder;
use std::collections::{HashMap, VecDeque};

/// Refusals whose holders may wait at one time: one a thread inside bind() is all there can be.
const GROUPS: usize = 1_024;
/// Holders kept for one refusal; the kernel side walks no further either.
const GROUP_SIZE: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Groups {
    waiting: HashMap<u64, Vec<Holder>>,
    order: VecDeque<u64>,
    dropped: u64,
}

impl Groups {
    pub(super) fn add(&mut self, holder: Holder) {
        let id = holder.refusal;
        if !self.waiting.contains_key(&id) {
            if self.order.len() >= GROUPS
                && let Some(oldest) = self.order.pop_front()
            {
                self.dropped += self.waiting.remove(&oldest).map_or(0, |group| group.len() as u64);
            }
            self.order.push_back(id);
        }
        let group = self.waiting.entry(id).or_default();
        if group.len() < GROUP_SIZE {
            group.push(holder);
        } else {
            self.dropped += 1;
        }
    }

    /// The holders of a refusal that has come.
    pub(super) fn take(&mut self, id: u64) -> Vec<Holder> {
        let Some(group) = self.waiting.remove(&id) else { return Vec::new() };
        // The youngest are asked for; those whose refusal never comes stay in front.
        if let Some(at) = self.order.iter().rposition(|&other| other == id) {
            self.order.remove(at);
        }
        group
    }

    /// Holders without a refusal so far.
    pub(super) fn strays(&self) -> u64 {
        self.dropped + self.waiting.values().map(|group| group.len() as u64).sum::<u64>()
    }
}
