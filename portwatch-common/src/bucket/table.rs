//! A table in which every entry stays until it is removed: buckets, and an overflow hash for what finds its bucket full.

use super::{BUSY, BucketRef, SlotRef, WAYS, Words, claim_slot, find_slot};

/// Why an entry is in no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// Bucket and overflow hash are full.
    Full,
    /// The kernel's hash was locked by another program on the same CPU.
    Busy,
}

/// A table by even keys. 0 is no key.
pub trait Table {
    /// What it keeps.
    type Value: Copy + 'static;
    /// How its words are changed.
    type Words: Words;

    /// The bucket of a key; `None` where the kernel has no atomic exchange, which leaves the overflow hash alone.
    fn bucket(key: u64) -> Option<BucketRef<Self::Value>>;

    /// The value in the overflow hash.
    fn overflow_find(key: u64) -> Option<*mut Self::Value>;

    /// Inserts into the overflow hash, or replaces there.
    ///
    /// # Errors
    /// With the reason, if the value is not there afterwards.
    fn overflow_insert(key: u64, value: &Self::Value) -> Result<(), NotKept>;

    /// Removes from the overflow hash; whether it was there.
    fn overflow_remove(key: u64) -> bool;

    /// Counts an entry that is in no table.
    fn count_not_kept(reason: NotKept);

    /// The slot to write the value of a key to, unless the present value is good. The caller publishes the slot, or spills.
    #[inline(always)]
    fn reserve_unless(key: u64, mut is_good: impl FnMut(&mut Self::Value) -> bool) -> Slot<Self::Value> {
        // SAFETY: a value of the table, of a key that only the caller updates.
        let mut has_good = |value: *mut Self::Value| is_good(unsafe { &mut *value });
        let Some(bucket) = Self::bucket(key) else {
            let is_good = Self::overflow_find(key).is_some_and(has_good);
            return if is_good { Slot::UpToDate } else { Slot::Overflow(None) };
        };
        if let Some(slot) = find_slot::<Self::Words, _>(bucket, key) {
            if has_good(slot.value()) {
                return Slot::UpToDate;
            }
            slot.write_key(key | BUSY);
            return Slot::Reserved(slot);
        }
        if bucket.has_spilled() {
            // An earlier value of this key may have found the bucket full.
            if Self::overflow_find(key).is_some_and(has_good) {
                return Slot::UpToDate;
            }
            Self::unspill(bucket, key);
        }
        match claim_slot::<Self::Words, _>(bucket, key) {
            Some(slot) => Slot::Reserved(slot),
            None => Slot::Overflow(Some(bucket)),
        }
    }

    /// Room for a value that only the current thread reads; it holds anything, or `new` in the overflow hash.
    #[inline(always)]
    fn reserve(key: u64, new: &Self::Value) -> Option<*mut Self::Value> {
        let Some(bucket) = Self::bucket(key) else {
            Self::spill(None, key, new);
            return Self::overflow_find(key);
        };
        let found = find_slot::<Self::Words, _>(bucket, key);
        let Some(slot) = found.or_else(|| claim_slot::<Self::Words, _>(bucket, key)) else {
            Self::spill(Some(bucket), key, new);
            return Self::overflow_find(key);
        };
        slot.write_key(key);
        Some(slot.value())
    }

    /// Removes the entry of a key, if there is one.
    #[inline(always)]
    fn remove(key: u64) {
        let Some(bucket) = Self::bucket(key) else {
            let _ = Self::overflow_remove(key);
            return;
        };
        // Without `hide_index`: the verifier follows each slot by itself, and little code comes after it.
        for way in 0..WAYS {
            let slot = bucket.slot(way);
            if slot.read_key() == key {
                slot.write_key(0);
                return;
            }
        }
        if bucket.has_spilled() {
            Self::unspill(bucket, key);
        }
    }

    /// The value of a key. Only the one who updates this key may rely on it to stay.
    #[inline(always)]
    fn find(key: u64) -> Option<*mut Self::Value> {
        let Some(bucket) = Self::bucket(key) else { return Self::overflow_find(key) };
        match find_slot::<Self::Words, _>(bucket, key) {
            Some(slot) => Some(slot.value()),
            None if bucket.has_spilled() => Self::overflow_find(key),
            None => None,
        }
    }

    /// Inserts into the overflow hash. What cannot be kept is counted, and the value before it removed. A function of its own:
    /// it is long and rarely runs.
    #[inline(never)]
    fn spill(bucket: Option<BucketRef<Self::Value>>, key: u64, value: &Self::Value) {
        let is_new = Self::overflow_find(key).is_none();
        match (Self::overflow_insert(key, value), bucket) {
            (Ok(()), Some(bucket)) if is_new => bucket.add_spilled::<Self::Words>(1),
            (Ok(()), _) => {}
            (Err(reason), bucket) => {
                Self::count_not_kept(reason);
                match bucket {
                    Some(bucket) => Self::unspill(bucket, key),
                    None => {
                        let _ = Self::overflow_remove(key);
                    }
                }
            }
        }
    }

    /// Removes from the overflow hash. A function of its own, like [`Table::spill`].
    #[inline(never)]
    fn unspill(bucket: BucketRef<Self::Value>, key: u64) {
        if Self::overflow_remove(key) {
            bucket.add_spilled::<Self::Words>(1_u64.wrapping_neg());
        }
    }
}

/// Where the value of a key goes.
#[derive(Clone, Copy, Debug)]
pub enum Slot<V> {
    /// Nowhere: the present value is good.
    UpToDate,
    /// Into this slot, which is claimed until it is published.
    Reserved(SlotRef<V>),
    /// Into the overflow hash: the bucket is full or, `None`, there are no buckets.
    Overflow(Option<BucketRef<V>>),
}
