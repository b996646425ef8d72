//! The kernel-side object: built in, or replaced by a developer's own.

use std::{env, fs, io};

use object::elf::SHF_EXECINSTR;
use object::{File, Object as _, ObjectSection as _, SectionFlags};
use portwatch_common::Constants;
use portwatch_common::marks::{self, MARK};
use sha2::{Digest, Sha256};

/// Environment variable that names another object file, for those who work on the kernel side.
pub const OVERRIDE: &str = "PORTWATCH_BPF_OBJECT";

#[cfg(target_arch = "x86_64")]
static BUILT_IN: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/portwatch.x86_64.o"));
#[cfg(target_arch = "aarch64")]
static BUILT_IN: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/portwatch.aarch64.o"));

/// The object to load on a kernel of which this is true.
///
/// # Errors
/// When [`OVERRIDE`] names a file that cannot be read.
pub fn bytes(constants: &Constants, has_exchange: bool) -> io::Result<Vec<u8>> {
    let bytes = match env::var_os(OVERRIDE) {
        Some(path) => fs::read(path)?,
        None => BUILT_IN.to_vec(),
    };
    Ok(fitted(bytes, constants, has_exchange))
}

/// The same program for a kernel: with its constants, and without what it does not have.
fn fitted(mut object: Vec<u8>, constants: &Constants, has_exchange: bool) -> Vec<u8> {
    for (start, length) in code(&object) {
        for instruction in object[start..start + length].chunks_exact_mut(INSTRUCTION) {
            put_offset(instruction, constants);
            put_number(instruction, constants);
            if !has_exchange {
                put_addition(instruction);
            }
        }
    }
    object
}

/// Puts a field's offset in place of its mark. What the kernel does not have stays: the program does not come to it, and if it
/// did the verifier would refuse so long a way.
fn put_offset(instruction: &mut [u8], constants: &Constants) {
    let offset = i16::from_le_bytes([instruction[2], instruction[3]]);
    if instruction[0] & !SIZES != LOAD {
        return;
    }
    let Some((field, words)) = MARK.read(offset) else { return };
    let place = constants.offsets.at(field).and_then(|value| value.checked_add(words as u32 * 8));
    if let Some(place) = place.and_then(|place| i16::try_from(place).ok()) {
        instruction[2..4].copy_from_slice(&place.to_le_bytes());
    }
}

/// Puts a number in place of its mark.
fn put_number(instruction: &mut [u8], constants: &Constants) {
    if !matches!(instruction[0], NUMBER | SHIFT) {
        return;
    }
    let mark = u32::from_le_bytes([instruction[4], instruction[5], instruction[6], instruction[7]]);
    if let Some(number) = marks::read_number(mark).and_then(|place| constants.at(place)) {
        instruction[4..].copy_from_slice(&number.to_le_bytes());
    }
}

/// Puts a plain addition, which every kernel has, in place of an atomic exchange. Older kernels refuse a program for one even
/// where it never comes to it, and there it never does: see `Tuning::bucket_shift`.
fn put_addition(instruction: &mut [u8]) {
    if instruction[0] == ATOMIC && matches!(instruction[4], EXCHANGE | COMPARE_EXCHANGE) {
        instruction[4..].fill(0);
    }
}

/// Bytes of an instruction of BPF: operation, registers, two bytes of offset, four of a number, which of an atomic operation
/// says which.
const INSTRUCTION: usize = 8;
/// BPF_LDX | BPF_MEM, of any of the sizes.
const LOAD: u8 = 0x61;
const SIZES: u8 = 0x18;
/// BPF_LD | BPF_IMM | BPF_DW: of two instructions the first, which has the number's lower half.
const NUMBER: u8 = 0x18;
/// BPF_ALU64 | BPF_RSH | BPF_K
const SHIFT: u8 = 0x77;
/// BPF_STX | BPF_ATOMIC | BPF_DW
const ATOMIC: u8 = 0xdb;
/// BPF_XCHG
const EXCHANGE: u8 = 0xe1;
/// BPF_CMPXCHG
const COMPARE_EXCHANGE: u8 = 0xf1;

/// Where the object has programs: start and length. An object that cannot be read has none, and aya says what is wrong with it.
fn code(bytes: &[u8]) -> Vec<(usize, usize)> {
    let Ok(file) = File::parse(bytes) else { return Vec::new() };
    let sections = file.sections().filter(|section| matches!(section.flags(), SectionFlags::Elf { sh_flags } if sh_flags & u64::from(SHF_EXECINSTR) != 0));
    let places = sections.filter_map(|section| section.file_range());
    places
        .filter_map(|(start, length)| Some((usize::try_from(start).ok()?, usize::try_from(length).ok()?)))
        .collect()
}

/// SHA-256 of the built-in object, in hex: the same as `sha256sum` of the committed file.
#[must_use]
pub fn built_in_hash() -> String {
    Sha256::digest(BUILT_IN).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use portwatch_common::{Offsets, Tuning};

    use super::*;

    /// Pairs of instructions that are not the same, before and after.
    fn changed(before: &[u8], after: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let programs: usize = code(before).iter().map(|(_, length)| length).sum();
        assert!(programs > 0 && before.len() == after.len());
        let pairs = code(before).into_iter().flat_map(|(start, length)| {
            before[start..start + length].chunks(8).zip(after[start..start + length].chunks(8))
        });
        let pairs: Vec<_> = pairs.filter(|(old, new)| old != new).collect();
        let bytes = |pairs: &[(&[u8], &[u8])]| -> usize {
            pairs.iter().map(|(old, new)| old.iter().zip(*new).filter(|(old, new)| old != new).count()).sum()
        };
        let all = before.iter().zip(after).filter(|(old, new)| old != new).count();
        assert_eq!(all, bytes(&pairs), "nothing but instructions has changed");
        pairs.into_iter().map(|(old, new)| (old.to_vec(), new.to_vec())).collect()
    }

    /// Constants that are all different, and what they are by their place.
    fn constants() -> Constants {
        let mut next = 0;
        let offsets = Offsets::resolve(|_| {
            next += 16;
            next - 16
        });
        let tuning = Tuning {
            task_btf: 0x101,
            datagrams: 0x102,
            preempts: 0x103,
            bucket_shift: 0x104,
            cgroups: 0x105,
        };
        Constants { offsets, tuning }
    }

    /// What changes where only the constants are put in, as old and new instruction.
    fn put_in() -> Vec<(Vec<u8>, Vec<u8>)> {
        changed(BUILT_IN, &fitted(BUILT_IN.to_vec(), &constants(), true))
    }

    #[test]
    fn no_exchange_is_left_and_nothing_else_has_changed() {
        let before = fitted(BUILT_IN.to_vec(), &constants(), true);
        let changed = changed(&before, &fitted(BUILT_IN.to_vec(), &constants(), false));
        assert!(!changed.is_empty(), "the object has exchanges");
        for (old, new) in changed {
            assert_eq!((old[0], &old[..4]), (ATOMIC, &new[..4]), "the place stays");
            assert_eq!(new[4..], [0; 4], "an addition");
        }
    }

    #[test]
    fn every_mark_of_a_load_gives_way_to_the_offset_of_its_field() {
        let loads: Vec<_> = put_in().into_iter().filter(|(old, _)| old[0] & !SIZES == LOAD).collect();
        assert!(!loads.is_empty(), "the object has such marks");
        for (old, new) in loads {
            let offset = |instruction: &[u8]| i16::from_le_bytes([instruction[2], instruction[3]]);
            let (field, words) = MARK.read(offset(&old)).expect("a mark");
            assert_eq!(usize::try_from(offset(&new)).unwrap(), field / 4 * 16 + words * 8);
            assert_eq!((&old[..2], &old[4..]), (&new[..2], &new[4..]), "the rest stays");
        }
    }

    #[test]
    fn every_mark_of_a_number_gives_way_to_the_number() {
        let numbers: Vec<_> = put_in().into_iter().filter(|(old, _)| old[0] & !SIZES != LOAD).collect();
        let number = |instruction: &[u8]| u32::from_le_bytes(instruction[4..8].try_into().unwrap());
        for (old, new) in &numbers {
            let place = marks::read_number(number(old)).expect("a mark");
            assert_eq!(Some(number(new)), constants().at(place));
            assert_eq!(old[..4], new[..4], "the rest stays");
        }
        for kind in [NUMBER, SHIFT] {
            assert!(numbers.iter().any(|(old, _)| old[0] == kind), "the object has {kind:#x}");
        }
    }

    #[test]
    fn what_is_no_object_stays_as_it_is() {
        assert_eq!(fitted(b"not an object".to_vec(), &constants(), false), b"not an object");
    }
}
