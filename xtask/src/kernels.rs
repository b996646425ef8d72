//! The kernels of the test matrix: Debian's cloud kernels, fetched once and kept in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::apt;
use crate::setup::archive::Archive;
use crate::{cache, run};

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    Aarch64,
}

impl Arch {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];
    /// That of this machine.
    pub(crate) const OWN: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    /// As Rust and the kernel call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// As Debian calls it.
    pub(crate) const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }
}

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) arch: Arch,
    /// `uname -r`.
    pub(crate) release: String,
    pub(crate) image: PathBuf,
    /// Those of [`MODULES`] that are not built in.
    pub(crate) modules: Vec<PathBuf>,
    /// Those of [`ON_DEMAND`] that are not built in.
    pub(crate) on_demand: Vec<PathBuf>,
}

/// Debian releases to look in for a series, the likeliest first. Their security suites list kernels that their pools no
/// longer have.
fn suites(series: &str) -> &'static [&'static str] {
    match series {
        "5.10" => &["bullseye"],
        "6.1" => &["bookworm"],
        "6.12" => &["trixie"],
        _ => &["trixie-backports", "sid"],
    }
}

/// Socket diagnosis for portwatch; and for the lineup a socket of the kernel's own, which VXLAN opens, a second device, and
/// vsock, whose ports are none of portwatch's. In the order of loading.
const MODULES: [&str; 10] = [
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "udp_tunnel",
    "ip6_udp_tunnel",
    "vxlan",
    "dummy",
    "vsock",
    "vmw_vsock_virtio_transport_common",
    "vsock_loopback",
];

/// SCTP and what it stands on, which has other names from kernel to kernel. A host loads it for whoever asks first, and
/// that may be long after portwatch started; so the machine loads it when a scenario wants it.
const ON_DEMAND: [&str; 3] = ["crc32c_generic", "libcrc32c", "sctp"];

/// Holds the release; written last, so that what lies beside it is whole.
const COMPLETE: &str = "complete";
/// A cached kernel of this age is still used, with a word about it.
const OLD: Duration = Duration::from_secs(30 * DAY);
const DAY: u64 = 24 * 3600;

/// The kernel of a series such as `6.12` or `7.x`, from the cache or else the newest that Debian has, and what it takes
/// to boot it.
pub(crate) fn obtain(arch: Arch, series: &str) -> Result<Kernel> {
    let emulator = if arch == Arch::X86_64 { apt::QEMU_X86 } else { apt::QEMU_ARM };
    apt::install(&[emulator, apt::BUSYBOX], "to boot virtual machines")?;
    let dir = folder(arch, series)?;
    let _lock = cache::lock(&format!("kernel-{}-{series}", arch.name()))?;
    // What an earlier version of this program fetched may lack a module that is wanted by now.
    let looked_for = fs::read_to_string(dir.join("modules")).unwrap_or_default();
    if !dir.join(COMPLETE).is_file() || looked_for != wanted_modules() {
        let (suites, of) = (suites(series), arch.debian());
        // Lists of some days ago may name a package that has been replaced since.
        let first = Archive::open(suites, of).and_then(|archive| replace(&dir, &archive, arch, series));
        first.or_else(|_| replace(&dir, &Archive::open_now(suites, of)?, arch, series))?;
    }
    let release = fs::read_to_string(dir.join(COMPLETE))?;
    let age = fs::metadata(dir.join(COMPLETE))?.modified()?.elapsed().unwrap_or_default();
    if age >= OLD {
        let days = age.as_secs() / DAY;
        eprintln!("  Linux {release} was looked for {days} days ago; --refresh looks for a newer one");
    }
    let present = |names: &[&str]| {
        names.iter().map(|name| dir.join(format!("{name}.ko"))).filter(|path| path.exists()).collect()
    };
    let (modules, on_demand) = (present(&MODULES), present(&ON_DEMAND));
    Ok(Kernel { arch, release, image: dir.join("vmlinuz"), modules, on_demand })
}

/// What a cached kernel was searched for, as its folder says it.
fn wanted_modules() -> String {
    [&MODULES[..], &ON_DEMAND[..]].concat().join("\n")
}

/// Replaces a cached kernel by a newer one of its series, if Debian has one by now.
pub(crate) fn refresh(arch: Arch, series: &str) -> Result<()> {
    let dir = folder(arch, series)?;
    let _lock = cache::lock(&format!("kernel-{}-{series}", arch.name()))?;
    let cached = fs::read_to_string(dir.join(COMPLETE)).unwrap_or_default();
    let archive = Archive::open_now(suites(series), arch.debian())?;
    let newest = newest(&archive, arch, series)?.release;
    if cached == newest {
        eprintln!("  Linux {cached} is the newest of {series}");
        // Looked for once more: its age counts from now.
        fs::write(dir.join(COMPLETE), &newest)?;
        return Ok(());
    }
    replace(&dir, &archive, arch, series)?;
    let before = if cached.is_empty() { "none".to_owned() } else { format!("Linux {cached}") };
    eprintln!("  {series}: Linux {newest}, and {before} before");
    Ok(())
}

fn folder(arch: Arch, series: &str) -> Result<PathBuf> {
    Ok(cache::dir()?.join("kernels").join(arch.name()).join(series))
}

/// Fetches beside the old one, which stays until the new one is complete.
fn replace(dir: &Path, archive: &Archive, arch: Arch, series: &str) -> Result<()> {
    let fresh = dir.with_file_name(format!("{series}.new"));
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh)?;
    fetch(archive, arch, series, &fresh)?;
    let _ = fs::remove_dir_all(dir);
    Ok(fs::rename(&fresh, dir)?)
}

fn fetch(archive: &Archive, arch: Arch, series: &str, dir: &Path) -> Result<()> {
    let package = newest(archive, arch, series)?;
    let tree = dir.join("tree");
    archive.unpack(&package.name, &tree, &format!("a {series} kernel for the tests"))?;
    if let Some(modules) = &package.modules {
        archive.unpack(modules, &tree, "its modules")?;
    }
    let image =
        find(&tree, &|name| name.starts_with("vmlinuz")).context("the kernel package has no image")?;
    fs::rename(&image, dir.join("vmlinuz"))?;
    for name in MODULES.into_iter().chain(ON_DEMAND) {
        if let Some(path) = find(&tree, &|file| file.split('.').next() == Some(name) && file.contains(".ko"))
        {
            unpack_module(&path, &dir.join(format!("{name}.ko")))?;
        }
    }
    fs::remove_dir_all(&tree)?;
    fs::write(dir.join("modules"), wanted_modules())?;
    fs::write(dir.join(COMPLETE), &package.release)?;
    Ok(())
}

struct Package {
    name: String,
    /// Newer kernels have their modules in a package apart.
    modules: Option<String>,
    release: String,
}

/// The newest package with a cloud kernel of the series: unsigned where there is one, since a signature is of no use.
fn newest(archive: &Archive, arch: Arch, series: &str) -> Result<Package> {
    let flavour = format!("-cloud-{}", arch.debian());
    let wanted = series.trim_end_matches('x');
    let wanted = if wanted.ends_with('.') { wanted.to_owned() } else { format!("{wanted}.") };
    let mut found: Vec<Package> = Vec::new();
    for prefix in ["linux-image-", "linux-image-unsigned-", "linux-binary-", "linux-binary-unsigned-"] {
        for name in archive.names(prefix)? {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            let release = rest.strip_suffix("-unsigned").unwrap_or(rest);
            if !release.ends_with(&flavour) || !release.starts_with(&wanted) || rest.contains("dbg") {
                continue;
            }
            let modules = prefix.contains("binary").then(|| format!("linux-modules-{release}"));
            found.push(Package { release: release.to_owned(), modules, name });
        }
    }
    let is_unsigned = |name: &str| name.contains("unsigned");
    found.sort_by_key(|package| (numbers(&package.release), is_unsigned(&package.name)));
    let Some(mut newest) = found.pop() else {
        let suites = suites(series).join(" and ");
        bail!(
            "Debian's {suites} has no cloud kernel {series} for {}; take 5.10, 6.1, 6.12 or 7.x",
            arch.debian()
        );
    };
    if let Some(modules) = &newest.modules
        && !archive.names(modules)?.contains(modules)
    {
        newest.modules = None;
    }
    Ok(newest)
}

/// `6.12.117+deb13-cloud-amd64` → [6, 12, 117, 13, 64]: compares as versions do.
fn numbers(release: &str) -> Vec<u64> {
    release.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

fn find(dir: &Path, wanted: &dyn Fn(&str) -> bool) -> Option<PathBuf> {
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.filter_map(Result::ok) {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if entry.file_name().to_str().is_some_and(wanted) {
                return Some(path);
            }
        }
    }
    None
}

fn unpack_module(from: &Path, to: &Path) -> Result<()> {
    match from.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => {
            apt::install(&[apt::XZ], "to unpack kernel modules")?;
            let output = Command::new("xz").arg("-dc").arg(from).output()?;
            ensure!(output.status.success(), "xz cannot unpack {}", from.display());
            fs::write(to, output.stdout)?;
        }
        Some("zst") => {
            run::output(Command::new("zstd").args(["-q", "-d"]).arg(from).arg("-o").arg(to))?;
        }
        _ => fs::rename(from, to)?,
    }
    Ok(())
}
