//! Stands between cargo and rustc while the kernel side is built, so that its bytes do not depend on where things lie.
//!
//! cargo hashes the absolute path of `core`'s source into `-C metadata`, and rustc hashes that into the name of every
//! symbol: the object would differ between two users of one machine. Package name and version tell crates apart as
//! well here. `-C extra-filename`, which keeps files apart, stays as cargo made it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::{env, io};

use anyhow::{Context as _, Result};

/// Set where cargo is to start this program as rustc's wrapper.
const ROLE: &str = "PORTWATCH_XTASK_WRAPS_RUSTC";

/// Makes `cargo` call rustc through this program.
pub(crate) fn install(cargo: &mut Command) -> Result<()> {
    let this = env::current_exe().context("cannot find the program file of xtask")?;
    cargo.env("RUSTC_WRAPPER", this).env(ROLE, "1");
    Ok(())
}

/// Becomes rustc, if that is this process's role; the error is that of starting it.
pub(crate) fn become_rustc() -> Option<io::Error> {
    env::var_os(ROLE)?;
    // cargo gives the compiler's path and then its arguments.
    let mut words = env::args_os().skip(1);
    let compiler = words.next()?;
    let package = package();
    let arguments = words.map(|word| match &package {
        Some(package) if word.as_encoded_bytes().starts_with(b"metadata=") => package.clone(),
        _ => word,
    });
    Some(Command::new(compiler).args(arguments).env_remove(ROLE).exec())
}

/// What takes the place of cargo's `-C metadata`; none where cargo only asks the compiler for its version.
fn package() -> Option<OsString> {
    let (name, version) = (env::var_os("CARGO_PKG_NAME")?, env::var_os("CARGO_PKG_VERSION")?);
    Some([OsStr::new("metadata="), &name, OsStr::new("-"), &version].into_iter().collect())
}
