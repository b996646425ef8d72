//! The kernel-side object: built in, or replaced by a developer's own.

use std::borrow::Cow;
use std::{env, fs, io};

use object::elf::SHF_EXECINSTR;
use object::{File, Object as _, ObjectSection as _, SectionFlags};
use sha2::{Digest, Sha256};

use super::Kernel;

/// Environment variable that names another object file, for those who work on the kernel side.
pub const OVERRIDE: &str = "PORTWATCH_BPF_OBJECT";

#[cfg(target_arch = "x86_64")]
static BUILT_IN: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/portwatch.x86_64.o"));
#[cfg(target_arch = "aarch64")]
static BUILT_IN: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/portwatch.aarch64.o"));

/// The object to load on this kernel.
///
/// # Errors
/// When [`OVERRIDE`] names a file that cannot be read.
pub fn bytes(kernel: &Kernel) -> io::Result<Cow<'static, [u8]>> {
    let bytes = match env::var_os(OVERRIDE) {
        Some(path) => fs::read(path).map(Cow::Owned)?,
        None => Cow::Borrowed(BUILT_IN),
    };
    Ok(if kernel.has_atomic_exchange() { bytes } else { Cow::Owned(without_exchange(bytes.into_owned())) })
}

/// Puts plain additions, which every kernel has, in place of atomic exchanges. Older kernels refuse a program for these even
/// where it never comes to them, and there it never does: see `Tuning::bucket_bits`.
fn without_exchange(mut object: Vec<u8>) -> Vec<u8> {
    for (start, length) in code(&object) {
        for instruction in object[start..start + length].chunks_exact_mut(INSTRUCTION) {
            if instruction[0] == ATOMIC && matches!(instruction[4], EXCHANGE | COMPARE_EXCHANGE) {
                instruction[4..].fill(0);
            }
        }
    }
    object
}

/// Bytes of an instruction of BPF: operation, registers, two bytes of offset, four of a number, which of an atomic operation
/// says which.
const INSTRUCTION: usize = 8;
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
    use super::*;

    #[test]
    fn no_exchange_is_left_and_nothing_else_has_changed() {
        let (before, after) = (BUILT_IN, without_exchange(BUILT_IN.to_vec()));
        let mut replaced = 0;
        for (start, length) in code(before) {
            let pairs = before[start..start + length].chunks(8).zip(after[start..start + length].chunks(8));
            for (old, new) in pairs.filter(|(old, new)| old != new) {
                assert_eq!((old[0], &old[..4]), (ATOMIC, &new[..4]), "the place stays");
                assert_eq!(new[4..], [0; 4], "an addition");
                replaced += 1;
            }
        }
        assert!(replaced > 0, "the object has exchanges");
        let changed = before.iter().zip(&after).filter(|(old, new)| old != new).count();
        assert!(changed <= replaced * 4 && before.len() == after.len());
    }

    #[test]
    fn what_is_no_object_stays_as_it_is() {
        assert_eq!(without_exchange(b"not an object".to_vec()), b"not an object");
    }
}
