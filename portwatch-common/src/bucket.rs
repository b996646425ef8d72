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

/// The bucket of a key in a table of `1 << bits` of them, where `bits` is not 0.
#[inline(always)]
pub const fn bucket_of(key: u64, bits: u32) -> u32 {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as u32
}
