//! Socket inode → the processes that have it open, by reading the descriptors in /proc.
//!
//! Where to look first is known nearly always, and then a single process is read. Only for the sockets that are not
//! there, or that others may have too, are all processes read, once for all of them.

use super::process;
use crate::correlate::{ProcessId, ProcessInfo, SocketHolders, Wanted};
use crate::model::UnnamedReason;
use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat_raw};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::mem::MaybeUninit;
use std::path::Path;

/// Room for `socket:[18446744073709551615]`; whatever is cut is no socket.
const LINK_BYTES: usize = 40;

/// Descriptors of the recorded process that are looked through. A proxy has a hundred thousand, each of which takes
/// microseconds; if none of so many is the socket, and it still runs, the record is believed.
const RECORDED: usize = 4_096;
/// Descriptors of every other process, where somebody who has the socket is known already: what a worker shares with others
/// it has had from its beginning, so that it comes first.
const SHARED: usize = 512;

/// Answers every question, in order.
pub(super) fn holders(proc: &Path, wanted: &[Wanted]) -> Vec<SocketHolders> {
    let mut found = look_at_hints(proc, wanted);
    let is_open = |want: &&Wanted| want.sharers || !found.contains_key(&want.inode);
    let missing: HashSet<u64> = wanted.iter().filter(is_open).map(|want| want.inode).collect();
    let denied = !missing.is_empty() && scan(proc, &missing, &mut found);
    let blind = denied.then_some(UnnamedReason::NoPermission);
    let answer = |want: &Wanted| match found.get(&want.inode) {
        Some(processes) => SocketHolders { processes: processes.clone(), blind: None },
        None => SocketHolders { processes: Vec::new(), blind },
    };
    wanted.iter().map(answer).collect()
}

/// Looks at the processes that are said to have the sockets: at each once, however many it has.
fn look_at_hints(proc: &Path, wanted: &[Wanted]) -> HashMap<u64, Vec<ProcessInfo>> {
    let mut hints: BTreeMap<ProcessId, HashSet<u64>> = BTreeMap::new();
    for want in wanted {
        if let Some(hint) = want.hint {
            hints.entry(hint).or_default().insert(want.inode);
        }
    }
    let mut found = HashMap::new();
    for (hint, inodes) in hints {
        if process::identity(proc, hint.tgid) == Some(hint)
            && let Ok(seen) = open_sockets(proc, hint.tgid, &inodes, RECORDED)
            && let its = if seen.is_cut { inodes } else { seen.sockets }
            && !its.is_empty()
            && let Some(info) = process::read(proc, hint.tgid)
            && info.id == hint
        {
            for inode in its {
                found.entry(inode).or_insert_with(|| vec![info.clone()]);
            }
        }
    }
    found
}

/// Reads the descriptors of every process. True if some could not be read.
fn scan(proc: &Path, missing: &HashSet<u64>, found: &mut HashMap<u64, Vec<ProcessInfo>>) -> bool {
    let mut denied = false;
    let most = if missing.iter().all(|inode| found.contains_key(inode)) { SHARED } else { usize::MAX };
    for pid in pids(proc) {
        match open_sockets(proc, pid, missing, most) {
            Ok(Seen { sockets, .. }) if sockets.is_empty() => {}
            Ok(_) => {
                let Some((info, sockets)) = owner(proc, pid, missing, most) else { continue };
                for inode in sockets {
                    let known = found.entry(inode).or_default();
                    if !known.iter().any(|known| known.id == info.id) {
                        known.push(info.clone());
                    }
                }
            }
            Err(Errno::ACCESS | Errno::PERM) => denied = true,
            Err(_) => {} // exited meanwhile
        }
    }
    for processes in found.values_mut() {
        processes.sort_by_key(|info| (info.id.start_ticks, info.id.tgid));
    }
    denied
}

/// A process that has some of the sockets, and which. All of it is read of one process, even if the pid is being reused.
fn owner(proc: &Path, pid: u32, missing: &HashSet<u64>, most: usize) -> Option<(ProcessInfo, HashSet<u64>)> {
    let id = process::identity(proc, pid)?;
    let Seen { sockets, .. } = open_sockets(proc, pid, missing, most).ok()?;
    let info = process::read(proc, pid).filter(|info| info.id == id)?;
    Some((info, sockets))
}

fn pids(proc: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(proc) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// All sockets that a process has open; none if that cannot be seen.
pub(super) fn sockets(proc: &Path, pid: u32) -> HashSet<u64> {
    let mut found = HashSet::new();
    // What was found before a failure is open all the same.
    let _ = each_socket(proc, pid, usize::MAX, |inode| {
        found.insert(inode);
        true
    });
    found
}

/// What was seen of a process's descriptors.
struct Seen {
    /// The wanted sockets among them.
    sockets: HashSet<u64>,
    /// There are more.
    is_cut: bool,
}

/// Which of the wanted sockets are among the first `most` descriptors of a process.
fn open_sockets(proc: &Path, pid: u32, wanted: &HashSet<u64>, most: usize) -> Result<Seen, Errno> {
    let mut sockets = HashSet::new();
    let is_cut = each_socket(proc, pid, most, |inode| {
        if wanted.contains(&inode) {
            sockets.insert(inode);
        }
        sockets.len() < wanted.len()
    })?;
    Ok(Seen { sockets, is_cut })
}

/// Calls `meet` with the inode of every socket among the first `most` descriptors of a process, until that returns false;
/// whether there are more.
fn each_socket(proc: &Path, pid: u32, most: usize, mut meet: impl FnMut(u64) -> bool) -> Result<bool, Errno> {
    let path = proc.join(pid.to_string()).join("fd");
    let dir = openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // Its own two names come first.
    for (number, entry) in Dir::read_from(&dir)?.enumerate() {
        let entry = entry?;
        if number.saturating_sub(2) >= most {
            return Ok(true);
        }
        let mut buffer = [MaybeUninit::uninit(); LINK_BYTES];
        let Ok((target, _)) = readlinkat_raw(&dir, entry.file_name(), &mut buffer) else { continue };
        if socket_inode(target).is_some_and(|inode| !meet(inode)) {
            break;
        }
    }
    Ok(false)
}

fn socket_inode(link: &[u8]) -> Option<u64> {
    let number = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::MetadataExt as _;

    fn inode_of(listener: &TcpListener) -> u64 {
        std::fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd())).expect("an open socket").ino()
    }

    #[test]
    fn links_are_sockets_or_not() {
        assert_eq!(socket_inode(b"socket:[4711]"), Some(4711));
        assert_eq!(socket_inode(b"socket:[x]"), None);
        assert_eq!(socket_inode(b"/run/socket:[1]"), None);
        assert_eq!(socket_inode(b"socket:[1"), None);
    }

    #[test]
    fn only_so_many_descriptors_are_looked_through() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (proc, me, wanted) =
            (Path::new("/proc"), std::process::id(), HashSet::from([inode_of(&listener)]));
        let all = open_sockets(proc, me, &wanted, usize::MAX).expect("our own");
        assert_eq!((&all.sockets, all.is_cut), (&wanted, false));
        // Standard input is none, and comes first.
        let none = open_sockets(proc, me, &wanted, 1).expect("our own");
        assert!(none.sockets.is_empty() && none.is_cut);
    }

    #[test]
    fn an_open_socket_is_found_with_and_without_a_hint() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proc = Path::new("/proc");
        let me = process::identity(proc, std::process::id());
        let inode = inode_of(&listener);
        for (hint, sharers) in [(me, false), (me, true), (None, false)] {
            let answers =
                holders(proc, &[Wanted { inode, hint, sharers }, Wanted { inode: u64::MAX, hint, sharers }]);
            let found = answers[0].processes.iter().filter(|info| Some(info.id) == me).count();
            assert_eq!(found, 1, "{hint:?} {sharers}");
            assert!(answers[1].processes.is_empty());
        }
        drop(listener);
        assert!(holders(proc, &[Wanted { inode, hint: me, sharers: true }])[0].processes.is_empty());
    }
}
