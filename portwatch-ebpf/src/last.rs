//! Who had a connection that is closed: names the dead behind TIME_WAIT where no hook hands the record over.
//!
//! Nobody says when a TIME_WAIT socket ends. So this is a table that forgets: a full bucket loses its oldest connection; where
//! the kernel has no atomic exchange, a hash of the kernel's does the like.

use portwatch_common::{
    Bucket, LastOwner, Socket,
    bucket::{WAYS, bucket_of, shift_of},
    map::LAST_BITS,
};

use crate::constant::constant;
use crate::maps::{LAST, LAST_SPILL};
use crate::table::{BUSY, Place, read, room, way};

/// Remembers who had the connection.
#[inline(always)]
pub(crate) fn keep(key: u64, owner: &LastOwner) {
    let Some(bucket) = bucket(key) else {
        // LRU: cannot be full.
        let _ = LAST_SPILL.insert(key, owner, 0);
        return;
    };
    let Some(place) = place(bucket, key) else { return };
    // SAFETY: the way is this connection's, whose socket is locked.
    unsafe { *place.value() = *owner };
    place.publish(key);
}

/// Tells what is remembered of the connection, if anything; whether that was still so afterwards.
#[inline(always)]
pub(crate) fn tell(key: u64, mut to: impl FnMut(&LastOwner)) -> bool {
    let Some(found) = find(key) else { return false };
    // SAFETY: a map value. Others may write over it meanwhile, which the second look finds out.
    to(unsafe { &*found });
    find(key) == Some(found)
}

#[inline(always)]
fn find(key: u64) -> Option<*const LastOwner> {
    match bucket(key) {
        Some(bucket) => way(bucket, key).map(|way| Place { bucket, way }.value().cast_const()),
        None => LAST_SPILL.get_ptr(key),
    }
}

#[inline(always)]
fn bucket(key: u64) -> Option<*mut Bucket<LastOwner>> {
    if constant!(tuning.bucket_shift) == 0 {
        return None;
    }
    LAST.get_ptr_mut(bucket_of(key, const { shift_of(LAST_BITS) }))
}

/// A way for the connection: its own, a free one, or that of the oldest; none if others are faster.
#[inline(always)]
fn place(bucket: *mut Bucket<LastOwner>, key: u64) -> Option<Place<LastOwner>> {
    if let Some(way) = room(bucket, key) {
        return Some(Place { bucket, way });
    }
    let place = Place { bucket, way: way(bucket, key).unwrap_or_else(|| oldest(bucket)) };
    let now = read(place.key());
    (now & BUSY == 0 && place.claim(now, key)).then_some(place)
}

#[inline(always)]
fn oldest(bucket: *mut Bucket<LastOwner>) -> usize {
    // SAFETY: words of a map value; whatever they are, the way is one of the bucket's.
    let when = |way| read(unsafe { &raw const (*Place { bucket, way }.value()).released_ns });
    let (mut oldest, mut least) = (0, when(0));
    for way in 1..WAYS {
        let this = when(way);
        if this < least {
            (oldest, least) = (way, this);
        }
    }
    oldest
}

/// The connection of a socket on this port, as an even number. Connections of one port differ in what they go to.
#[inline(always)]
pub(crate) fn key(netns: u32, port: u16, socket: &Socket) -> u64 {
    // All of an IPv4 address and the end of an IPv6 one.
    let [a, b, c, d, .., w, x, y, z] = socket.remote;
    let address = u32::from_ne_bytes([a, b, c, d]) ^ u32::from_ne_bytes([w, x, y, z]);
    let mixed = (address ^ u32::from(socket.remote_port) << 16).wrapping_mul(0x9e37_79b1);
    u64::from(netns) << 32 | u64::from(port) << 16 | u64::from(mixed >> 17) << 1
}
