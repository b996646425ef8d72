//! Tables of buckets as BPF maps: an array of buckets and an overflow hash. How they are used is in
//! [`portwatch_common::bucket`].

use core::marker::PhantomData;
use core::ptr::NonNull;

use aya_ebpf::maps::{Array, HashMap};
use portwatch_common::Bucket;
use portwatch_common::bucket::{BucketRef, NotKept, Table};

use crate::atomic::Atomic;
use crate::constant::constant;

const BPF_ANY: u64 = 0;
const E2BIG: i32 = 7;

/// A table in two maps.
pub(crate) trait MapTable {
    /// What it keeps.
    type Value: Copy + 'static;

    /// The buckets; one that is never used where the kernel has no atomic exchange.
    const BUCKETS: &'static Array<Bucket<Self::Value>>;
    /// Entries whose bucket is full; all entries where there are no buckets.
    const SPILL: &'static HashMap<u64, Self::Value>;

    /// The number of a key's bucket.
    fn index(key: u64) -> u32;

    /// Counts an entry that is in no table.
    fn count_not_kept(reason: NotKept);
}

/// The [`Table`] in the maps of `T`.
pub(crate) struct Maps<T>(PhantomData<T>);

impl<T: MapTable> Table for Maps<T> {
    type Value = T::Value;
    type Words = Atomic;

    #[inline(always)]
    fn bucket(key: u64) -> Option<BucketRef<Self::Value>> {
        if constant!(tuning.bucket_shift) == 0 {
            return None;
        }
        bucket_at(T::BUCKETS, T::index(key))
    }

    #[inline(always)]
    fn overflow_find(key: u64) -> Option<*mut Self::Value> {
        T::SPILL.get_ptr_mut(key)
    }

    #[inline(always)]
    fn overflow_insert(key: u64, value: &Self::Value) -> Result<(), NotKept> {
        // Of the errors only E2BIG says that there is no room; the others come from a lock that is taken.
        let not_kept = |error| if error == -E2BIG { NotKept::Full } else { NotKept::Busy };
        T::SPILL.insert(key, value, BPF_ANY).map_err(not_kept)
    }

    #[inline(always)]
    fn overflow_remove(key: u64) -> bool {
        T::SPILL.remove(key).is_ok()
    }

    #[inline(always)]
    fn count_not_kept(reason: NotKept) {
        T::count_not_kept(reason);
    }
}

/// A bucket by its number.
#[inline(always)]
pub(crate) fn bucket_at<V>(buckets: &Array<Bucket<V>>, index: u32) -> Option<BucketRef<V>> {
    let bucket = NonNull::new(buckets.get_ptr_mut(index)?)?;
    // SAFETY: an element of the map, whose words are changed only through it.
    Some(unsafe { BucketRef::new(bucket) })
}
