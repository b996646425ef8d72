//! Sizes of the records, so that no padding slips in: both sides, and every recording, rely on them.

use crate::bucket::{Bucket, WAYS};
use crate::marks::Tuning;
use crate::record::*;

const _: () = {
    assert!(
        size_of::<Task>() == 48
            && core::mem::offset_of!(Task, comm).is_multiple_of(8)
            && align_of::<Task>() == 8
    );
    assert!(size_of::<Assignment>() == 72 && align_of::<Assignment>() == 8);
    assert!(size_of::<Bucket<Assignment>>() == 40 + WAYS * size_of::<Assignment>());
    assert!(size_of::<Socket>() == 96 && align_of::<Socket>() == 8);
    assert!(size_of::<Process>() == 56 + ARGV_BYTES && align_of::<Process>() == 8);
    assert!(size_of::<Holder>() == 192 && align_of::<Holder>() == 8);
    assert!(size_of::<Refusal>() == 184 && align_of::<Refusal>() == 8);
    assert!(size_of::<PortKey>() == 8 && align_of::<PortKey>() == 4);
    assert!(size_of::<LastOwner>() == 120 && align_of::<LastOwner>() == 8);
    assert!(size_of::<ProcessKey>() == 16 && align_of::<ProcessKey>() == 8);
    assert!(size_of::<Recent>() == 24 && align_of::<Recent>() == 8);
    assert!(size_of::<Cpu>() == 24 + 8 * crate::counter::COUNT as usize && align_of::<Cpu>() == 8);
    assert!(size_of::<Attempt>() == 48 + 2 * 192 && align_of::<Attempt>() == 8);
    assert!(size_of::<Call>() == 16 && align_of::<Call>() == 8);
    // What the kernel side clears and copies by words.
    assert!(core::mem::offset_of!(Socket, kind) == size_of::<Socket>() - 8);
    assert!(core::mem::offset_of!(Refusal, operation) == size_of::<Refusal>() - 8);
    assert!(core::mem::offset_of!(Call, port) == size_of::<Call>() - 8);
    assert!(core::mem::offset_of!(Process, argv).is_multiple_of(8));
    assert!(core::mem::offset_of!(Attempt, address).is_multiple_of(8));
    assert!(core::mem::offset_of!(Refusal, socket.local).is_multiple_of(8));
    assert!(size_of::<Tuning>() == 20 && align_of::<Tuning>() == 4);
};
