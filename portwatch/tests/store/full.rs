//! A full disk costs history, is counted, and passes.

use super::support::{Folder, KEEP, PART, count, example, numbered, part, told, wait_for};
use portwatch::store::{Counts, Reader, run_logging};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};

/// Conflicts; three times as much as fits.
const MANY: u32 = 1_000;

/// The part of a process whose files may not grow: writing fails, the agent lives, and when there is room again
/// everything is written.
fn with_small_files(path: PathBuf) {
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(600_000), ..limit }).expect("a lower limit");
    let (sender, receiver) = mpsc::channel();
    let counts = Arc::new(Counts::default());
    let log = Arc::new(Mutex::new(Vec::new()));
    let (theirs, lines) = (Arc::clone(&counts), Arc::clone(&log));
    let writer = std::thread::spawn(move || {
        run_logging(path, KEEP, &receiver, theirs, |line| {
            lines.lock().expect("no panic").push(line.to_owned());
        });
    });
    (0..MANY).for_each(|number| sender.send(told(numbered(number))).expect("the writer lives"));
    wait_for("a write that fails", || counts.errors.load(Relaxed) > 0);
    assert!(counts.written.load(Relaxed) < u64::from(MANY));
    setrlimit(Resource::Fsize, limit).expect("the limit before");
    wait_for("everything to be written", || counts.written.load(Relaxed) == u64::from(MANY));
    drop(sender);
    writer.join().expect("no panic");
    assert_eq!(counts.lost.load(Relaxed), 0);
    let log = log.lock().expect("no panic");
    assert_eq!(log.len(), 2, "told once, and once that it is over: {log:?}");
    assert!(
        log[0].contains("is not written") && log[1].contains("written again; nothing was lost"),
        "{log:?}"
    );
}

#[test]
fn what_a_full_disk_kept_out_is_written_when_there_is_room() {
    if let Some(path) = std::env::var_os(PART) {
        return with_small_files(path.into());
    }
    let folder = Folder::new();
    let child = part("full::what_a_full_disk_kept_out_is_written_when_there_is_room", &folder.file());
    let output = child.wait_with_output().expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(count(&folder.file()), u64::from(MANY));
}

/// Tells more than fits, in a thread that has the small disk. Returns written, lost, errors and the log.
fn overfill(path: PathBuf, conflicts: u32) -> ([u64; 3], Vec<String>) {
    let (sender, receiver) = mpsc::channel();
    (0..conflicts).for_each(|number| sender.send(told(numbered(number))).expect("a receiver"));
    drop(sender);
    let (counts, mut log) = (Arc::new(Counts::default()), Vec::new());
    run_logging(path, KEEP, &receiver, Arc::clone(&counts), |line| log.push(line.to_owned()));
    ([&counts.written, &counts.lost, &counts.errors].map(|count| count.load(Relaxed)), log)
}

/// The part of a process whose files never may grow enough.
fn to_the_end(path: &Path) {
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(600_000), ..limit }).expect("a lower limit");
    is_overfilled(path);
}

fn is_overfilled(path: &Path) {
    let ([written, lost, errors], log) = overfill(path.to_owned(), MANY);
    assert!(lost > 0 && errors > 0, "{written} written, {lost} lost, {errors} errors");
    assert_eq!(written + lost, u64::from(MANY), "nothing is dropped uncounted");
    assert!(log.last().expect("a log").contains(&format!("{lost} conflicts or repeats are lost")), "{log:?}");
    let reader = Reader::open(path).expect("the file is whole");
    assert_eq!(reader.extent().expect("a count").0, written);
    let kept = reader.by_id(&numbered(0).id).expect("a history");
    assert_eq!(kept.is_some(), written > 0);
    assert!(kept.is_none_or(|kept| kept.victim == example().victim));
}

#[test]
fn what_never_fits_is_counted() {
    if let Some(path) = std::env::var_os(PART) {
        return to_the_end(Path::new(&path));
    }
    let folder = Folder::new();
    let child = part("full::what_never_fits_is_counted", &folder.file());
    let output = child.wait_with_output().expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    if rustix::process::geteuid().is_root() {
        on_a_disk_of_1_mib();
    }
}

/// A real full disk: a file system of 1 MiB, seen by this thread only.
fn on_a_disk_of_1_mib() {
    use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
    let folder = Folder::new();
    let place = folder.0.clone();
    let thread = std::thread::spawn(move || {
        // SAFETY: only this thread gets a mount namespace of its own; it does nothing but this test.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.expect("root may");
        let apart = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", apart).expect("root may");
        mount("tmpfs", &place, "tmpfs", MountFlags::empty(), Some(c"size=1m,mode=755")).expect("root may");
        is_overfilled(&place.join("history.db"));
    });
    thread.join().expect("no panic");
}
