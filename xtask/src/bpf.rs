//! `cargo xtask bpf`: builds the committed kernel-side objects, or proves that they come from this source.
//!
//! portwatch's own object differs by architecture. That of the benchmark, of empty programs, serves only x86-64 machines.

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

/// An object that is committed.
struct Object {
    /// Where it lies in the repository.
    path: String,
    /// The program of portwatch-ebpf that it is.
    bin: &'static str,
}

/// Those that are built for an architecture.
fn objects(arch: Arch) -> Vec<Object> {
    let own = Object { path: format!("portwatch/bpf/portwatch.{}.o", arch.name()), bin: "portwatch" };
    let floor = Object { path: "tests/bpf/floor.o".to_owned(), bin: "floor" };
    if arch == Arch::X86_64 { vec![own, floor] } else { vec![own] }
}

/// Compares the committed objects with what the source gives.
pub(crate) fn check() -> Result<()> {
    for arch in Arch::ALL {
        for (Object { path, .. }, built) in build(arch)? {
            let present =
                fs::read(project::root().join(&path)).with_context(|| format!("cannot read {path}"))?;
            if present != built {
                bail!(
                    "{path} is not what the source gives ({} bytes committed, {} built).\n  The kernel side, its \
                     dependencies or the compiler have changed: cargo xtask bpf, and commit the objects with the change",
                    present.len(),
                    built.len()
                );
            }
            println!("{path} is what the source gives, byte for byte");
        }
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
        for (Object { path, .. }, bytes) in build(arch)? {
            let file = project::root().join(&path);
            let is_same = fs::read(&file).is_ok_and(|present| present == bytes);
            if !is_same {
                fs::write(&file, &bytes)?;
            }
            println!("{path}: {} bytes{}", bytes.len(), if is_same { ", unchanged" } else { ", written" });
        }
    }
    Ok(())
}

/// Builds and strips the objects; returns their bytes.
fn build(arch: Arch) -> Result<Vec<(Object, Vec<u8>)>> {
    apt::install(&[apt::STRIP], "to strip the kernel-side object, always by the same version")?;
    let what = format!("kernel side for {}", arch.name());
    run::quiet(&mut cargo("build", arch)?, &what, "with stable Rust, -Z build-std=core and bpf-linker")?;
    let folder = target_dir(arch).join(TARGET).join("release");
    let strip = run::find(apt::STRIP.provides).context("llvm-strip-14 is gone")?;
    let stripped = |object: Object| -> Result<(Object, Vec<u8>)> {
        let to = folder.join(object.bin).with_extension("stripped");
        // Debug sections go; .BTF and .BTF.ext, which the kernel reads, stay.
        run::output(Command::new(&strip).arg("-g").arg("-o").arg(&to).arg(folder.join(object.bin)))?;
        Ok((object, fs::read(to)?))
    };
    objects(arch).into_iter().map(stripped).collect()
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
    // What somebody sets to build faster would change the bytes.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PROFILE_")) {
        command.env_remove(name);
    }
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
