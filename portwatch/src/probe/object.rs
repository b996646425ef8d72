//! The kernel-side object: built in, or replaced by a developer's own.

use std::borrow::Cow;
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// Environment variable that names another object file, for those who work on the kernel side.
pub const OVERRIDE: &str = "PORTWATCH_BPF_OBJECT";

#[cfg(target_arch = "x86_64")]
static BUILT_IN: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/portwatch.x86_64.o"));
#[cfg(target_arch = "aarch64")]
static BUILT_IN: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/portwatch.aarch64.o"));

/// The object to load.
///
/// # Errors
/// When [`OVERRIDE`] names a file that cannot be read.
pub fn bytes() -> io::Result<Cow<'static, [u8]>> {
    match env::var_os(OVERRIDE) {
        Some(path) => fs::read(path).map(Cow::Owned),
        None => Ok(Cow::Borrowed(BUILT_IN)),
    }
}

/// SHA-256 of the built-in object, in hex: the same as `sha256sum` of the committed file.
#[must_use]
pub fn built_in_hash() -> String {
    Sha256::digest(BUILT_IN).iter().map(|byte| format!("{byte:02x}")).collect()
}
