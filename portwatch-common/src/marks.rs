//! Loads of the kernel side whose offsets user space puts in before it loads them, as others do by relocations.

use crate::Offsets;

/// What stands for an offset in such a load: no other load of the kernel side reaches that far.
#[derive(Clone, Copy, Debug)]
pub struct Mark(i16);

/// The mark of all of them.
pub const MARK: Mark = Mark(0x4000);

/// Room for the place of the field in [`Offsets`].
const FIELD_BITS: usize = 9;
/// Room for the words after it.
const WORD_BITS: usize = 3;

const _: () = assert!(size_of::<Offsets>() <= 1 << FIELD_BITS);

impl Mark {
    /// Of the field whose offset is `field` bytes into [`Offsets`], and so many words of eight bytes behind it.
    #[must_use]
    pub const fn of(self, field: usize, words: usize) -> i16 {
        assert!(field < 1 << FIELD_BITS && words < 1 << WORD_BITS, "no room");
        self.0 | (words << FIELD_BITS) as i16 | field as i16
    }

    /// The field and the words that a mark is of; nothing for an offset that is none.
    #[must_use]
    pub const fn read(self, offset: i16) -> Option<(usize, usize)> {
        let rest = (offset ^ self.0) as u16 as usize;
        if rest >> (FIELD_BITS + WORD_BITS) != 0 {
            return None;
        }
        Some((rest & ((1 << FIELD_BITS) - 1), rest >> FIELD_BITS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_it_is_of() {
        assert_eq!(MARK.read(MARK.of(12, 1)), Some((12, 1)));
        assert_eq!(MARK.read(MARK.of(0, 0)), Some((0, 0)));
        for offset in [0, 8, -8, 0x3fff, -0x4000, i16::MIN, i16::MAX] {
            assert_eq!(MARK.read(offset), None, "{offset}");
        }
    }
}
