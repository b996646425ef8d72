//! The records of who was given which port, in the tables of a running portwatch: how many there are, and many more put in, of
//! sockets that are not there.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use portwatch_common::bucket::{Bucket, bucket_of, shift_of};
use portwatch_common::{Assignment, map};

use super::bpf::Table;

/// Buckets of one look.
const BATCH: u32 = 4_096;
/// In a part of the address space where no sockets are; as far apart as real ones.
const FIRST: u64 = 0x4000_0000_0000;
const APART: u64 = 2_304;

/// Buckets, and the hash of what found no room.
pub(super) struct Records {
    buckets: Table,
    spill: Table,
}

impl Records {
    /// Those of the portwatch with this pid.
    pub(super) fn of(pid: u32) -> Result<Self> {
        Ok(Self { buckets: Table::of(pid, map::PORTS)?, spill: Table::of(pid, map::PORTS_SPILL)? })
    }

    /// Sockets for which there is room in the buckets.
    pub(super) fn capacity(&self) -> u32 {
        self.buckets.capacity * portwatch_common::bucket::WAYS as u32
    }

    /// Kernel memory of both, by its own reckoning.
    pub(super) fn memory(&self) -> u64 {
        self.buckets.memory + self.spill.memory
    }

    /// Puts in so many records; a thousand processes have them.
    pub(super) fn fill(&self, count: u64) -> Result<()> {
        let mut wanted: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for at in 0..count {
            wanted.entry(bucket_of(key(at), shift_of(self.bits()))).or_default().push(at);
        }
        self.change(|number, bucket, spill| {
            for &at in wanted.get(&number).into_iter().flatten() {
                match bucket.keys.iter().position(|key| *key == 0) {
                    Some(way) => (bucket.keys[way], bucket.values[way]) = (key(at), record(at)),
                    None => {
                        bucket.spilled += 1;
                        spill.push((key(at), record(at)));
                    }
                }
            }
        })
        .and_then(|spill| spill.chunks(BATCH as usize).try_for_each(|some| self.spill.write(some)))
    }

    /// Takes them out again.
    pub(super) fn clear(&self, count: u64) -> Result<()> {
        let is_ours = |key: u64| key >= FIRST && key < FIRST + count * APART;
        let mut spilled: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for at in 0..count {
            spilled.entry(bucket_of(key(at), shift_of(self.bits()))).or_default().push(key(at));
        }
        let gone = self.change(|number, bucket, gone| {
            let ours = spilled.get(&number).map_or(&[][..], Vec::as_slice);
            for key in ours.iter().filter(|key| !bucket.keys.contains(key)) {
                bucket.spilled = bucket.spilled.saturating_sub(1);
                gone.push((*key, Assignment::default()));
            }
            bucket.keys.iter_mut().filter(|key| is_ours(**key)).for_each(|key| *key = 0);
        })?;
        let keys: Vec<u64> = gone.into_iter().map(|(key, _)| key).collect();
        keys.chunks(BATCH as usize).try_for_each(|some| self.spill.delete(some))
    }

    /// How many there are.
    pub(super) fn count(&self) -> Result<u64> {
        let mut count = self.spill.count()?;
        for first in (0..self.buckets.capacity).step_by(BATCH as usize) {
            let some = BATCH.min(self.buckets.capacity - first);
            let buckets: Vec<Bucket<Assignment>> = self.buckets.read(first, some)?;
            count += buckets.iter().flat_map(|bucket| bucket.keys).filter(|key| *key != 0).count() as u64;
        }
        Ok(count)
    }

    /// Changes every bucket, and writes those that are others then. Returns what was collected on the way.
    fn change(
        &self,
        change: impl Fn(u32, &mut Bucket<Assignment>, &mut Vec<(u64, Assignment)>),
    ) -> Result<Vec<(u64, Assignment)>> {
        ensure!(self.bits() > 0, "this kernel's tables have no buckets");
        let mut collected = Vec::new();
        for first in (0..self.buckets.capacity).step_by(BATCH as usize) {
            let some = BATCH.min(self.buckets.capacity - first);
            let before: Vec<Bucket<Assignment>> = self.buckets.read(first, some)?;
            let mut entries = Vec::new();
            for (number, old) in (first..).zip(before) {
                let mut bucket = old;
                change(number, &mut bucket, &mut collected);
                if bucket != old {
                    entries.push((number, bucket));
                }
            }
            self.buckets.write(&entries).context("writing buckets")?;
        }
        Ok(collected)
    }

    fn bits(&self) -> u32 {
        self.buckets.capacity.trailing_zeros()
    }
}

fn key(at: u64) -> u64 {
    FIRST + at * APART
}

fn record(at: u64) -> Assignment {
    let mut record =
        Assignment { inode: 1 << 40 | at, assigned_ns: 1 + at, netns: 1, ..Assignment::default() };
    let owner = 4_000_000 + (at % 1_000) as u32;
    (record.task.tgid, record.task.tid, record.task.start_ns) = (owner, owner, 1);
    (record.port, record.protocol, record.how) = (1_024 + (at % 60_000) as u16, 6, 1);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_of_many_sockets_and_processes() {
        assert_ne!(record(1).inode, record(2).inode);
        assert_eq!(record(1).task, record(1_001).task);
        assert!(key(7).is_multiple_of(2), "odd keys are of records that are being written");
    }
}
