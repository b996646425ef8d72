//! What the tests of the history share: a place, conflicts, and another process that writes.

use portwatch::model::Conflict;
use portwatch::sink::Told;
use portwatch::store::{Reader, Retention, Writer};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Tells this program to play a part: the file that it writes to.
pub(crate) const PART: &str = "PORTWATCH_TEST_HISTORY";

/// Nothing is too old for the tests, whose conflicts are of 2026.
pub(crate) const KEEP: Retention = Retention { age: Duration::from_secs(36_500 * 86_400), bytes: 256 << 20 };

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("portwatch-history-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("a new folder");
        Self(path)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("history.db")
    }

    /// Names in it, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// nginx wants a port that java got as a client.
pub(crate) fn example() -> Conflict {
    serde_json::from_str(include_str!("../fixtures/store/conflict.json")).expect("a conflict")
}

/// The same, another time: a second later for each number.
pub(crate) fn numbered(number: u32) -> Conflict {
    let mut conflict = example();
    conflict.id = format!("{number:x}-7");
    conflict.time += Duration::from_secs(number.into());
    conflict.first_time = conflict.time;
    conflict
}

pub(crate) fn told(conflict: Conflict) -> Told {
    Told { is_new: conflict.count == 1, conflict: Arc::new(conflict) }
}

/// A history with these, closed again.
pub(crate) fn written(path: &Path, conflicts: impl IntoIterator<Item = Conflict>) {
    let (mut writer, notices) = Writer::open(path, KEEP).expect("a writer");
    assert_eq!(notices, [] as [&str; 0]);
    let batch: Vec<_> = conflicts.into_iter().map(told).collect();
    writer.write(&batch).expect("room");
}

pub(crate) fn count(path: &Path) -> u64 {
    Reader::open(path).and_then(|reader| reader.extent()).expect("a history").0
}

/// This program again, as the one test that plays the part.
pub(crate) fn part(test: &str, path: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(PART, path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("this program again")
}

/// Waits until it holds.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
