//! The promise to aya that the shared records are plain bytes (user side only).

use crate::{Assignment, Bucket, Cpu, LastOwner, ProcessKey};

macro_rules! pod {
    ($($name:ty),*) => {
        // SAFETY: repr(C), integers and arrays of integers only, padding spelled out as fields (record.rs asserts
        // the sizes): every byte is initialised and every bit pattern is valid.
        $(unsafe impl aya::Pod for $name {})*
    };
}

pod!(Assignment, Bucket<Assignment>, Bucket<LastOwner>, Cpu, LastOwner, ProcessKey);
