//! How large the tables are, and what that takes of the kernel's memory.

use portwatch_common::bucket::{WAYS, shift_of};
use portwatch_common::{Assignment, Bucket, map};

use super::Backend;

/// Sizes that the user may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Sockets with a port at one time.
    pub ports: u32,
    /// Bytes of the ring buffer: a power of two, at least a page.
    pub ring: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { ports: map::PORTS_ENTRIES, ring: map::EVENTS_BYTES }
    }
}

impl Sizes {
    /// The room for so many sockets.
    pub(super) fn room(self, has_atomic_exchange: bool) -> Room {
        if !has_atomic_exchange {
            return Room { bucket_bits: 0, spill: self.ports };
        }
        // One bit at least: none means that there are no buckets.
        let buckets = self.ports.div_ceil(WAYS as u32).next_power_of_two().max(2);
        Room { bucket_bits: buckets.trailing_zeros(), spill: (self.ports / SPILLED).max(1) }
    }
}

/// A full table has a fifth of its sockets in full buckets: addresses fall into them as dice do.
const SPILLED: u32 = 4;

/// Room in `PORTS` and `PORTS_SPILL`, and what follows from it for `LAST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bucket_bits: u32,
    pub(super) spill: u32,
}

impl Room {
    /// Buckets of `PORTS`.
    pub(super) fn buckets(self) -> u32 {
        1 << self.bucket_bits
    }

    /// What the kernel side must know of them.
    pub(super) fn bucket_shift(self) -> u32 {
        if self.bucket_bits == 0 { 0 } else { shift_of(self.bucket_bits) }
    }

    /// Sockets for which there is room; a few more may find it, in one table or the other.
    pub(super) fn capacity(self) -> u32 {
        if self.bucket_bits == 0 { self.spill } else { self.buckets().saturating_mul(WAYS as u32) }
    }

    /// Buckets of `LAST`: one stands for none.
    pub(super) fn last_buckets(self, backend: Backend) -> u32 {
        if self.bucket_bits != 0 && backend.keeps_closed_apart() { 1 << map::LAST_BITS } else { 1 }
    }

    /// Entries of `LAST_SPILL`.
    pub(super) fn last_spill(self, backend: Backend) -> u32 {
        if self.bucket_bits == 0 && backend.keeps_closed_apart() { map::LAST_ENTRIES } else { 1 }
    }

    /// What both take, in bytes.
    pub(super) fn memory(self) -> u64 {
        u64::from(self.buckets()) * size_of::<Bucket<Assignment>>() as u64
            + hash_memory(size_of::<u64>(), size_of::<Assignment>(), self.spill)
    }
}

/// What a preallocated hash takes: 48 bytes an element beside key and value, each rounded up to 8, and 16 a bucket.
pub(super) fn hash_memory(key: usize, value: usize, capacity: u32) -> u64 {
    let round = |bytes: usize| bytes.next_multiple_of(8) as u64;
    u64::from(capacity) * (48 + round(key) + round(value)) + 16 * u64::from(capacity.next_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_what_was_asked() {
        for ports in [1, 2, 3, 4, 5, 8, 9, 1_024, 1_000_000, map::PORTS_ENTRIES] {
            let sizes = Sizes { ports, ..Sizes::default() };
            assert!(sizes.room(true).capacity() >= ports, "{ports}");
            assert_eq!(sizes.room(false).capacity(), ports);
        }
    }

    #[test]
    fn buckets_are_a_power_of_two_that_bits_can_tell() {
        let room = Sizes::default().room(true);
        assert_eq!(room.buckets(), map::PORTS_ENTRIES / WAYS as u32);
        assert_eq!(1 << room.bucket_bits, room.buckets());
        assert!(Sizes { ports: 1, ..Sizes::default() }.room(true).bucket_bits > 0);
    }
}
