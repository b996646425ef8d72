//! A table of closed connections, which forgets: a full bucket overwrites the record that is needed for
//! the shortest time.

use super::{BUSY, BucketRef, SlotRef, WAYS, Words, bucket_of, claim_slot};
use crate::LastOwner;

/// Where the record of a closed connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedSlot {
    /// Into this slot, which nothing else needs and which is claimed until it is published.
    Free(SlotRef<LastOwner>),
    /// Nowhere in this bucket: it is full of records that TIME_WAIT sockets may still need.
    Full,
    /// Nowhere: another CPU takes the same slot at the same time.
    Lost,
}

/// Key of a closed connection: the upper half says which addresses and ports, the lower half which of the connections that used
/// them, by the next sequence number to send. Two records that a reader could confuse have different keys.
#[inline(always)]
#[must_use]
pub const fn closed_key(connection: u32, snd_nxt: u32) -> u64 {
    // Not 0, which is a free slot, and even.
    ((connection | 1) as u64) << 32 | (snd_nxt & !1) as u64
}

/// The part of a [`closed_key`] that chooses the buckets: all connections between the same addresses and ports share it, so that a
/// new one takes the slot of the one before.
#[inline(always)]
#[must_use]
pub const fn closed_connection(key: u64) -> u64 {
    key >> 32
}

/// The slot of a bucket for a connection that was closed at `now_ns`: that of an earlier connection between the same addresses and
/// ports, else a free one, else that of a record which is needed no longer.
#[inline(always)]
#[must_use]
pub fn claim_closed<W: Words>(bucket: BucketRef<LastOwner>, key: u64, now_ns: u64) -> ClosedSlot {
    let claimed = |chosen| claim_chosen::<W>(chosen, key).map_or(ClosedSlot::Lost, ClosedSlot::Free);
    if let Some(chosen) = earlier::<W>(bucket, key) {
        return claimed(chosen);
    }
    if let Some(slot) = claim_slot::<W, _>(bucket, key) {
        return ClosedSlot::Free(slot);
    }
    let chosen = least_needed(bucket);
    if chosen.needed_until_ns <= now_ns { claimed(chosen) } else { ClosedSlot::Full }
}

/// The slot of the record that is needed for the shortest time, though it may still be needed; `None` if another CPU takes it.
#[inline(always)]
#[must_use]
pub fn evict_closed<W: Words>(bucket: BucketRef<LastOwner>, key: u64) -> Option<SlotRef<LastOwner>> {
    claim_chosen::<W>(least_needed(bucket), key)
}

/// The two buckets that a connection's record may be in; the second is used if the first is full. With a choice of two, tables
/// overflow only when they are nearly full.
#[inline(always)]
#[must_use]
pub const fn closed_buckets(key: u64, shift: u32) -> (u32, u32) {
    let connection = closed_connection(key);
    (bucket_of(connection, shift), bucket_of(connection.swap_bytes() | 1, shift))
}

/// A slot, and the key that it had when it was chosen.
#[derive(Clone, Copy)]
struct Chosen {
    slot: SlotRef<LastOwner>,
    key: u64,
    needed_until_ns: u64,
}

/// Takes a slot if it is still that of the same key.
#[inline(always)]
fn claim_chosen<W: Words>(chosen: Chosen, key: u64) -> Option<SlotRef<LastOwner>> {
    (chosen.key & BUSY == 0 && chosen.slot.claim::<W>(chosen.key, key)).then_some(chosen.slot)
}

#[inline(always)]
fn earlier<W: Words>(bucket: BucketRef<LastOwner>, key: u64) -> Option<Chosen> {
    let connection = closed_connection(key);
    (0..WAYS).find_map(|way| {
        let found = bucket.slot(way).read_key();
        (closed_connection(found) == connection).then(|| {
            let slot = bucket.slot(W::hide_index(way, closed_connection(found), connection));
            Chosen { slot, key: found, needed_until_ns: 0 }
        })
    })
}

#[inline(always)]
fn least_needed(bucket: BucketRef<LastOwner>) -> Chosen {
    let choose = |way| {
        let slot = bucket.slot(way);
        // The key first: if the record is another one by then, the key is too.
        let key = slot.read_key();
        Chosen { slot, key, needed_until_ns: needed_until_ns(slot) }
    };
    (1..WAYS).map(choose).fold(choose(0), |least, other| {
        if other.needed_until_ns < least.needed_until_ns { other } else { least }
    })
}

/// Until when a TIME_WAIT socket may need the record. Of a socket that left none it is needed only for a moment, in case the kernel
/// met it just before. Whatever another CPU writes there at the same time, any number will do.
#[inline(always)]
fn needed_until_ns(slot: SlotRef<LastOwner>) -> u64 {
    // SAFETY: words of a valid bucket.
    let (released_ns, state) = unsafe {
        (
            (&raw const (*slot.value()).released_ns).read_volatile(),
            (&raw const (*slot.value()).state).read_volatile(),
        )
    };
    if state == TIME_WAIT { released_ns.wrapping_add(TIME_WAIT_NS) } else { released_ns }
}

/// TCP_TIME_WAIT.
const TIME_WAIT: u8 = 6;
/// How long one may live: a minute, and one before it in FIN_WAIT2.
const TIME_WAIT_NS: u64 = 120_000_000_000;
