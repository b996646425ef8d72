//! One process out of /proc. Names are read as bytes: nothing there is promised to be UTF-8.

use super::cgroup;
use super::patience::Patient;
use crate::correlate::{ProcessId, ProcessInfo};
use crate::text;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Arguments are cut here: thousands of processes are remembered, and a class path says no more after this much of it.
const ARGUMENTS_BYTES: usize = 4_096;
/// How long a process may take to show its arguments. They are read from its own memory, and one that keeps the memory
/// from being read (by userfaultfd, or in a file system of its own) would keep portwatch with it.
const PATIENCE: Duration = Duration::from_millis(100);

thread_local! {
    static ARGUMENTS: RefCell<Patient<PathBuf, Vec<u8>>> = RefCell::new(Patient::new(cmdline, PATIENCE));
}

/// Everything that is shown of a process; `None` if there is none of that pid, or if the pid was reused while it was read.
pub(super) fn read(proc: &Path, pid: u32) -> Option<ProcessInfo> {
    let before = identity(proc, pid)?;
    let dir = proc.join(pid.to_string());
    let mut comm = fs::read(dir.join("comm")).ok()?;
    if comm.last() == Some(&b'\n') {
        comm.pop();
    }
    let exe = fs::read_link(dir.join("exe")).ok().map(|path| text::lossy(path.as_os_str().as_bytes()));
    let arguments = arguments(&dir);
    let uid = fs::read(dir.join("status")).ok().and_then(|status| effective_uid(&status));
    let groups = fs::read(dir.join("cgroup")).ok().map(|bytes| text::lossy(&bytes));
    let cgroup = groups.as_deref().and_then(cgroup::pick).map(str::to_owned);
    // The same process before and after: all of the above is its own.
    let id = identity(proc, pid).filter(|after| *after == before)?;
    Some(ProcessInfo { id, comm, exe, arguments, uid, cgroup })
}

/// Whether anybody has the pid, also where /proc does not show them.
pub(super) fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Who has the pid now.
pub(super) fn identity(proc: &Path, pid: u32) -> Option<ProcessId> {
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    Some(ProcessId { tgid: pid, start_ticks: start_ticks(&stat)? })
}

/// Whether the process still runs. One that has exited keeps its pid until its parent takes note; but if only its
/// first thread has ended, the others go on.
pub(super) fn is_alive(proc: &Path, id: ProcessId) -> bool {
    let Ok(stat) = fs::read(proc.join(id.tgid.to_string()).join("stat")) else { return false };
    let has_exited = matches!(field(&stat, 3), Some("Z" | "X")) && field(&stat, 20) == Some("1");
    start_ticks(&stat) == Some(id.start_ticks) && !has_exited
}

fn start_ticks(stat: &[u8]) -> Option<u64> {
    field(stat, 22)?.parse().ok()
}

/// A field of `stat` behind the name. That is field 2 and may hold blanks and parentheses: count from the last one.
fn field(stat: &[u8], number: usize) -> Option<&str> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(number.checked_sub(3)?)
}

fn arguments(dir: &Path) -> Vec<String> {
    let bytes = ARGUMENTS.with_borrow_mut(|patient| patient.ask(dir.join("cmdline"))).unwrap_or_default();
    if bytes.is_empty() { Vec::new() } else { split(&bytes) }
}

/// One byte more than is shown, so that a cut is noticed.
fn cmdline(path: PathBuf) -> Vec<u8> {
    let mut bytes = Vec::new();
    let limit = ARGUMENTS_BYTES as u64 + 1;
    let read = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if read.is_ok() { bytes } else { Vec::new() }
}

/// NUL-separated arguments; a cut is shown by an ellipsis.
fn split(bytes: &[u8]) -> Vec<String> {
    let kept = &bytes[..bytes.len().min(ARGUMENTS_BYTES)];
    let kept = kept.strip_suffix(&[0]).unwrap_or(kept);
    let mut arguments: Vec<_> = kept.split(|&byte| byte == 0).map(text::lossy).collect();
    if bytes.len() > ARGUMENTS_BYTES
        && let Some(last) = arguments.last_mut()
    {
        last.push('…');
    }
    arguments
}

/// The second number after `Uid:`.
fn effective_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = |comm: &str| {
            let fields: Vec<_> = (4..=52).map(|field| field.to_string()).collect();
            format!("77 ({comm}) S {}", fields.join(" ")).into_bytes()
        };
        for comm in ["nginx", "a b", ") S 1 2 (", "(((", "\u{1b}[2J"] {
            assert_eq!(start_ticks(&stat(comm)), Some(22), "{comm:?}");
        }
        assert_eq!(start_ticks(b""), None);
        assert_eq!(start_ticks(b"77 (x) S 1"), None);
    }

    #[test]
    fn the_effective_uid_is_the_second() {
        assert_eq!(effective_uid(b"Name:\tUid:\nUid:\t0\t33\t1\t2\n"), Some(33));
        assert_eq!(effective_uid(b"Name:\tx\n"), None);
    }

    #[test]
    fn arguments_are_split_and_cut() {
        assert_eq!(split(b"a\0two words\0\0"), ["a", "two words", ""]);
        assert_eq!(split(b"a"), ["a"]);
        let long = split(&[b'x'; ARGUMENTS_BYTES + 1]);
        assert!(long.len() == 1 && long[0].ends_with("x…"));
    }

    #[test]
    fn this_very_process_is_read() {
        let me = read(Path::new("/proc"), std::process::id()).expect("this process");
        assert_eq!(identity(Path::new("/proc"), me.id.tgid), Some(me.id));
        assert!(me.exe.is_some() && !me.arguments.is_empty() && me.uid.is_some());
        assert_eq!(read(Path::new("/proc"), u32::MAX), None);
        assert!(is_alive(Path::new("/proc"), me.id));
        assert!(!is_alive(Path::new("/proc"), ProcessId { start_ticks: me.id.start_ticks + 1, ..me.id }));
    }

    #[test]
    fn one_that_waits_for_its_parent_is_not_alive() {
        let mut shell = std::process::Command::new("/bin/sh");
        let mut child =
            shell.args(["-c", "read x"]).stdin(std::process::Stdio::piped()).spawn().expect("a shell");
        let proc = Path::new("/proc");
        let id = identity(proc, child.id()).expect("it runs");
        assert!(is_alive(proc, id));
        drop(child.stdin.take());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while is_alive(proc, id) {
            assert!(std::time::Instant::now() < deadline, "it ended");
            std::thread::yield_now();
        }
        assert_eq!(identity(proc, id.tgid), Some(id), "it is still in /proc");
        child.wait().expect("a child");
    }

    #[test]
    fn a_program_that_became_another_is_read_as_the_other() {
        let script = "read x; exec sleep 1000";
        let mut shell = std::process::Command::new("/bin/sh");
        let mut child =
            shell.args(["-c", script]).stdin(std::process::Stdio::piped()).spawn().expect("a shell");
        let proc = Path::new("/proc");
        let before = read(proc, child.id()).expect("it runs");
        drop(child.stdin.take());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let after = loop {
            let now = read(proc, child.id()).expect("it runs");
            if now.comm == b"sleep" && now.arguments == ["sleep", "1000"] {
                break now;
            }
            assert!(std::time::Instant::now() < deadline, "{now:?}");
        };
        assert_eq!((after.id, before.id == after.id), (before.id, true));
        assert_ne!(after.exe, before.exe);
        child.kill().and_then(|()| child.wait()).expect("a child");
    }
}
