//! Who was given the port of which socket, by the socket's address; and how many there are.

use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::{Assignment, Bucket, counter};

use crate::maps::{PORTS, PORTS_SPILL, add, constant, count};
use crate::table::Table;

enum Ports {}

impl Table for Ports {
    type Value = Assignment;
    const BUCKETS: &'static Array<Bucket<Assignment>> = &PORTS;
    const SPILL: &'static HashMap<u64, Assignment> = &PORTS_SPILL;
    const FULL: u32 = counter::PORTS_FULL;

    #[inline(always)]
    fn bits() -> u32 {
        constant!(TUNING.bucket_bits)
    }
}

/// Remembers a socket, over what was known of its address before.
#[inline(always)]
pub(crate) fn insert(sk: u64, assignment: &Assignment) {
    if Ports::insert(sk, assignment) {
        count(counter::PORTS_HELD);
    }
}

/// Forgets a socket; most that are let go on a server were never known.
#[inline(always)]
pub(crate) fn remove(sk: u64) {
    if Ports::remove(sk) {
        add(counter::PORTS_HELD, 1_u64.wrapping_neg());
    }
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
