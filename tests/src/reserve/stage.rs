//! The stage of `lineup reserve`: namespaces of its own for network, mounts and pids, so that the host's settings and
//! `/etc` are never touched, and the program seen from there.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use serde_json::Value;

use crate::netns::loopback_up;

/// Tells the second instance that the stage is set around it.
pub(super) const INSIDE: &str = "LINEUP_RESERVE_INSIDE";
pub(super) const SETTING: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
pub(super) const FOLDER: &str = "/etc/sysctl.d";
pub(super) const FILE: &str = "/etc/sysctl.d/60-portwatch.conf";
pub(super) const KEY: &str = "net.ipv4.ip_local_reserved_ports";

/// What the program said, and how it ended.
pub(super) struct Said {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Said {
    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out).with_context(|| format!("no JSON: {} {}", self.out, self.err))
    }
}

/// The program, on the stage.
pub(super) struct Stage {
    pub(super) program: PathBuf,
    pub(super) rounds: u16,
}

impl Stage {
    /// Runs it and waits. A command line of blanks and words.
    pub(super) fn run(&self, line: &str) -> Result<Said> {
        let output = self.command(line).output().context("starting portwatch")?;
        let text = |bytes| String::from_utf8(bytes).context("not UTF-8");
        let said = Said { code: output.status.code(), out: text(output.stdout)?, err: text(output.stderr)? };
        ensure!(output.status.signal().is_none(), "{line}: {}", output.status);
        Ok(said)
    }

    /// Runs it; it must end with this code, and have an object to say.
    pub(super) fn json(&self, line: &str, code: i32) -> Result<Value> {
        let said = self.run(&format!("{line} -o json"))?;
        ensure!(
            said.code == Some(code),
            "{line}: code {:?}, not {code}: {} {}",
            said.code,
            said.out,
            said.err
        );
        let value = said.json()?;
        ensure!(value["schema"] == 1, "{line}: no schema: {value}");
        Ok(value)
    }

    pub(super) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(line.split_whitespace()).stdin(Stdio::null()).env("NO_COLOR", "1");
        command
    }
}

/// What the kernel has, in one read.
pub(super) fn list() -> Result<String> {
    let mut text = vec![0; 512 * 1024];
    let length = File::open(SETTING)?.read(&mut text)?;
    Ok(String::from_utf8(text[..length].to_vec())?.trim().to_owned())
}

/// Sets it as another tool would, which replaces all.
pub(super) fn set(list: &str) -> Result<()> {
    fs::write(SETTING, format!("{list}\n")).with_context(|| format!("writing {SETTING}"))
}

/// Begins anew: an empty list, no files, no memory.
pub(super) fn clean() -> Result<()> {
    set("")?;
    for folder in [FOLDER, "/run/portwatch-reserve"] {
        if Path::new(folder).exists() {
            fs::remove_dir_all(folder).with_context(|| format!("removing {folder}"))?;
        }
    }
    fs::create_dir(FOLDER).context("making the folder for sysctl files")
}

pub(super) fn put(name: &str, text: &str) -> Result<()> {
    let path = Path::new(FOLDER).join(name);
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
}

/// Something else over a folder, empty: `size=…`, or read-only.
pub(super) fn cover(path: &str, flags: MountFlags, data: Option<&CStr>) -> Result<()> {
    mount("tmpfs", path, "tmpfs", flags, data).with_context(|| format!("mounting over {path}"))
}

pub(super) fn uncover(path: &str) -> Result<()> {
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH)
        .with_context(|| format!("unmounting {path}"))
}

/// Starts this program again as process 1 of a pid namespace: the file for boot is that of process 1's network namespace.
pub(super) fn start_inside() -> Result<ExitStatus> {
    leave(UnshareFlags::NEWPID)?;
    let own = std::env::current_exe().context("finding this program")?;
    let mut command = Command::new(own);
    command.args(std::env::args_os().skip(1)).env(INSIDE, "1");
    command.status().context("starting the stage")
}

fn leave(namespaces: UnshareFlags) -> Result<()> {
    // SAFETY: none of the namespaces asked for here touches the descriptor table, which is what makes other flags unsafe.
    unsafe { unshare_unsafe(namespaces) }.context("making namespaces (this needs root: sudo lineup ...)")
}

/// Leaves the host's network and covers what must be another's than the host's.
pub(super) fn set_up() -> Result<()> {
    leave(UnshareFlags::NEWNET | UnshareFlags::NEWNS)?;
    // On a ramfs root, as in a virtual machine, there is nothing to keep from spreading.
    let _ = mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
    fs::create_dir_all("/etc").context("making /etc")?;
    for folder in ["/run", "/etc", "/usr/lib/sysctl.d", "/usr/local/lib/sysctl.d", "/lib/sysctl.d"] {
        if Path::new(folder).exists() {
            cover(folder, MountFlags::empty(), Some(c"mode=755"))?;
        }
    }
    loopback_up()
}

/// The processes of the new pid namespace, process 1 first.
pub(super) fn mount_proc() -> Result<()> {
    mount("proc", "/proc", "proc", MountFlags::empty(), None).context("mounting /proc")
}
