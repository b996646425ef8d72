//! Who was given the port of which socket, by the socket's address.
//!
//! `PORTS` has buckets with room for a few sockets each. To remember a socket, or to forget it, is to look at one of them: no
//! lock, no call, no memory to find; a hash of the kernel's costs several times as much. Whoever finds no room goes to
//! `SPILL`, which is such a hash, and so does everybody where the kernel has no atomic exchange.
//!
//! A way belongs to whoever changed its key from 0. Hooks of one socket never run at the same time, so all else about it is
//! plain: its key is odd while its record is written, and whoever copied a record looks at the key once more.

use portwatch_common::{Assignment, Bucket, counter, record::WAYS, record::bucket_of};

use crate::atomic;
use crate::maps::{PORTS, SPILL, add, constant, count};

const BPF_ANY: u64 = 0;
/// Marks the key of a record that is being written: sockets are aligned.
const BUSY: u64 = 1;

/// Remembers a socket, over what was known of its address before.
#[inline(always)]
pub(crate) fn insert(sk: u64, assignment: &Assignment) {
    let Some(bucket) = bucket(sk) else { return spill(None, sk, assignment) };
    match way(bucket, sk) {
        Some(way) => write(bucket, way, sk, assignment),
        None => match room(bucket, sk) {
            Some(way) => {
                write(bucket, way, sk, assignment);
                count(counter::PORTS_HELD);
            }
            None => spill(Some(bucket), sk, assignment),
        },
    }
}

/// Forgets a socket; most that are let go on a server were never known.
#[inline(always)]
pub(crate) fn remove(sk: u64) {
    let Some(bucket) = bucket(sk) else { return unspill(None, sk) };
    if let Some(way) = way(bucket, sk) {
        // SAFETY: a way of a bucket.
        unsafe { (*bucket).keys[way] = 0 };
        add(counter::PORTS_HELD, 1_u64.wrapping_neg());
    } else if has_spilled(bucket) {
        unspill(Some(bucket), sk);
    }
}

/// The record of a socket. Of a socket that is not one's own it may change any time: see [`copy`].
#[inline(always)]
pub(crate) fn find(sk: u64) -> Option<*const Assignment> {
    let Some(bucket) = bucket(sk) else { return SPILL.get_ptr(sk) };
    match way(bucket, sk) {
        // SAFETY: a way of a bucket.
        Some(way) => Some(unsafe { &raw const (*bucket).records[way] }),
        None if has_spilled(bucket) => SPILL.get_ptr(sk),
        None => None,
    }
}

/// Copies the record of any socket; whether there is one.
#[inline(always)]
pub(crate) fn copy(sk: u64, into: &mut Assignment) -> bool {
    let Some(record) = find(sk) else { return false };
    // SAFETY: a map value.
    *into = unsafe { *record };
    find(sk) == Some(record)
}

/// The bucket of a socket; `None` where the kernel has no atomic exchange.
#[inline(always)]
fn bucket(sk: u64) -> Option<*mut Bucket> {
    match constant!(TUNING.bucket_bits) {
        0 => None,
        bits => PORTS.get_ptr_mut(bucket_of(sk, bits)),
    }
}

/// Where in its bucket a socket is.
#[inline(always)]
fn way(bucket: *mut Bucket, sk: u64) -> Option<usize> {
    (0..WAYS).find(|&way| key(bucket, way) == sk)
}

/// A way that is this socket's from now on, with its key still marked.
#[inline(always)]
fn room(bucket: *mut Bucket, sk: u64) -> Option<usize> {
    // SAFETY: keys are words of a map value.
    (0..WAYS).find(|&way| {
        key(bucket, way) == 0 && unsafe { atomic::claim(&raw mut (*bucket).keys[way], 0, sk | BUSY) }
    })
}

#[inline(always)]
fn key(bucket: *mut Bucket, way: usize) -> u64 {
    // SAFETY: a word of a map value, which others write.
    unsafe { (&raw const (*bucket).keys[way]).read_volatile() }
}

#[inline(always)]
fn has_spilled(bucket: *mut Bucket) -> bool {
    // SAFETY: as in `key`.
    unsafe { (&raw const (*bucket).spilled).read_volatile() != 0 }
}

#[inline(always)]
fn write(bucket: *mut Bucket, way: usize, sk: u64, assignment: &Assignment) {
    // SAFETY: the way is this socket's, and only its hooks write it.
    unsafe {
        let key = &raw mut (*bucket).keys[way];
        key.write_volatile(sk | BUSY);
        (*bucket).records[way] = *assignment;
        atomic::publish(key, sk);
    }
}

/// Of its own, so that the common way stays short.
#[inline(never)]
fn spill(bucket: Option<*mut Bucket>, sk: u64, assignment: &Assignment) {
    let is_new = SPILL.get_ptr(sk).is_none();
    if SPILL.insert(sk, assignment, BPF_ANY).is_err() {
        count(counter::PORTS_FULL);
    } else if is_new {
        count(counter::PORTS_HELD);
        spilled(bucket, 1);
    }
}

#[inline(always)]
fn unspill(bucket: Option<*mut Bucket>, sk: u64) {
    if SPILL.remove(sk).is_ok() {
        add(counter::PORTS_HELD, 1_u64.wrapping_neg());
        spilled(bucket, 1_u64.wrapping_neg());
    }
}

#[inline(always)]
fn spilled(bucket: Option<*mut Bucket>, change: u64) {
    if let Some(bucket) = bucket {
        // SAFETY: a word of a map value.
        unsafe { atomic::add(&raw mut (*bucket).spilled, change) };
    }
}
