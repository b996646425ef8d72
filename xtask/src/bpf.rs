//! `cargo xtask bpf`: builds the committed kernel-side objects, or proves that they come from this source.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, iter};

use anyhow::{Context as _, Result, bail};

use crate::kernels::Arch;
use crate::setup::{apt, bpf_linker, rust_src};
use crate::{project, run, rustc_wrapper};

const TARGET: &str = "bpfel-unknown-none";

/// Build the kernel-side objects that are committed and built into portwatch
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Change nothing: build again and compare byte for byte
    #[arg(long)]
    check: bool,
    /// Change nothing: look at the kernel side with clippy
    #[arg(long, conflicts_with = "check")]
    clippy: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args {
        Args { check: true, .. } => check(),
        Args { clippy: true, .. } => clippy(),
        Args { .. } => write(),
    }
}

/// Compares the committed objects with what the source gives.
pub(crate) fn check() -> Result<()> {
    for arch in Arch::ALL {
        let built = build(arch)?;
        let path = committed(arch);
        let present = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if present != built {
            bail!(
                "{} is not what the source gives ({} bytes committed, {} built).\n  The kernel side, its dependencies or \
                 the compiler have changed: cargo xtask bpf, and commit the objects with the change",
                path.display(),
                present.len(),
                built.len()
            );
        }
        println!("{} is what the source gives, byte for byte", name(arch));
    }
    Ok(())
}

/// Runs clippy over the kernel side, warnings being errors.
pub(crate) fn clippy() -> Result<()> {
    let mut command = cargo("clippy", Arch::X86_64)?;
    command.args(["--", "-D", "warnings"]);
    run::quiet(&mut command, "clippy, kernel side", "the project's lints on portwatch-ebpf")
}

fn write() -> Result<()> {
    for arch in Arch::ALL {
        let object = build(arch)?;
        let path = committed(arch);
        let is_same = fs::read(&path).is_ok_and(|present| present == object);
        if !is_same {
            fs::write(&path, &object)?;
        }
        println!(
            "{}: {} bytes{}",
            name(arch),
            object.len(),
            if is_same { ", unchanged" } else { ", written" }
        );
    }
    Ok(())
}

fn name(arch: Arch) -> String {
    format!("portwatch/bpf/portwatch.{}.o", arch.name())
}

fn committed(arch: Arch) -> PathBuf {
    project::root().join(name(arch))
}

/// Builds and strips the object; returns its bytes.
fn build(arch: Arch) -> Result<Vec<u8>> {
    apt::install(&[apt::STRIP], "to strip the kernel-side object, always by the same version")?;
    let what = format!("kernel side for {}", arch.name());
    run::quiet(&mut cargo("build", arch)?, &what, "with stable Rust, -Z build-std=core and bpf-linker")?;
    let folder = target_dir(arch).join(TARGET).join("release");
    let stripped = folder.join("portwatch.stripped");
    let strip = run::find(apt::STRIP.provides).context("llvm-strip-14 is gone")?;
    // Debug sections go; .BTF and .BTF.ext, which the kernel reads, stay.
    run::output(Command::new(strip).arg("-g").arg("-o").arg(&stripped).arg(folder.join("portwatch")))?;
    Ok(fs::read(stripped)?)
}

fn target_dir(arch: Arch) -> PathBuf {
    project::target().join("bpf").join(arch.name())
}

/// cargo for the kernel side, with every setting that the bytes depend on.
fn cargo(subcommand: &str, arch: Arch) -> Result<Command> {
    let source = rust_src::obtain()?;
    let mut command = Command::new(project::cargo());
    command
        .current_dir(project::root())
        .args([subcommand, "--package", "portwatch-ebpf", "--release", "--locked"])
        .args(["--target", TARGET, "-Z", "build-std=core", "--target-dir"])
        .arg(target_dir(arch))
        // Stable Rust with the unstable -Z build-std: the compiler stays the pinned one.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(arch, &source)?)
        .env_remove("RUSTFLAGS");
    source.apply(&mut command);
    rustc_wrapper::install(&mut command)?;
    let linker = bpf_linker::folder()?;
    let path = env::var_os("PATH").unwrap_or_default();
    command.env("PATH", env::join_paths(iter::once(linker).chain(env::split_paths(&path)))?);
    Ok(command)
}

/// Paths of this machine stand in the line information: without the renaming no two machines build the same bytes.
fn flags(arch: Arch, source: &rust_src::Source) -> Result<OsString> {
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let renamed = |from: PathBuf, to: &str| {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push(format!("={to}"));
        flag
    };
    let mut flags: Vec<OsString> = vec![
        format!("--cfg=bpf_target_arch=\"{}\"", arch.name()).into(),
        r#"--check-cfg=cfg(bpf_target_arch, values("x86_64", "aarch64"))"#.into(),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // The last match wins.
        renamed(cargo_home.clone(), "cargo"),
        renamed(project::root(), "portwatch"),
        renamed(rust_src::sysroot()?, "rust"),
        renamed(source.root.clone(), "rust/lib/rustlib/src/rust"),
    ];
    flags.extend(registries(&cargo_home).into_iter().map(|folder| renamed(folder, "registry")));
    Ok(flags.join(&OsString::from("\u{1f}")))
}

/// The folders of downloaded crates: their names have a hash of the registry's address in them, which differs by setup.
fn registries(cargo_home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cargo_home.join("registry/src"));
    entries.into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect()
}
