//! The source of `core` and `std`, which building for BPF and for arm64 needs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

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
    /// Tells cargo where the source is.
    pub(crate) fn apply(&self, command: &mut Command) {
        if self.is_apart {
            command.env("__CARGO_TESTS_ONLY_SRC_ROOT", self.root.join("library"));
        }
    }
}

/// The source, from the toolchain, through rustup, or from Debian's package of exactly this compiler's version.
pub(crate) fn obtain() -> Result<Source> {
    let own = sysroot()?.join("lib/rustlib/src/rust");
    let _lock = cache::lock("rust-src")?;
    if env::var_os(CHOICE).is_none_or(|choice| choice != "deb") {
        if !is_complete(&own) && run::find("rustup").is_some() {
            let mut add = Command::new("rustup");
            add.current_dir(project::root());
            let why = "the source of core, to build the kernel side";
            // Where rustup cannot reach its server, Debian's package follows.
            let _ =
                run::quiet(add.args(["component", "add", "rust-src"]), "rustup component add rust-src", why);
        }
        if is_complete(&own) {
            return Ok(Source { root: own, is_apart: false });
        }
    }
    from_debian()
}

fn from_debian() -> Result<Source> {
    let version = compiler_version()?;
    let dir = cache::dir()?.join(format!("rust-src-{version}"));
    let root = dir.join(format!("usr/src/rustc-{version}"));
    if !is_complete(&root) {
        let archive = Archive::open(&["trixie-backports", "forky", "sid"], "amd64")?;
        let versions = archive.versions("rust-src")?;
        let wanted = versions.iter().find(|found| found.starts_with(&format!("{version}+")));
        let wanted = wanted.with_context(|| {
            format!(
                "Debian has no rust-src {version} any more (it has {}); rustup component add rust-src",
                versions.join(", ")
            )
        })?;
        let _ = fs::remove_dir_all(&dir);
        archive.unpack(
            &format!("rust-src={wanted}"),
            &dir,
            "the source of core, to build the kernel side",
        )?;
    }
    ensure!(is_complete(&root), "the package rust-src has no library in {}", root.display());
    Ok(Source { root, is_apart: true })
}

fn is_complete(root: &Path) -> bool {
    root.join("library/core/src/lib.rs").is_file() && root.join("library/Cargo.lock").is_file()
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
