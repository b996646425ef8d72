//! Other tools that watch ports, from Debian, for the benchmark's machine: programs with the libraries that they load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::archive::Archive;
use crate::{cache, run};

const SUITE: &str = "bookworm";
const TOOLS: [&str; 2] = ["libbpf-tools", "bpftrace"];
/// Headers of the C library, which the script includes.
const HEADERS: &str = "libc6-dev";
const INCLUDED: &str = "usr/include";
const WHY: &str = "a tool to compare with";
/// Written last: what was fetched, a package and its version a line.
const COMPLETE: &str = "packages";

/// Those that say who connects, listens or binds, and where their package has them.
const PROGRAMS: [&str; 5] = ["tcpconnect", "tcptracer", "tcplife", "tcpstates", "bindsnoop"];
const SCRIPT: &str = "usr/sbin/tcpconnect.bt";
const SCRIPT_RUNNER: &str = "usr/bin/bpftrace";

/// Where libraries are, as the loader looks for them without a cache of its own.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
const LOADER: &str = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";

/// Files of this machine and their places in the other.
type Files = Vec<(PathBuf, String)>;

/// The tools as a machine gets them.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    /// Commands in the machine.
    pub(crate) commands: Vec<String>,
    /// Programs, libraries, headers.
    pub(crate) files: Files,
    /// Packages that they come from, with their versions.
    pub(crate) versions: Vec<String>,
}

/// For an x86-64 machine; the packages are fetched unless they are there.
pub(crate) fn obtain() -> Result<Peers> {
    let folder = cache::dir()?.join("tools/peers-amd64");
    let _lock = cache::lock("peers")?;
    let fetched = || fs::read_to_string(folder.join(COMPLETE)).unwrap_or_default();
    if !TOOLS.iter().chain([&HEADERS]).all(|name| version(&fetched(), name).is_some()) {
        // Lists of some days ago may name a version that has been replaced since.
        Archive::open(&[SUITE], "amd64")
            .and_then(|archive| fetch(&archive, &folder))
            .or_else(|_| fetch(&Archive::open_now(&[SUITE], "amd64")?, &folder))?;
    }
    let versions = TOOLS.iter().filter_map(|name| version(&fetched(), name)).collect();
    let (commands, files) = collect(&folder)?;
    Ok(Peers { commands, files, versions })
}

/// A package with its version, if it was fetched.
fn version(fetched: &str, package: &str) -> Option<String> {
    fetched.lines().find(|line| line.split(' ').next() == Some(package)).map(str::to_owned)
}

fn fetch(archive: &Archive, folder: &Path) -> Result<()> {
    let fresh = folder.with_extension("new");
    let _ = fs::remove_dir_all(&fresh);
    let mut fetched = String::new();
    for (name, version) in archive.with_dependencies(&[&TOOLS[..], &[HEADERS]].concat())? {
        archive.unpack(&name, &fresh, WHY)?;
        fetched.push_str(&format!("{name} {version}\n"));
    }
    fs::write(fresh.join(COMPLETE), fetched)?;
    let _ = fs::remove_dir_all(folder);
    Ok(fs::rename(&fresh, folder)?)
}

/// The commands, and what they take to run.
fn collect(folder: &Path) -> Result<(Vec<String>, Files)> {
    let mut files = vec![(folder.join(LOADER), "lib64/ld-linux-x86-64.so.2".to_owned())];
    let mut commands = Vec::new();
    for name in PROGRAMS {
        let guest = format!("/peers/{name}");
        files.push((folder.join("usr/sbin").join(name), guest.clone()));
        commands.push(guest);
    }
    files.push((folder.join(SCRIPT_RUNNER), "/peers/bpftrace".to_owned()));
    files.push((folder.join(SCRIPT), "/peers/tcpconnect.bt".to_owned()));
    commands.push("/peers/bpftrace /peers/tcpconnect.bt".to_owned());
    let programs: Vec<PathBuf> = files[1..].iter().map(|(host, _)| host.clone()).collect();
    for program in programs.iter().filter(|program| program.extension().is_none()) {
        for library in libraries(folder, program)? {
            let name = library.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let place = format!("{}/{name}", LIBRARIES[0]);
            if !files.iter().any(|(_, guest)| *guest == place) {
                files.push((library, place));
            }
        }
    }
    add_headers(folder, &folder.join(INCLUDED), &mut files)?;
    Ok((commands, files))
}

/// All of them: which ones the script's one header asks for differs by version.
fn add_headers(root: &Path, folder: &Path, files: &mut Files) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            add_headers(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "h") {
            let guest = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.push((path, guest));
        }
    }
    Ok(())
}

/// What the loader would load for a program, by its own word.
fn libraries(folder: &Path, program: &Path) -> Result<Vec<PathBuf>> {
    let path = LIBRARIES.map(|place| folder.join(place).to_string_lossy().into_owned()).join(":");
    let mut list = Command::new(folder.join(LOADER));
    list.args(["--inhibit-cache", "--library-path", &path, "--list"]).arg(program);
    let said = run::output(&mut list).with_context(|| format!("the libraries of {}", program.display()))?;
    let found: Vec<PathBuf> = said.lines().filter_map(library).collect();
    ensure!(
        found.iter().all(|library| library.starts_with(folder)),
        "{} would load a library of this machine: {said}",
        program.display()
    );
    Ok(found)
}

/// `libz.so.1 => /FOLDER/libz.so.1 (0x00007f…)`; the loader itself and what the kernel provides have no arrow.
fn library(line: &str) -> Option<PathBuf> {
    let (_, found) = line.split_once(" => ")?;
    let path = found.trim().split(" (0x").next()?;
    path.starts_with('/').then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::{library, version};

    #[test]
    fn a_version_is_that_of_the_whole_name() {
        let fetched = "libbpf1 1.1\nbpftrace 0.17\n";
        assert_eq!(version(fetched, "bpftrace").as_deref(), Some("bpftrace 0.17"));
        assert_eq!(version(fetched, "libbpf"), None);
    }

    #[test]
    fn a_line_of_the_loader_is_read() {
        assert_eq!(library("\tlibz.so.1 => /a/libz.so.1 (0x00007f12)"), Some("/a/libz.so.1".into()));
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffe)"), None);
        assert_eq!(library("\tlibz.so.1 => not found"), None);
    }
}
