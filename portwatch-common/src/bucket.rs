//! Tables of buckets: how an entry is inserted, replaced, found and removed. The kernel side runs this on BPF maps, the tests run
//! it on plain memory against an ordinary map.
//!
//! A bucket is one element of an array and has [`WAYS`] slots. A lookup reads one bucket, which costs less than a lookup in a
//! BPF hash. An entry that finds its bucket full goes to an overflow hash beside the array.
//!
//! A slot belongs to the CPU that exchanges its key from 0 to the new key. Updates of one key never run on two CPUs at the same
//! time (the socket is locked, or the key is the current thread), so only the claim and the publication are atomic. A reader of
//! another key's slot reads the key again after the value.

mod closed;
mod table;

use core::ptr::NonNull;

pub use closed::{ClosedSlot, claim_closed, closed_buckets, closed_connection, closed_key, evict_closed};
pub use table::{NotKept, Slot, Table};

/// One element of a table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket<V> {
    /// Keys; 0 for a free slot. The value of an odd key is being written.
    pub keys: [u64; WAYS],
    /// Entries of this bucket that are in the overflow hash.
    pub spilled: u64,
    /// Values, in the order of the keys.
    pub values: [V; WAYS],
}

/// Slots of one bucket: a power of two.
pub const WAYS: usize = 4;
/// Set in the key of a value that is being written: keys are even.
pub const BUSY: u64 = 1;

/// What [`bucket_of`] must know of a table of `1 << bits` buckets, where `bits` is not 0.
#[must_use]
pub const fn shift_of(bits: u32) -> u32 {
    u64::BITS - bits
}

/// The bucket of a key in a table; `shift` is from [`shift_of`].
#[inline(always)]
#[must_use]
pub const fn bucket_of(key: u64, shift: u32) -> u32 {
    (mixed(key) >> shift) as u32
}

/// A key whose highest bits choose its bucket.
#[inline(always)]
#[must_use]
pub const fn mixed(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Atomic operations on the words of a bucket, which differ between BPF and user space.
pub trait Words {
    /// Writes `new` if the word is `old`; whether it was.
    ///
    /// # Safety
    /// `word` must be valid, aligned and shared only through these functions.
    unsafe fn claim(word: *mut u64, old: u64, new: u64) -> bool;

    /// Writes `new` after everything that was written before.
    ///
    /// # Safety
    /// As for [`Words::claim`].
    unsafe fn publish(word: *mut u64, new: u64);

    /// Adds to a word, wrapping.
    ///
    /// # Safety
    /// As for [`Words::claim`].
    unsafe fn add(word: *mut u64, amount: u64);

    /// `way`, unchanged. `found` and `expected` are equal. The kernel side hides the number from the verifier here.
    #[inline(always)]
    fn hide_index(way: usize, found: u64, expected: u64) -> usize {
        let _ = (found, expected);
        way
    }
}

/// A bucket of a table.
#[derive(Debug, PartialEq, Eq)]
pub struct BucketRef<V>(NonNull<Bucket<V>>);

impl<V> Clone for BucketRef<V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for BucketRef<V> {}

impl<V> BucketRef<V> {
    /// The bucket at this address.
    ///
    /// # Safety
    /// It must stay valid, and its words may be changed only by the functions of this module.
    #[inline(always)]
    #[must_use]
    pub const unsafe fn new(bucket: NonNull<Bucket<V>>) -> Self {
        Self(bucket)
    }

    /// One of its slots, less than [`WAYS`].
    #[inline(always)]
    const fn slot(self, way: usize) -> SlotRef<V> {
        SlotRef { bucket: self, way }
    }

    #[inline(always)]
    fn has_spilled(self) -> bool {
        // SAFETY: a word of a valid bucket.
        unsafe { (&raw const (*self.0.as_ptr()).spilled).read_volatile() != 0 }
    }

    #[inline(always)]
    fn add_spilled<W: Words>(self, amount: u64) {
        // SAFETY: a word of a valid bucket.
        unsafe { W::add(&raw mut (*self.0.as_ptr()).spilled, amount) };
    }
}

/// A slot of a bucket.
#[derive(Debug, PartialEq, Eq)]
pub struct SlotRef<V> {
    bucket: BucketRef<V>,
    way: usize,
}

impl<V> Clone for SlotRef<V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for SlotRef<V> {}

impl<V> SlotRef<V> {
    /// The value. It may be written only while the slot is claimed.
    #[inline(always)]
    #[must_use]
    pub fn value(self) -> *mut V {
        // SAFETY: the bucket is valid.
        unsafe { (&raw mut (*self.bucket.0.as_ptr()).values).cast::<V>().add(self.way) }
    }

    #[inline(always)]
    fn key(self) -> *mut u64 {
        // SAFETY: the bucket is valid.
        unsafe { (&raw mut (*self.bucket.0.as_ptr()).keys).cast::<u64>().add(self.way) }
    }

    #[inline(always)]
    fn read_key(self) -> u64 {
        // SAFETY: a word of a valid bucket.
        unsafe { self.key().read_volatile() }
    }

    /// Writes the key of a slot that only the caller changes.
    #[inline(always)]
    fn write_key(self, key: u64) {
        // SAFETY: a word of a valid bucket.
        unsafe { self.key().write_volatile(key) };
    }

    /// Takes the slot for `key` if its present key is `now`, and marks it as being written; whether it did.
    #[inline(always)]
    fn claim<W: Words>(self, now: u64, key: u64) -> bool {
        // SAFETY: a word of a valid bucket.
        unsafe { W::claim(self.key(), now, key | BUSY) }
    }

    /// Marks the value as written.
    #[inline(always)]
    pub fn publish<W: Words>(self, key: u64) {
        // SAFETY: a word of a valid bucket.
        unsafe { W::publish(self.key(), key) }
    }
}

/// The slot that has this key.
#[inline(always)]
#[must_use]
pub fn find_slot<W: Words, V>(bucket: BucketRef<V>, key: u64) -> Option<SlotRef<V>> {
    (0..WAYS).find_map(|way| {
        let found = bucket.slot(way).read_key();
        (found == key).then(|| bucket.slot(W::hide_index(way, found, key)))
    })
}

/// Takes a free slot for this key and marks it as being written.
#[inline(always)]
fn claim_slot<W: Words, V>(bucket: BucketRef<V>, key: u64) -> Option<SlotRef<V>> {
    (0..WAYS).find_map(|way| {
        let slot = bucket.slot(way);
        let is_ours = slot.read_key() == 0 && slot.claim::<W>(0, key);
        is_ours.then(|| bucket.slot(W::hide_index(way, slot.read_key(), key | BUSY)))
    })
}

#[cfg(test)]
mod tests;
