//! The archive of a virtual machine that runs the lineup: /init is the static `lineup`, with portwatch and a shell.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Machine;
use crate::build::Binaries;
use crate::initramfs::Initramfs;
use crate::project;
use crate::setup::apt;

/// Ends a command in `/command`; its words are separated by NUL.
const RECORD_SEPARATOR: u8 = 0x1e;

/// Writes it, for these commands.
pub(super) fn write(machine: &Machine<'_>, binaries: &Binaries, commands: &[Vec<String>]) -> Result<PathBuf> {
    let mut archive = Initramfs::default();
    for folder in folders(machine) {
        archive.folder(&folder);
    }
    archive.copy("init", &binaries.lineup)?;
    archive.copy("bin/portwatch", &binaries.portwatch)?;
    if machine.kernel.arch.name() == std::env::consts::ARCH {
        archive.copy("bin/busybox", Path::new(apt::BUSYBOX.provides))?;
        for applet in
            ["sh", "cat", "ls", "ps", "sleep", "uname", "ip", "kill", "dmesg", "mount", "sysctl", "nc"]
        {
            archive.link(&format!("bin/{applet}"), "busybox");
        }
    }
    add_modules(&mut archive, &machine.kernel.modules, "order")?;
    add_modules(&mut archive, &machine.kernel.on_demand, "on-demand")?;
    for (host, guest) in &machine.files {
        archive.copy(guest, host)?;
    }
    archive.file("command", &commands.iter().flat_map(|command| line(command)).collect::<Vec<_>>());
    let path = place(&machine.kernel.release)?;
    fs::File::create(&path)?.write_all(&archive.finish())?;
    Ok(path)
}

/// The folders of a machine, each before those in it.
fn folders(machine: &Machine<'_>) -> BTreeSet<String> {
    let usual = ["bin", "proc", "sys", "dev", "run", "tmp", "etc", "lib", "lib/modules"];
    let mut folders: BTreeSet<String> = usual.map(str::to_owned).into();
    for (_, guest) in &machine.files {
        let above = Path::new(guest.trim_start_matches('/')).ancestors().skip(1);
        let above = above.filter(|folder| !folder.as_os_str().is_empty());
        folders.extend(above.map(|folder| folder.to_string_lossy().into_owned()));
    }
    folders
}

/// Where an archive may be written; those of runs that were interrupted are removed.
pub(crate) fn place(name: &str) -> Result<PathBuf> {
    let folder = project::target().join("vm");
    fs::create_dir_all(&folder)?;
    sweep(&folder)?;
    Ok(folder.join(format!("{name}-{}.cpio", std::process::id())))
}

/// Modules, and their paths in a list of that name, one a line.
fn add_modules(archive: &mut Initramfs, modules: &[PathBuf], list: &str) -> Result<()> {
    let mut order = String::new();
    for module in modules {
        let name = module.file_name().unwrap_or_default().to_string_lossy();
        archive.copy(&format!("lib/modules/{name}"), module)?;
        order.push_str(&format!("/lib/modules/{name}\n"));
    }
    archive.file(&format!("lib/modules/{list}"), order.as_bytes());
    Ok(())
}

/// Removes what runs left behind that were interrupted: archives whose process is gone.
fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let pid = stem.rsplit_once('-').and_then(|(_, pid)| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Gone already where another machine starts now; what stays costs room only.
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// A command as /init reads it.
fn line(command: &[String]) -> Vec<u8> {
    [command.join("\0").as_bytes(), &[0, RECORD_SEPARATOR]].concat()
}
