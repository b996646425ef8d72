//! Tables that need no lock and no call: an array of buckets, each with room for a few entries. See `table` of the kernel side.

/// Some entries of a table.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket<V> {
    /// Keys; 0 where there is room. The value of an odd one is being written.
    pub keys: [u64; WAYS],
    /// Entries that found no room here and are in the hash beside the table.
    pub spilled: u64,
    /// Their values, in the same order.
    pub values: [V; WAYS],
}

/// Entries of one bucket: a power of two.
pub const WAYS: usize = 4;

/// What [`bucket_of`] must know of a table of `1 << bits` buckets, where `bits` is not 0.
#[must_use]
pub const fn shift_of(bits: u32) -> u32 {
    u64::BITS - bits
}

/// The bucket of a key in a table; `shift` is from [`shift_of`].
#[inline(always)]
#[must_use]
pub const fn bucket_of(key: u64, shift: u32) -> u32 {
    (mixed(key) >> shift) as u32
}

/// A key whose highest bits say which bucket is its.
#[inline(always)]
#[must_use]
pub const fn mixed(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
