//! Owners of closed TCP sockets, for the backend that sees no socket become a TIME_WAIT one.
//!
//! No hook of that backend reports the end of a TIME_WAIT socket. So the table has a fixed size: a full bucket overwrites its
//! oldest record. A record belongs to a TIME_WAIT socket if all addresses and ports and the next sequence number to send are the
//! same: the kernel copies that number from the closed socket.

use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use portwatch_common::bucket::{
    BucketRef, ClosedSlot, claim_closed, closed_buckets, closed_key, evict_closed, find_slot, shift_of,
};
use portwatch_common::{LastOwner, Socket, counter, map::LAST_BITS};

use crate::atomic::Atomic;
use crate::constant::constant;
use crate::maps::{LAST, LAST_SPILL, count};
use crate::sock::TCP_TIME_WAIT;
use crate::table::bucket_at;

/// Keeps who owned a closed socket.
#[inline(always)]
pub(crate) fn keep(key: u64, owner: &LastOwner) {
    let Some((first, second)) = buckets(key) else {
        if LAST_SPILL.insert(key, owner, 0).is_err() {
            count(counter::CLOSED_LOST);
        }
        return;
    };
    let now = owner.released_ns;
    let claimed = match claim_closed::<Atomic>(first, key, now) {
        ClosedSlot::Full => claim_closed::<Atomic>(second, key, now),
        claimed => claimed,
    };
    let slot = match claimed {
        ClosedSlot::Free(slot) => Some(slot),
        // Of a socket that left none the record is needed for a moment only.
        ClosedSlot::Full if owner.state != TCP_TIME_WAIT => return,
        ClosedSlot::Full => {
            count(counter::CLOSED_EVICTED);
            evict_closed::<Atomic>(first, key)
        }
        ClosedSlot::Lost => None,
    };
    let Some(slot) = slot else {
        count(counter::CLOSED_LOST);
        return;
    };
    // SAFETY: the slot is claimed.
    unsafe { *slot.value() = *owner };
    slot.publish::<Atomic>(key);
}

/// The record of a closed socket. Another CPU may overwrite it at any time: it is found once more after it was read.
#[inline(always)]
pub(crate) fn find(key: u64) -> Option<*const LastOwner> {
    let Some((first, second)) = buckets(key) else { return LAST_SPILL.get_ptr(key) };
    let slot = find_slot::<Atomic, _>(first, key).or_else(|| find_slot::<Atomic, _>(second, key));
    slot.map(|slot| slot.value().cast_const())
}

/// Of a connection; `None` where the kernel has no atomic exchange.
#[inline(always)]
fn buckets(key: u64) -> Option<(BucketRef<LastOwner>, BucketRef<LastOwner>)> {
    if constant!(tuning.bucket_shift) == 0 {
        return None;
    }
    let (first, second) = closed_buckets(key, const { shift_of(LAST_BITS) });
    Some((bucket_at(&LAST, first)?, bucket_at(&LAST, second)?))
}

/// The key of a socket on this port. Of a socket without a connection any address may be asked for: its own is no part of the key.
#[inline(always)]
pub(crate) fn key(netns: u32, port: u16, socket: &Socket, snd_nxt: u32) -> u64 {
    let ports = (u64::from(socket.remote_port) << 16 | u64::from(port)) ^ u64::from(netns) << 32;
    let local = if socket.remote_port == 0 { 0 } else { mixed_address(&socket.local) };
    let mixed = (mixed_address(&socket.remote) ^ local.rotate_left(21)).wrapping_mul(MIX) ^ ports;
    closed_key((mixed.wrapping_mul(MIX) >> 32) as u32, snd_nxt)
}

/// All bytes of an address in one word.
#[inline(always)]
fn mixed_address(address: &[u8; 16]) -> u64 {
    // SAFETY: an address is two words, at a multiple of one in every record.
    let [a, b] = unsafe { address.as_ptr().cast::<[u64; 2]>().read() };
    a ^ b.wrapping_mul(MIX)
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// Now, on the boot clock.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}
