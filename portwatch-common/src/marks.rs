//! What stands in the instructions of the kernel side until user space puts in what is true of the running kernel: places of
//! fields, as others do by relocations, and numbers.
//!
//! A number in an instruction takes one where a read-only global takes two more, and the verifier leaves out what it settles
//! just the same.

use crate::Offsets;

/// All that user space puts in.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Of the kernel.
    pub offsets: Offsets,
    /// Of this load.
    pub tuning: Tuning,
}

impl Constants {
    /// The number that lies `place` bytes from the start.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<u32> {
        match place.checked_sub(size_of::<Offsets>()) {
            None => self.offsets.at(place),
            Some(place) => self.tuning.at(place),
        }
    }
}

/// Settings of the kernel side, fixed at load.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// 1: the current task can be had as a typed pointer, whose fields are plain loads (5.11+).
    pub task_btf: u32,
    /// 1: the tracepoint backend, which sees no UDP release, no TIME_WAIT socket and no verdict of the kernel. UDP records go to
    /// `DATAGRAMS`, those of closed sockets to `LAST`.
    pub datagrams: u32,
    /// 1: the kernel preempts programs, so that hooks of processes have stand-ins too.
    pub preempts: u32,
    /// [`crate::bucket::shift_of`] the buckets of `PORTS`; 0: the kernel has no atomic exchange, and no table has any.
    pub bucket_shift: u32,
    /// 1: the kernel has cgroups, and every field on the way to a task's.
    pub cgroups: u32,
}

impl Tuning {
    /// The member that lies `place` bytes from the start.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<u32> {
        let Self { task_btf, datagrams, preempts, bucket_shift, cgroups } = *self;
        [task_btf, datagrams, preempts, bucket_shift, cgroups].get(place / size_of::<u32>()).copied()
    }
}

/// What stands for an offset in a load: no other load of the kernel side reaches that far.
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

/// What stands for a number: the kernel side has none that is like it.
const NUMBER: u32 = 0x2f8d_1000;
/// Room for the place of the number in [`Constants`].
const NUMBER_BITS: u32 = 12;

const _: () = assert!(size_of::<Constants>() <= 1 << NUMBER_BITS);

/// The mark of the number that lies `place` bytes into [`Constants`].
#[must_use]
pub const fn number(place: usize) -> i32 {
    assert!(place < 1 << NUMBER_BITS, "no room");
    NUMBER as i32 | place as i32
}

/// The place that such a mark is of; nothing for another number.
#[must_use]
pub const fn read_number(mark: u32) -> Option<usize> {
    let place = mark ^ NUMBER;
    if place >> NUMBER_BITS == 0 { Some(place as usize) } else { None }
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
        assert_eq!(read_number(number(0) as u32), Some(0));
        assert_eq!(read_number(number(404) as u32), Some(404));
        for number in [0, 1, u32::MAX, NUMBER - 1, NUMBER + (1 << NUMBER_BITS), 1 << 31] {
            assert_eq!(read_number(number), None, "{number}");
        }
    }

    #[test]
    fn every_constant_has_its_place() {
        let mut next = 0;
        let offsets = Offsets::resolve(|_| {
            next += 1;
            next
        });
        let tuning =
            Tuning { task_btf: 1001, datagrams: 1002, preempts: 1003, bucket_shift: 1004, cgroups: 1005 };
        let constants = Constants { offsets, tuning };
        let at = |place| constants.at(place);
        assert_eq!(at(core::mem::offset_of!(Constants, offsets.skc_num)), Some(offsets.skc_num));
        assert_eq!(at(core::mem::offset_of!(Constants, tuning.task_btf)), Some(1001));
        assert_eq!(at(core::mem::offset_of!(Constants, tuning.cgroups)), Some(1005));
        assert_eq!(at(size_of::<Constants>()), None);
    }
}
