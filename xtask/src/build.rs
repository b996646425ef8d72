//! Builds of the user side: for this machine, and static ones for the virtual machines.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::kernels::Arch;
use crate::setup::{apt, rust_src};
use crate::{project, run};

/// How the programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As they are shipped: what is measured.
    Release,
    /// Without link-time optimisation: what is tested.
    Lab,
}

impl Profile {
    /// Its name in Cargo.toml, which is that of its folder.
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Lab => "lab",
        }
    }
}

/// The finished programs.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    pub(crate) portwatch: PathBuf,
    pub(crate) lineup: PathBuf,
}

impl Binaries {
    fn in_folder(folder: &std::path::Path) -> Self {
        Self { portwatch: folder.join("portwatch"), lineup: folder.join("lineup") }
    }
}

/// portwatch alone, for this machine.
pub(crate) fn portwatch() -> Result<PathBuf> {
    Ok(host_of(&["portwatch"])?.portwatch)
}

/// For this machine, with its libraries.
pub(crate) fn host() -> Result<Binaries> {
    host_of(&PACKAGES)
}

/// The packages of the finished programs.
const PACKAGES: [&str; 2] = ["portwatch", "portwatch-tests"];

fn host_of(packages: &[&str]) -> Result<Binaries> {
    let mut cargo = cargo(Profile::Lab, packages);
    cargo.arg("--target-dir").arg(project::target());
    run::quiet(&mut cargo, "build portwatch", "for this machine; a minute or two the first time")?;
    Ok(Binaries::in_folder(&project::target().join(Profile::Lab.name())))
}

/// Without any library of the system, for a virtual machine that has none. Each architecture has a folder of its own: settings of
/// one that build scripts depend on would discard the other's build.
pub(crate) fn static_for(arch: Arch, profile: Profile) -> Result<Binaries> {
    let mut cargo = cargo(profile, &PACKAGES);
    let folder = project::target().join("static").join(arch.name());
    cargo.arg("--target-dir").arg(&folder);
    let triple = format!("{}-unknown-linux-gnu", arch.name());
    cargo.args(["--target", &triple]);
    if arch == Arch::Aarch64 && !cfg!(target_arch = "aarch64") {
        apt::install(&[apt::GCC_ARM64, apt::LIBC_ARM64], "to link programs for the arm64 virtual machine")?;
        let source = rust_src::obtain()?;
        cargo.args(["-Z", "build-std=std,panic_abort"]).env("RUSTC_BOOTSTRAP", "1");
        cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc");
        source.apply(&mut cargo);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static").env_remove("RUSTFLAGS");
    let what = format!("static build for {}", arch.name());
    run::quiet(&mut cargo, &what, "portwatch and the tests' actors for the virtual machines")?;
    Ok(Binaries::in_folder(&folder.join(triple).join(profile.name())))
}

fn cargo(profile: Profile, packages: &[&str]) -> Command {
    let mut command = Command::new(project::cargo());
    command.current_dir(project::root());
    command.args(["build", "--profile", profile.name(), "--locked"]);
    command.args(packages.iter().flat_map(|package| ["--package", package]));
    command
}
