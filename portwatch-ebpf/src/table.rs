//! Tables that need no lock and no call: who was given the port of which socket, and what threads are inside of.
//!
//! A table has buckets with room for a few entries each, so that to enter something or to take it out is to look at one of
//! them; a hash of the kernel's costs several times as much. What finds no room goes to such a hash beside the table, and so
//! does everything where the kernel has no atomic exchange.
//!
//! A way belongs to whoever changed its key from 0. What concerns one key never runs at the same time on two CPUs, so all
//! else is plain; only who copies the value of another's key looks at that key once more.

use core::arch::asm;
use core::hint::assert_unchecked;
use core::ptr;

use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::Bucket;
use portwatch_common::bucket::WAYS;

use crate::atomic;
use crate::constant::constant;
use crate::maps::count;
use crate::words;

const BPF_ANY: u64 = 0;
/// Marks the key of a value that is being written: keys are even.
pub(crate) const BUSY: u64 = 1;

/// A table by even numbers. 0 stands for room, so that nothing but [`Table::copy`] may be called with it.
pub(crate) trait Table {
    /// What it keeps.
    type Value: Copy + 'static;

    /// The buckets; the kernel has none of them where it has no atomic exchange.
    const BUCKETS: &'static Array<Bucket<Self::Value>>;
    /// Where everything is that finds no room in its bucket.
    const SPILL: &'static HashMap<u64, Self::Value>;
    /// Counts what found no room at all.
    const FULL: u32;

    /// The number of a key's bucket.
    fn index(key: u64) -> u32;

    /// Enters a value, over what was there of the key before.
    #[inline(always)]
    fn insert(key: u64, value: &Self::Value) {
        match Self::seat(key, |_| false) {
            Seat::Taken => {}
            Seat::At(place) => {
                // SAFETY: the way is this key's.
                unsafe { *place.value() = *value };
                place.publish(key);
            }
            Seat::Beside(bucket) => Self::spill(bucket, key, value),
        }
    }

    /// Where a value is to be written, over what was there of the key before, unless that is good enough.
    #[inline(always)]
    fn seat(key: u64, is_good: impl Fn(&Self::Value) -> bool) -> Seat<Self::Value> {
        // SAFETY: a map value, of a key that is the caller's alone.
        let has_good = |value: *mut Self::Value| is_good(unsafe { &*value });
        let Some(bucket) = Self::bucket(key) else {
            let is_good = Self::SPILL.get_ptr_mut(key).is_some_and(has_good);
            return if is_good { Seat::Taken } else { Seat::Beside(ptr::null_mut()) };
        };
        if let Some(way) = way(bucket, key) {
            let place = Place { bucket, way };
            if has_good(place.value()) {
                return Seat::Taken;
            }
            // SAFETY: the way is this key's.
            unsafe { place.key().write_volatile(key | BUSY) };
            return Seat::At(place);
        }
        if has_spilled(bucket) {
            // It may have found no room before.
            if Self::SPILL.get_ptr_mut(key).is_some_and(has_good) {
                return Seat::Taken;
            }
            Self::unspill(bucket, key);
        }
        match room(bucket, key) {
            Some(way) => Seat::At(Place { bucket, way }),
            None => Seat::Beside(bucket),
        }
    }

    /// Room for a value that only the current thread looks at, whatever is in it; `new` is what it begins as in the hash.
    #[inline(always)]
    fn reserve(key: u64, new: &Self::Value) -> Option<*mut Self::Value> {
        let Some(bucket) = Self::bucket(key) else {
            Self::spill(ptr::null_mut(), key, new);
            return Self::SPILL.get_ptr_mut(key);
        };
        let Some(way) = way(bucket, key).or_else(|| room(bucket, key)) else {
            Self::spill(bucket, key, new);
            return Self::SPILL.get_ptr_mut(key);
        };
        let place = Place { bucket, way };
        // SAFETY: the way is this key's.
        unsafe { place.key().write_volatile(key) };
        Some(place.value())
    }

    /// Takes an entry out, if there is one.
    #[inline(always)]
    fn remove(key: u64) {
        let Some(bucket) = Self::bucket(key) else {
            let _ = Self::SPILL.remove(key);
            return;
        };
        // The verifier looks at each way by itself: little follows.
        for way in 0..WAYS {
            let word = Place { bucket, way }.key();
            if read(word) == key {
                // SAFETY: the way is this key's.
                unsafe { word.write_volatile(0) };
                return;
            }
        }
        if has_spilled(bucket) {
            Self::unspill(bucket, key);
        }
    }

    /// The value of a key. If it is not of the current socket or thread it may change any time: see [`Self::copy`].
    #[inline(always)]
    fn find(key: u64) -> Option<*mut Self::Value> {
        let Some(bucket) = Self::bucket(key) else { return Self::SPILL.get_ptr_mut(key) };
        match way(bucket, key) {
            Some(way) => Some(Place { bucket, way }.value()),
            None if has_spilled(bucket) => Self::SPILL.get_ptr_mut(key),
            None => None,
        }
    }

    /// Copies the value of any key, also of 0; whether there is one.
    #[inline(always)]
    fn copy(key: u64, into: &mut Self::Value) -> bool {
        if key == 0 {
            return false;
        }
        let Some(value) = Self::find(key) else { return false };
        // SAFETY: a map value.
        unsafe { words::copy(value, into) };
        Self::find(key) == Some(value)
    }

    /// None where the kernel has no atomic exchange.
    #[inline(always)]
    fn bucket(key: u64) -> Option<*mut Bucket<Self::Value>> {
        if constant!(tuning.bucket_shift) == 0 {
            return None;
        }
        Self::BUCKETS.get_ptr_mut(Self::index(key))
    }

    /// Enters into the hash. A function of its own: it is long, and seldom comes to pass.
    #[inline(never)]
    fn spill(bucket: *mut Bucket<Self::Value>, key: u64, value: &Self::Value) {
        let is_new = Self::SPILL.get_ptr(key).is_none();
        if Self::SPILL.insert(key, value, BPF_ANY).is_err() {
            count(Self::FULL);
        } else if is_new && !bucket.is_null() {
            // SAFETY: a word of a map value.
            unsafe { atomic::add(&raw mut (*bucket).spilled, 1) };
        }
    }

    /// As [`Self::spill`].
    #[inline(never)]
    fn unspill(bucket: *mut Bucket<Self::Value>, key: u64) {
        if Self::SPILL.remove(key).is_ok() {
            // SAFETY: a word of a map value.
            unsafe { atomic::add(&raw mut (*bucket).spilled, 1_u64.wrapping_neg()) };
        }
    }
}

/// Where a value is to be written.
#[derive(Clone, Copy)]
pub(crate) enum Seat<V> {
    /// A good one is there.
    Taken,
    /// There, until it is published.
    At(Place<V>),
    /// Into the hash: no room in the bucket, or, null, no buckets.
    Beside(*mut Bucket<V>),
}

/// Where a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<V> {
    pub(crate) bucket: *mut Bucket<V>,
    pub(crate) way: usize,
}

impl<V> Place<V> {
    #[inline(always)]
    pub(crate) fn value(self) -> *mut V {
        // SAFETY: a way of a bucket.
        unsafe { &raw mut (*self.bucket).values[self.way] }
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> *mut u64 {
        // SAFETY: as in `value`.
        unsafe { &raw mut (*self.bucket).keys[self.way] }
    }

    /// Makes the way the key's, if it still is that of `now`, and marks it as being written; whether it did.
    #[inline(always)]
    pub(crate) fn claim(self, now: u64, key: u64) -> bool {
        // SAFETY: a word of a map value.
        unsafe { atomic::claim(self.key(), now, key | BUSY) }
    }

    /// The value is written.
    #[inline(always)]
    pub(crate) fn publish(self, key: u64) {
        // SAFETY: a word of a map value.
        unsafe { atomic::publish(self.key(), key) };
    }
}

/// Where in its bucket a key is.
#[inline(always)]
pub(crate) fn way<V>(bucket: *mut Bucket<V>, key: u64) -> Option<usize> {
    (0..WAYS).find_map(|way| {
        let found = read(Place { bucket, way }.key());
        (found == key).then(|| any(way, found, key))
    })
}

/// A way that is this key's from now on, marked as being written.
#[inline(always)]
pub(crate) fn room<V>(bucket: *mut Bucket<V>, key: u64) -> Option<usize> {
    (0..WAYS).find_map(|way| {
        let place = Place { bucket, way };
        let is_ours = read(place.key()) == 0 && place.claim(0, key);
        is_ours.then(|| any(way, read(Place { bucket, way }.key()), key | BUSY))
    })
}

/// The same way, of which the verifier does not know which it is: it then looks once at what follows, not once for each. To it
/// `word` and `same` differ.
#[inline(always)]
fn any(mut way: usize, mut word: u64, same: u64) -> usize {
    const { assert!(WAYS == 4) };
    // SAFETY: registers only.
    unsafe {
        asm!(
            "{word} ^= {same}",
            "{way} += {word}",
            // Last: 6.1 knows nothing of the outcome of most other operations on what it does not know.
            "{way} &= 3",
            way = inout(reg) way,
            word = inout(reg) word,
            same = in(reg) same,
            options(pure, nomem, nostack),
        );
        assert_unchecked(way < WAYS);
    }
    let _ = word;
    way
}

#[inline(always)]
fn has_spilled<V>(bucket: *mut Bucket<V>) -> bool {
    // SAFETY: a word of a map value.
    read(unsafe { &raw const (*bucket).spilled }) != 0
}

/// Reads a word that others write.
#[inline(always)]
pub(crate) fn read(word: *const u64) -> u64 {
    // SAFETY: only called with words of map values.
    unsafe { word.read_volatile() }
}
