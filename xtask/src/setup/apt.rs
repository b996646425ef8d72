//! Debian packages of this machine's own release, through apt as it is set up here.

use std::path::Path;

use anyhow::{Result, bail};

use crate::run;

/// A package, and a file that tells whether it is installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// A program on PATH, or an absolute path.
    pub(crate) provides: &'static str,
}

const fn package(name: &'static str, provides: &'static str) -> Package {
    Package { name, provides }
}

/// Emulates x86-64 machines.
pub(crate) const QEMU_X86: Package = package("qemu-system-x86", "qemu-system-x86_64");
/// Emulates arm64 machines.
pub(crate) const QEMU_ARM: Package = package("qemu-system-arm", "qemu-system-aarch64");
/// A shell for the virtual machines.
pub(crate) const BUSYBOX: Package = package("busybox-static", "/bin/busybox");
/// Unpacks kernel modules.
pub(crate) const XZ: Package = package("xz-utils", "xz");
/// Links for arm64.
pub(crate) const GCC_ARM64: Package = package("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc");
/// The C library for arm64.
pub(crate) const LIBC_ARM64: Package = package("libc6-dev-arm64-cross", "/usr/aarch64-linux-gnu/lib/libc.a");
/// Strips the kernel-side object. The version is part of the name: the bytes of the object depend on it.
pub(crate) const STRIP: Package = package("llvm-14", "llvm-strip-14");

/// Plays the programs of `docs/port-conflicts.md`.
pub(crate) const PYTHON: Package = package("python3", "python3");
/// Makes network links and shows sockets there.
pub(crate) const IPROUTE: Package = package("iproute2", "ss");

/// Counts instructions.
pub(crate) const VALGRIND: Package = package("valgrind", "valgrind");

/// Makes a root folder of Debian.
pub(crate) const DEBOOTSTRAP: Package = package("debootstrap", "debootstrap");
/// The keys by which debootstrap knows Debian's packages.
pub(crate) const KEYS: Package =
    package("debian-archive-keyring", "/usr/share/keyrings/debian-archive-keyring.gpg");

/// Installs those of the packages that are not there.
pub(crate) fn install(packages: &[Package], why: &str) -> Result<()> {
    let missing: Vec<&str> = packages.iter().filter(|p| !is_there(p.provides)).map(|p| p.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let Some(apt) = run::find("apt-get") else {
        bail!(
            "missing: {list} ({why}), and there is no apt here; install them with this system's package manager"
        );
    };
    let Ok(mut command) = run::as_root(&apt) else {
        bail!("missing: {list} ({why}); as root: apt-get update && apt-get install {list}");
    };
    // A broken source of the machine's own need not be the one that has these packages: installing will tell.
    let _ = update();
    command.args(["install", "-y", "-q", "--no-install-recommends"]).args(&missing);
    run::quiet(command.env("DEBIAN_FRONTEND", "noninteractive"), &format!("apt-get install {list}"), why)?;
    match packages.iter().find(|p| !is_there(p.provides)) {
        Some(p) => bail!("{} is installed, but {} is not there", p.name, p.provides),
        None => Ok(()),
    }
}

/// Fetches the machine's own lists of packages.
pub(crate) fn update() -> Result<()> {
    let Some(apt) = run::find("apt-get") else { bail!("there is no apt here") };
    run::quiet(run::as_root(&apt)?.args(["update", "-q"]), "apt-get update", "the lists of packages")
}

fn is_there(provides: &str) -> bool {
    if provides.starts_with('/') { Path::new(provides).exists() } else { run::find(provides).is_some() }
}
