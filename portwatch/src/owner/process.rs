//! One process out of /proc. Names are read as bytes: nothing there is promised to be UTF-8.

use super::cgroup;
use crate::correlate::{ProcessId, ProcessInfo};
use crate::text;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Arguments are cut here: thousands of processes are remembered, and a class path says no more after this much of it.
const ARGUMENTS_BYTES: usize = 1_024;

/// Everything that is shown of a process; `None` if there is none of that pid.
pub(super) fn read(proc: &Path, pid: u32) -> Option<ProcessInfo> {
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
    // Last, so that it vouches for all of the above: until now the pid was nobody else's.
    let id = identity(proc, pid)?;
    Some(ProcessInfo { id, comm, exe, arguments, uid, cgroup })
}

/// Who has the pid now.
pub(super) fn identity(proc: &Path, pid: u32) -> Option<ProcessId> {
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    Some(ProcessId { tgid: pid, start_ticks: start_ticks(&stat)? })
}

/// Field 22 of `stat`. The name in field 2 may hold blanks and parentheses: count from the last one.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn arguments(dir: &Path) -> Vec<String> {
    let mut bytes = Vec::new();
    let limit = ARGUMENTS_BYTES as u64 + 1;
    let read = File::open(dir.join("cmdline")).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if read.is_err() || bytes.is_empty() {
        return Vec::new();
    }
    split(&bytes)
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
    }
}
