//! Bytes of a ring record → [`RawEvent`]. Total: any bytes give an event or an error, never a panic; no I/O.

use portwatch_common::record::{Holder, Process, Refusal, Socket, Task, tag};

/// One record of the kernel side. Boxed: a channel slot should not be as large as the largest record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawEvent {
    /// A process got its first port.
    Process(Box<Process>),
    /// A socket on a refused port; its refusal follows.
    Holder(Box<Holder>),
    /// A refused call; closes the group of its holders.
    Refusal(Box<Refusal>),
}

impl RawEvent {
    /// The bytes of the ring record.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Process(process) => bytes_of(&**process),
            Self::Holder(holder) => bytes_of(&**holder),
            Self::Refusal(refusal) => bytes_of(&**refusal),
        }
    }
}

/// Why a record could not be read: kernel side and user side are not of the same build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not even a tag.
    #[error("a ring record of {length} bytes is too short for a tag")]
    NoTag {
        /// Its length in bytes.
        length: usize,
    },
    /// A tag that this version does not know.
    #[error("a ring record of {length} bytes has the unknown tag {tag:#x}")]
    UnknownTag {
        /// The tag.
        tag: u32,
        /// Length of the record in bytes.
        length: usize,
    },
    /// Not as long as its tag demands.
    #[error("a ring record with tag {tag:#x} has {length} bytes instead of {expected}")]
    WrongLength {
        /// The tag.
        tag: u32,
        /// Its length in bytes.
        length: usize,
        /// What the tag demands.
        expected: usize,
    },
}

/// Reads one ring record.
///
/// # Errors
/// If the tag is not known or the length is not that of the tagged record.
pub fn decode(bytes: &[u8]) -> Result<RawEvent, DecodeError> {
    let length = bytes.len();
    let Some(tag) = bytes.first_chunk() else {
        return Err(DecodeError::NoTag { length });
    };
    match u32::from_ne_bytes(*tag) {
        tag::PROCESS => read(bytes, tag::PROCESS).map(RawEvent::Process),
        tag::HOLDER => read(bytes, tag::HOLDER).map(RawEvent::Holder),
        tag::REFUSAL => read(bytes, tag::REFUSAL).map(RawEvent::Refusal),
        tag => Err(DecodeError::UnknownTag { tag, length }),
    }
}

/// A record for which every bit pattern is a value.
///
/// # Safety
/// The type is `repr(C)` and made of integers and arrays of integers only.
pub(crate) unsafe trait Record: Copy {}

// SAFETY: portwatch-common promises it for all its records: `repr(C)`, integers, padding spelled out as fields.
unsafe impl Record for Process {}
// SAFETY: as above.
unsafe impl Record for Holder {}
// SAFETY: as above.
unsafe impl Record for Refusal {}
// SAFETY: as above.
unsafe impl Record for Task {}
// SAFETY: as above.
unsafe impl Record for Socket {}

fn read<T: Record>(bytes: &[u8], tag: u32) -> Result<Box<T>, DecodeError> {
    let wrong = DecodeError::WrongLength { tag, length: bytes.len(), expected: size_of::<T>() };
    from_bytes(bytes).map(Box::new).ok_or(wrong)
}

/// The record of these bytes, if they are as many as it has.
pub(crate) fn from_bytes<T: Record>(bytes: &[u8]) -> Option<T> {
    // SAFETY: `bytes` is exactly as long as T, T admits every bit pattern, and the read asks for no alignment.
    (bytes.len() == size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The bytes of a record, as the kernel side writes them.
pub(crate) fn bytes_of<T: Record>(record: &T) -> &[u8] {
    // SAFETY: a Record has no uninitialised padding, and the slice lives as long as the borrow.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_refusal_survives_the_wire() {
        let refusal = Refusal { tag: tag::REFUSAL, errno: 98, id: 7, when_ns: 42, ..Refusal::default() };
        assert_eq!(decode(bytes_of(&refusal)), Ok(RawEvent::Refusal(Box::new(refusal))));
    }

    #[test]
    fn a_holder_survives_the_wire_unaligned() {
        let holder = Holder { tag: tag::HOLDER, found_by: 2, refusal: u64::MAX, ..Holder::default() };
        let mut shifted = vec![0u8];
        shifted.extend_from_slice(bytes_of(&holder));
        assert_eq!(decode(&shifted[1..]), Ok(RawEvent::Holder(Box::new(holder))));
    }

    #[test]
    fn short_long_and_unknown_records_say_what_is_wrong() {
        let refusal = Refusal { tag: tag::REFUSAL, ..Refusal::default() };
        let bytes = bytes_of(&refusal);
        assert_eq!(decode(&[]), Err(DecodeError::NoTag { length: 0 }));
        assert_eq!(decode(&[1, 2, 3]), Err(DecodeError::NoTag { length: 3 }));
        let length = bytes.len() - 1;
        let expected = bytes.len();
        assert_eq!(
            decode(&bytes[..length]),
            Err(DecodeError::WrongLength { tag: tag::REFUSAL, length, expected })
        );
        let mut unknown = bytes.to_vec();
        unknown[..4].copy_from_slice(&0x31_u32.to_ne_bytes());
        assert_eq!(decode(&unknown), Err(DecodeError::UnknownTag { tag: 0x31, length: expected }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_event_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn any_body_of_the_right_length_decodes(
            mut bytes in proptest::collection::vec(any::<u8>(), size_of::<Refusal>()),
        ) {
            bytes[..4].copy_from_slice(&tag::REFUSAL.to_ne_bytes());
            let Ok(RawEvent::Refusal(refusal)) = decode(&bytes) else { panic!("a refusal") };
            let event = RawEvent::Refusal(refusal);
            prop_assert_eq!(event.bytes(), &bytes[..]);
        }
    }
}
