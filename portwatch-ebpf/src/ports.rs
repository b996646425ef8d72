//! The process that each socket's port was assigned to, by the socket's address.

use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::bucket::{BucketRef, NotKept, Slot, Table, mixed};
use portwatch_common::{Assignment, Bucket, counter};

use crate::constant::{place, shifted};
use crate::maps::{PORTS, PORTS_SPILL, count};
use crate::table::{MapTable, Maps};
use crate::words;

enum PortsMaps {}

type Ports = Maps<PortsMaps>;

impl MapTable for PortsMaps {
    type Value = Assignment;
    const BUCKETS: &'static Array<Bucket<Assignment>> = &PORTS;
    const SPILL: &'static HashMap<u64, Assignment> = &PORTS_SPILL;

    #[inline(always)]
    fn index(key: u64) -> u32 {
        shifted::<{ place!(tuning.bucket_shift) }>(mixed(key)) as u32
    }

    #[inline(always)]
    fn count_not_kept(reason: NotKept) {
        count(match reason {
            NotKept::Full => counter::PORTS_FULL,
            NotKept::Busy => counter::PORTS_BUSY,
        });
    }
}

/// The slot to write a socket's record to, unless the record of its address is good.
#[inline(always)]
pub(crate) fn reserve_unless(sk: u64, is_good: impl FnMut(&mut Assignment) -> bool) -> Slot<Assignment> {
    Ports::reserve_unless(sk, is_good)
}

/// Records a socket that has no slot in `bucket`: see [`Slot::Overflow`].
#[inline(always)]
pub(crate) fn spill(bucket: Option<BucketRef<Assignment>>, sk: u64, assignment: &Assignment) {
    Ports::spill(bucket, sk, assignment);
}

/// Removes the record of a socket; most sockets that a server releases have none.
#[inline(always)]
pub(crate) fn remove(sk: u64) {
    Ports::remove(sk);
}

/// The record of a socket that no other CPU updates now.
#[inline(always)]
pub(crate) fn find(sk: u64) -> Option<*mut Assignment> {
    Ports::find(sk)
}

/// Copies the record of any socket; whether there is one.
#[inline(always)]
pub(crate) fn copy(sk: u64, into: &mut Assignment) -> bool {
    if sk == 0 {
        return false;
    }
    let Some(record) = Ports::find(sk) else { return false };
    // SAFETY: a map value.
    unsafe { words::copy(record, into) };
    // Another CPU may have replaced it while it was copied.
    Ports::find(sk) == Some(record)
}
