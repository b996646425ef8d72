//! Who was given the port of which socket, by the socket's address.

use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::{Assignment, Bucket, counter};

use crate::maps::{PORTS, PORTS_SPILL, constant};
use crate::table::Table;

enum Ports {}

impl Table for Ports {
    type Value = Assignment;
    const BUCKETS: &'static Array<Bucket<Assignment>> = &PORTS;
    const SPILL: &'static HashMap<u64, Assignment> = &PORTS_SPILL;
    const FULL: u32 = counter::PORTS_FULL;

    #[inline(always)]
    fn shift() -> u32 {
        constant!(TUNING.bucket_shift)
    }
}

/// Remembers a socket, over what was known of its address before.
#[inline(always)]
pub(crate) fn insert(sk: u64, assignment: &Assignment) {
    Ports::insert(sk, assignment);
}

/// Remembers a socket, unless what is known of its address is good enough.
#[inline(always)]
pub(crate) fn insert_unless(sk: u64, assignment: &Assignment, is_good: impl Fn(&Assignment) -> bool) {
    Ports::insert_unless(sk, assignment, is_good);
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
