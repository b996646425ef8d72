//! Reading while an agent writes, after it has stopped, and after `kill -9`; as another user too.

use super::support::{Folder, KEEP, PART, count, example, numbered, part, told, wait_for, written};
use portwatch::store::{Counts, Query, Reader, StoreError, Writer, run};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Alone: an agent's whole life. As another process of the tests below: an agent that never ends.
#[test]
fn everything_told_is_written_when_the_agent_stops() {
    if let Some(path) = std::env::var_os(PART) {
        agent_without_end(path.into());
    }
    let (sender, receiver) = mpsc::channel();
    let counts = Arc::new(Counts::default());
    let folder = Folder::new();
    (0..1_000).for_each(|number| sender.send(told(numbered(number))).expect("a receiver"));
    let mut grown = numbered(7);
    grown.count = 40;
    sender.send(told(grown)).expect("a receiver");
    drop(sender);
    run(folder.file(), KEEP, &receiver, Arc::clone(&counts));
    let counts = [&counts.written, &counts.lost, &counts.errors].map(|count| count.load(Relaxed));
    assert_eq!(counts, [1_001, 0, 0]);
    assert_eq!(count(&folder.file()), 1_000);
    let grown = Reader::open(&folder.file()).and_then(|reader| reader.by_id("7-7")).expect("a history");
    assert_eq!(grown.expect("number 7").count, 40);
    assert_eq!(folder.names(), ["history.db", "history.db.lock"], "SQLite's own files are gone");
}

fn agent_without_end(path: PathBuf) -> ! {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || run(path, KEEP, &receiver, Arc::default()));
    let mut number = 0;
    loop {
        sender.send(told(numbered(number))).expect("the writer's thread");
        number += 1;
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// An agent of its own that has written something; it is killed at the end at the latest.
struct Agent(Child);

impl Agent {
    fn start(path: &Path, known: u64) -> Self {
        let agent = Self(part("life::everything_told_is_written_when_the_agent_stops", path));
        wait_for("the first conflicts", || {
            Reader::open(path).and_then(|reader| reader.extent()).is_ok_and(|(count, _)| count > known)
        });
        agent
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.0.kill().expect("a child");
        self.0.wait().expect("a child");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_history_is_read_while_it_is_written_and_after_kill_9() {
    let folder = Folder::new();
    let path = folder.file();
    let mut agent = Agent::start(&path, 0);
    let reader = Reader::open(&path).expect("a running agent's history");
    let before = reader.extent().expect("a count").0;
    wait_for("more conflicts", || reader.extent().expect("a count").0 > before);
    let newest = reader.conflicts(&Query { limit: Some(1), ..Query::default() }).expect("conflicts");
    assert_eq!(newest[0].victim, example().victim);
    assert!(matches!(Writer::open(&path, KEEP), Err(StoreError::Taken(_))), "one writer");
    let before = reader.extent().expect("a count").0;
    drop(reader);

    agent.kill();
    let left = folder.names();
    assert!(left.contains(&"history.db-wal".to_owned()), "{left:?}");
    assert!(count(&path) >= before, "what was read before the end is still there");
    let (mut writer, notices) = Writer::open(&path, KEEP).expect("the lock went with the process");
    assert_eq!(notices, [] as [&str; 0], "nothing is wrong with it");
    let all = count(&path);
    writer.write(&[told(numbered(u32::MAX))]).expect("room");
    assert_eq!(count(&path), all + 1);
}

/// Runs it as a user who owns nothing here. Only root's rights have to be given up for that, and only of a thread.
fn as_another_user<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                // SAFETY: the kernel keeps these two by thread, and with the first the rights over files go as well.
                unsafe {
                    libc::setfsgid(65_534);
                    libc::setfsuid(65_534);
                }
            }
            work()
        });
        other.join().expect("no panic")
    })
}

/// Nobody but root may write; everybody may read.
fn read_only(folder: &Folder) {
    for name in folder.names() {
        fs::set_permissions(folder.0.join(name), Permissions::from_mode(0o444)).expect("own files");
    }
    fs::set_permissions(&folder.0, Permissions::from_mode(0o555)).expect("own folder");
}

fn writable(folder: &Folder) {
    fs::set_permissions(&folder.0, Permissions::from_mode(0o755)).expect("own folder");
}

#[test]
fn who_may_not_write_reads_a_stopped_agents_history() {
    let folder = Folder::new();
    written(&folder.file(), (0..10).map(numbered));
    read_only(&folder);
    as_another_user(|| {
        fs::write(folder.0.join("new"), "").expect_err("no right to write here");
        let reader = Reader::open(&folder.file()).expect("the right to read is enough");
        assert_eq!(reader.extent().expect("a count").0, 10);
        assert_eq!(reader.notice(), None, "nothing is missing");
    });
    assert_eq!(folder.names(), ["history.db", "history.db.lock"], "a reader leaves nothing behind");
    writable(&folder);
}

#[test]
fn who_may_not_write_reads_a_running_and_a_killed_agents_history() {
    let folder = Folder::new();
    let path = folder.file();
    let mut agent = Agent::start(&path, 0);
    read_only(&folder);
    as_another_user(|| {
        let reader = Reader::open(&path).expect("a running agent's history");
        let before = reader.extent().expect("a count").0;
        wait_for("more conflicts", || reader.extent().expect("a count").0 > before);
        assert_eq!(reader.notice(), None);
    });
    agent.kill();
    let all = count(&path);
    read_only(&folder);
    as_another_user(|| {
        let reader = Reader::open(&path).expect("a killed agent's history");
        assert_eq!((reader.extent().expect("a count").0, reader.notice()), (all, None), "all of it");
    });
    writable(&folder);
}

#[test]
fn who_may_not_read_the_log_is_told_that_the_latest_may_be_missing() {
    let folder = Folder::new();
    let path = folder.file();
    written(&path, (0..10).map(numbered));
    Agent::start(&path, 10).kill();
    read_only(&folder);
    for name in ["history.db-wal", "history.db-shm"] {
        fs::set_permissions(folder.0.join(name), Permissions::from_mode(0o000)).expect("own files");
    }
    as_another_user(|| {
        let reader = Reader::open(&path).expect("what the file itself holds");
        assert!(reader.extent().expect("a count").0 >= 10);
        let notice = reader.notice().expect("a word about it");
        assert!(notice.contains("may be missing"), "{notice}");
    });
    writable(&folder);
}

#[test]
fn who_may_not_read_is_told_what_to_do() {
    let folder = Folder::new();
    written(&folder.file(), [example()]);
    fs::set_permissions(folder.file(), Permissions::from_mode(0o600)).expect("own file");
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(folder.file(), Permissions::from_mode(0o000)).expect("own file");
    }
    as_another_user(|| {
        let error = Reader::open(&folder.file()).expect_err("no right to read");
        assert!(matches!(error, StoreError::Forbidden { .. }), "{error}");
        assert!(error.to_string().contains("group portwatch"), "{error}");
    });
}
