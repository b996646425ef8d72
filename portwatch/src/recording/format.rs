//! The bytes of a recording: the opening, and frames with a checksum each. All numbers are little-endian.

/// What a recording begins with.
pub(super) const MAGIC: [u8; 6] = *b"PWREC\n";
/// Version of the framing and of the meaning of frames; stands after the magic.
pub const VERSION: u16 = 1;
/// Bytes of the opening.
pub(super) const OPENING: usize = MAGIC.len() + size_of::<u16>();
/// Bytes of a frame's content at most.
pub const MAX_FRAME: usize = 16 << 20;
/// Bytes of the answers to one event at most, as frames.
pub(super) const MAX_GROUP: usize = 32 << 20;
/// Bytes before a frame's content: kind and length.
pub(super) const HEAD: usize = 5;
/// Bytes after it: the checksum.
pub(super) const TAIL: usize = 4;

/// Kinds of frames. A reader passes over unknown ones from 0x80 on; below that they are an error.
pub(super) mod kind {
    /// [`super::super::Header`] as JSON; the first frame, and the only one of it.
    pub(in super::super) const HEADER: u8 = b'H';
    /// An [`super::super::Exchange`] as JSON; belongs to the next event.
    pub(in super::super) const ANSWER: u8 = b'A';
    /// A ring record, byte for byte.
    pub(in super::super) const EVENT: u8 = b'E';
    /// Eight bytes: a look after repeats, on the boot clock in nanoseconds.
    pub(in super::super) const TICK: u8 = b'T';
    /// [`super::super::End`] as JSON; the last frame.
    pub(in super::super) const END: u8 = b'Z';
    /// The first of those that may be passed over.
    pub(in super::super) const OPTIONAL: u8 = 0x80;
}

/// Appends a frame. Gives back whether the content was short enough.
#[must_use]
pub(super) fn push_frame(out: &mut Vec<u8>, kind: u8, content: &[u8]) -> bool {
    let Some(length) = u32::try_from(content.len()).ok().filter(|_| content.len() <= MAX_FRAME) else {
        return false;
    };
    let start = out.len();
    out.push(kind);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(content);
    let sum = checksum(&[&out[start..]]);
    out.extend_from_slice(&sum.to_le_bytes());
    true
}

/// CRC-32 as in IEEE 802.3 (reflected, polynomial 0x04C11DB7), over all parts in a row.
pub(super) fn checksum(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(u32::MAX, |sum, &byte| (sum >> 8) ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)])
}

/// The remainder of every byte.
static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let (mut remainder, mut bit) = (index as u32, 0);
        while bit < 8 {
            remainder = (remainder >> 1) ^ (0xEDB8_8320 * (remainder & 1));
            bit += 1;
        }
        table[index] = remainder;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(checksum(&[b"123456789"]), 0xCBF4_3926);
        assert_eq!(checksum(&[b"1234", b"", b"56789"]), 0xCBF4_3926);
        assert_eq!(checksum(&[]), 0);
    }

    #[test]
    fn a_frame_is_kind_length_content_checksum() {
        let mut out = vec![0xff];
        assert!(push_frame(&mut out, kind::TICK, &[1, 2]));
        assert_eq!(out[1..HEAD + 3], [b'T', 2, 0, 0, 0, 1, 2]);
        assert_eq!(out.len(), 1 + HEAD + 2 + TAIL);
        assert!(!push_frame(&mut out, kind::ANSWER, &vec![0; MAX_FRAME + 1]));
        assert_eq!(out.len(), 1 + HEAD + 2 + TAIL, "nothing of what is too long");
    }
}
