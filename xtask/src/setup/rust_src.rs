//! The source of `core` and `std`, which building for BPF and for arm64 needs.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};

use super::archive::Archive;
use crate::{cache, project, run};

/// Where the source lies.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The folder that has `library/` in it.
    pub(crate) root: PathBuf,
    /// Not where cargo looks by itself.
    pub(crate) is_apart: bool,
}

/// Set to `deb` to take Debian's package even where rustup has the source: both roads must lead to the same bytes.
const CHOICE: &str = "PORTWATCH_RUST_SRC";

impl Source {
    fn is_complete(&self) -> bool {
        ["library/core/src/lib.rs", "library/Cargo.lock"].iter().all(|file| self.root.join(file).is_file())
    }

    /// Tells cargo where the source is.
    pub(crate) fn apply(&self, command: &mut Command) {
        if self.is_apart {
            command.env("__CARGO_TESTS_ONLY_SRC_ROOT", self.root.join("library"));
        }
    }
}

/// The source: that of the toolchain, else through rustup, else Debian's package of exactly this compiler's version.
pub(crate) fn obtain() -> Result<Source> {
    let _lock = cache::lock("rust-src")?;
    let own = Source { root: sysroot()?.join("lib/rustlib/src/rust"), is_apart: false };
    let debian = debian()?;
    if env::var_os(CHOICE).is_some_and(|choice| choice == "deb") {
        return fetch(debian);
    }
    if !own.is_complete() && !debian.is_complete() && run::find("rustup").is_some() {
        let mut add = Command::new("rustup");
        add.current_dir(project::root()).args(["component", "add", "rust-src"]);
        // Where rustup cannot reach its server, Debian's package follows.
        let _ = run::quiet(
            &mut add,
            "rustup component add rust-src",
            "the source of core, to build the kernel side",
        );
    }
    if own.is_complete() { Ok(own) } else { fetch(debian) }
}

/// Where Debian's package is unpacked.
fn debian() -> Result<Source> {
    let version = compiler_version()?;
    let root = cache::dir()?.join(format!("rust-src-{version}/usr/src/rustc-{version}"));
    Ok(Source { root, is_apart: true })
}

/// Fetches Debian's package, unless it is there.
fn fetch(source: Source) -> Result<Source> {
    if source.is_complete() {
        return Ok(source);
    }
    if run::find("apt-get").is_none() {
        bail!(
            "the source of core is missing, and there is no apt here to get Debian's; type: rustup component add rust-src"
        );
    }
    let version = compiler_version()?;
    let archive = Archive::open(&["trixie-backports", "forky", "sid"], "amd64")?;
    let versions = archive.versions("rust-src")?;
    let wanted = versions.iter().find(|found| found.starts_with(&format!("{version}+"))).with_context(|| {
        let there = versions.join(", ");
        format!("Debian has no rust-src {version} (it has {there}); what gets it: rustup component add rust-src")
    })?;
    let dir = cache::dir()?.join(format!("rust-src-{version}"));
    // An interrupted run leaves nothing that looks complete.
    let fresh = cache::dir()?.join(format!("rust-src-{version}.new"));
    for old in [&dir, &fresh] {
        let _ = fs::remove_dir_all(old);
    }
    archive.unpack(&format!("rust-src={wanted}"), &fresh, "the source of core, to build the kernel side")?;
    fs::rename(&fresh, &dir)?;
    ensure!(source.is_complete(), "the package rust-src has no library in {}", source.root.display());
    Ok(source)
}

/// Where the compiler lives.
pub(crate) fn sysroot() -> Result<PathBuf> {
    Ok(run::output(rustc().args(["--print", "sysroot"]))?.trim().into())
}

/// The compiler that rust-toolchain.toml pins.
fn rustc() -> Command {
    let mut command = Command::new("rustc");
    command.current_dir(project::root());
    command
}

fn compiler_version() -> Result<String> {
    let text = run::output(rustc().arg("--version"))?;
    Ok(text.split(' ').nth(1).context("rustc --version says nothing")?.to_owned())
}
