//! Who was given the port of which socket, by the socket's address.

use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::bucket::mixed;
use portwatch_common::{Assignment, Bucket, counter};

use crate::constant::{place, shifted};
use crate::maps::{PORTS, PORTS_SPILL};
use crate::table::{Seat, Table};

enum Ports {}

impl Table for Ports {
    type Value = Assignment;
    const BUCKETS: &'static Array<Bucket<Assignment>> = &PORTS;
    const SPILL: &'static HashMap<u64, Assignment> = &PORTS_SPILL;
    const FULL: u32 = counter::PORTS_FULL;

    #[inline(always)]
    fn index(key: u64) -> u32 {
        shifted::<{ place!(tuning.bucket_shift) }>(mixed(key)) as u32
    }
}

/// Remembers a socket, over what was known of its address before.
#[inline(always)]
pub(crate) fn insert(sk: u64, assignment: &Assignment) {
    Ports::insert(sk, assignment);
}

/// Where what is to be remembered of a socket goes, unless what is known of its address is good enough.
#[inline(always)]
pub(crate) fn seat(sk: u64, is_good: impl Fn(&Assignment) -> bool) -> Seat<Assignment> {
    Ports::seat(sk, is_good)
}

/// Remembers a socket that has no place in `bucket`: see [`Seat::Beside`].
#[inline(always)]
pub(crate) fn spill(bucket: *mut Bucket<Assignment>, sk: u64, assignment: &Assignment) {
    Ports::spill(bucket, sk, assignment);
}

/// Forgets a socket; most that are let go on a server were never known.
#[inline(always)]
pub(crate) fn remove(sk: u64) {
    Ports::remove(sk);
}

/// The record of a socket that nobody else changes meanwhile.
#[inline(always)]
pub(crate) fn find(sk: u64) -> Option<*const Assignment> {
    Ports::find(sk).map(<*mut _>::cast_const)
}

/// Copies the record of any socket; whether there is one.
#[inline(always)]
pub(crate) fn copy(sk: u64, into: &mut Assignment) -> bool {
    Ports::copy(sk, into)
}
