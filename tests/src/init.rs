//! Process 1 of a virtual machine: mounts, loads modules, runs commands one after the other, says how each ended,
//! switches off.
//!
//! What the host puts into the initramfs: `/command` (an argv separated by NUL, or several, each with a record separator
//! at its end) and, if there are modules to load, `/lib/modules/order` (a path a line); those in `/lib/modules/on-demand`
//! wait until a scenario wants them. What it gets: a line that says we are up, then each command's output and, after it,
//! the marker line.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};
use rustix::process::{WaitOptions, WaitStatus, wait};
use rustix::system::{RebootCommand, finit_module, reboot};

use crate::netns;

/// Ends each of several commands.
const RECORD_SEPARATOR: u8 = 0x1e;

/// Said first: a kernel that dies before died without our doing.
const UP: &str = "PORTWATCH-VM-UP";

/// The host knows by this line that a command has ended, and how.
const MARKER: &str = "PORTWATCH-VM-EXIT";

/// What the host wants run, as an argv separated by NUL.
const COMMAND: &str = "/command";

/// Modules that wait until a scenario wants them.
const ON_DEMAND: &str = "/lib/modules/on-demand";

/// Exit code for "the command could not even be started", as shells have it.
const CANNOT_RUN: i32 = 127;

/// File system and where it goes, in an order in which each finds its mount point.
const MOUNTS: [(&CStr, &CStr); 9] = [
    (c"proc", c"/proc"),
    (c"sysfs", c"/sys"),
    (c"devtmpfs", c"/dev"),
    (c"tmpfs", c"/run"),
    (c"tmpfs", c"/tmp"),
    (c"tracefs", c"/sys/kernel/tracing"),
    (c"debugfs", c"/sys/kernel/debug"),
    (c"bpf", c"/sys/fs/bpf"),
    (c"cgroup2", c"/sys/fs/cgroup"),
];

/// Whether the kernel of a virtual machine has just started this process. Being number 1 says nothing: so is the first
/// of every pid namespace and container, and that must mount nothing over anybody's folders and switch nothing off. For
/// it /proc is there already, in a machine of ours too; and only our own initramfs has the command.
pub(crate) fn is_machine() -> bool {
    std::process::id() == 1 && !Path::new("/proc/self").exists() && Path::new(COMMAND).exists()
}

/// Does everything and never returns.
pub(crate) fn main() -> ! {
    // The firmware leaves the console in the middle of a line.
    println!("\n{UP}");
    mount_all();
    complain_if(netns::loopback_up());
    complain_if(load_modules("/lib/modules/order"));
    for command in commands() {
        let code = run_command(&command).unwrap_or_else(|error| {
            eprintln!("init: {error:#}");
            CANNOT_RUN
        });
        // The command's last line may have no end of its own.
        println!("\n{MARKER} {code}");
    }
    complain_if(io::stdout().flush());
    complain_if(rustix::termios::tcdrain(io::stdout()));
    complain_if(reboot(RebootCommand::PowerOff));
    complain_if(reboot(RebootCommand::Restart));
    loop {
        // Process 1 must not end, or the kernel panics over the marker line.
        std::thread::park();
    }
}

/// Nothing here is fatal: a kernel that lacks a file system is told about, and the command may do without.
fn complain_if<T, E: Into<anyhow::Error>>(result: Result<T, E>) {
    if let Err(error) = result {
        eprintln!("init: {:#}", error.into());
    }
}

fn mount_all() {
    for (kind, target) in MOUNTS {
        // Mount points below /sys belong to the kernel: what it does not offer cannot be made.
        let _ = fs::create_dir_all(OsStr::from_bytes(target.to_bytes()));
        let mounted = mount(kind, target, kind, MountFlags::empty(), None);
        complain_if(mounted.with_context(|| format!("mounting {kind:?} on {target:?}")));
    }
}

/// Whether this is a machine of ours, whose modules may be loaded.
pub(crate) fn has_machine() -> bool {
    Path::new(COMMAND).exists() && Path::new(ON_DEMAND).exists()
}

/// Loads what waited for somebody to want it.
pub(crate) fn load_on_demand() {
    complain_if(load_modules(ON_DEMAND));
}

fn load_modules(list: &str) -> Result<()> {
    let paths = match fs::read_to_string(list) {
        Ok(paths) => paths,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("reading {list}")),
    };
    for path in paths.lines().map(str::trim).filter(|path| !path.is_empty()) {
        let loaded = File::open(path)
            .and_then(|file| finit_module(file, c"", 0).map_err(io::Error::from))
            .with_context(|| format!("loading the module {path}"));
        complain_if(loaded);
    }
    Ok(())
}

fn commands() -> Vec<Vec<u8>> {
    let bytes = fs::read(COMMAND).unwrap_or_default();
    let whole = bytes.strip_suffix(&[RECORD_SEPARATOR]).unwrap_or(&bytes);
    whole.split(|&byte| byte == RECORD_SEPARATOR).map(<[u8]>::to_vec).collect()
}

/// Runs a command and reaps everybody who ends before it.
fn run_command(line: &[u8]) -> Result<i32> {
    let words = argv(line);
    let (program, arguments) = words.split_first().context("the command is empty: it must be an argv")?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/bin")
        .spawn()
        .with_context(|| format!("starting {program:?}"))?;
    loop {
        let ended = wait(WaitOptions::empty()).context("waiting for the command")?;
        if let Some((pid, status)) = ended
            && pid.as_raw_pid().cast_unsigned() == child.id()
        {
            return Ok(exit_code(status));
        }
    }
}

/// Splits a NUL-separated argv; a NUL at the end closes the last word.
fn argv(line: &[u8]) -> Vec<&OsStr> {
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    if line.is_empty() {
        return Vec::new();
    }
    line.split(|&byte| byte == 0).map(OsStr::from_bytes).collect()
}

/// As shells have it: 128 and more for a signal.
fn exit_code(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(CANNOT_RUN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv_is_split_at_nul_only() {
        assert_eq!(argv(b"/init\0run\0--only\0a b\0"), ["/init", "run", "--only", "a b"]);
        assert_eq!(argv(b"/bin/sh"), ["/bin/sh"]);
        assert_eq!(argv(b"sh\0-c\0\0"), ["sh", "-c", ""]);
        assert!(argv(b"").is_empty());
    }
}
