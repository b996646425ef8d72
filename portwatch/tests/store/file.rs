//! Making the place, and files that are not ours to use.

use super::support::{Folder, KEEP, count, example, numbered, told, wait_for, written};
use portwatch::store::{Query, Reader, Retention, StoreError, Writer};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::time::Duration;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").mode() & 0o7777
}

#[test]
fn a_missing_folder_is_made_and_not_for_everybody() {
    let folder = Folder::new();
    let path = folder.0.join("var/lib/portwatch/history.db");
    let (mut writer, _) = Writer::open(&path, KEEP).expect("a writer");
    writer.write(&[told(example())]).expect("room");
    assert_eq!(mode(path.parent().expect("a folder")), 0o750);
    let log = path.with_file_name("history.db-wal");
    assert_eq!((mode(&path), mode(&log)), (0o640, 0o640));
}

#[test]
fn nothing_there_is_an_answer_of_its_own() {
    let folder = Folder::new();
    for path in [folder.file(), folder.0.join("no/such/folder.db")] {
        let error = Reader::open(&path).expect_err("nothing there");
        assert!(matches!(error, StoreError::Missing(_)), "{error}");
        assert!(
            error.to_string().contains(&*path.to_string_lossy()) && error.to_string().contains("--store")
        );
    }
    fs::write(folder.file(), "").expect("an empty file");
    assert!(
        matches!(Reader::open(&folder.file()), Err(StoreError::Missing(_))),
        "made, and nothing in it yet"
    );
    assert!(matches!(Reader::open(&folder.0), Err(StoreError::Foreign { .. })), "a folder");
}

/// Opens a writer on such a file. It must stand under another name, byte for byte, and a new history have its place.
fn is_set_aside(bytes: &[u8], what: &str) {
    let folder = Folder::new();
    fs::write(folder.file(), bytes).expect("a file");
    let (mut writer, notices) = Writer::open(&folder.file(), KEEP).expect("a new history");
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(
        notices[0].contains(&format!("is {what}")) && notices[0].contains("Nothing of it was deleted"),
        "{notices:?}"
    );
    writer.write(&[told(example())]).expect("room");
    assert_eq!(count(&folder.file()), 1);
    let names = folder.names();
    let aside: Vec<_> =
        names.iter().filter(|name| name.starts_with(&format!("history.db.{what}-"))).collect();
    assert_eq!(aside.len(), 1, "{names:?}");
    assert!(notices[0].contains(aside[0].as_str()), "the new name is told: {notices:?}");
    assert!(fs::read(folder.0.join(aside[0])).expect("the old file") == bytes, "not a byte was changed");
}

/// The bytes of a whole history.
fn whole() -> Vec<u8> {
    let folder = Folder::new();
    written(&folder.file(), (0..200).map(numbered));
    fs::read(folder.file()).expect("a history")
}

#[test]
fn a_damaged_file_is_set_aside() {
    let mut holes = whole();
    let end = holes.len() - 4_096;
    holes[8_192..end].fill(0xa5);
    is_set_aside(&holes, "damaged");
    let mut cut = whole();
    cut.truncate(cut.len() / 2);
    is_set_aside(&cut, "damaged");
    let mut no_schema = whole();
    no_schema[100..4_096].fill(0);
    is_set_aside(&no_schema, "damaged");
}

#[test]
fn tables_that_are_missing_are_damage() {
    let folder = Folder::new();
    written(&folder.file(), [example()]);
    let tool = Connection::open(folder.file()).expect("a connection");
    tool.execute_batch("DROP VIEW report; DROP TABLE detail; PRAGMA journal_mode = DELETE").expect("dropped");
    drop(tool);
    is_set_aside(&fs::read(folder.file()).expect("a file"), "damaged");
}

#[test]
fn a_foreign_file_is_set_aside() {
    is_set_aside(b"# a text that somebody keeps here\n", "foreign");
    is_set_aside(&[0x7f; 10_000], "foreign");
    let folder = Folder::new();
    let other = Connection::open(folder.file()).expect("a connection");
    other
        .execute_batch("CREATE TABLE bookmark (url TEXT); INSERT INTO bookmark VALUES ('x')")
        .expect("a table");
    drop(other);
    let error = Reader::open(&folder.file()).expect_err("not ours");
    assert!(error.to_string().contains("another program's"), "{error}");
    is_set_aside(&fs::read(folder.file()).expect("a file"), "foreign");
}

#[test]
fn two_damaged_files_have_two_names() {
    let folder = Folder::new();
    for bytes in ["first", "second"] {
        fs::write(folder.file(), bytes).expect("a file");
        drop(Writer::open(&folder.file(), KEEP).expect("a new history"));
    }
    let aside = folder.names().into_iter().filter(|name| name.contains("foreign")).collect::<Vec<_>>();
    let mut texts: Vec<_> =
        aside.iter().map(|name| fs::read_to_string(folder.0.join(name)).expect("a text")).collect();
    texts.sort();
    assert_eq!(texts, ["first", "second"]);
}

#[test]
fn a_later_portwatchs_file_is_left_as_it_is() {
    let folder = Folder::new();
    written(&folder.file(), [example()]);
    let tool = Connection::open(folder.file()).expect("a connection");
    tool.pragma_update(None, "user_version", 999).expect("set");
    drop(tool);
    let before = (fs::read(folder.file()).expect("a file"), folder.names());
    for error in [Writer::open(&folder.file(), KEEP).map(drop), Reader::open(&folder.file()).map(drop)] {
        let error = error.expect_err("too new").to_string();
        assert!(error.contains("later portwatch (layout 999") && error.contains("left as it is"), "{error}");
    }
    assert!(before == (fs::read(folder.file()).expect("a file"), folder.names()));
}

#[test]
fn links_and_open_folders_are_refused() {
    let folder = Folder::new();
    let target = folder.0.join("precious");
    fs::write(&target, "precious").expect("a file");
    symlink(&target, folder.file()).expect("a link");
    let error = Writer::open(&folder.file(), KEEP).expect_err("a link");
    assert!(error.to_string().contains("symbolic link"), "{error}");
    assert_eq!(fs::read_to_string(&target).expect("a file"), "precious");

    let open = folder.0.join("open");
    fs::create_dir(&open).expect("a folder");
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("own folder");
    let error = Writer::open(&open.join("history.db"), KEEP).expect_err("everybody's");
    assert!(error.to_string().contains("everybody may write"), "{error}");
}

/// Every layout that was ever released: read as it is found, and brought to today's.
#[test]
fn every_old_layout_is_brought_to_todays() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store");
    let mut versions = 0;
    for entry in fs::read_dir(fixtures).expect("fixtures") {
        let fixture = entry.expect("an entry").path();
        if fixture.extension().is_none_or(|extension| extension != "db") {
            continue;
        }
        versions += 1;
        let folder = Folder::new();
        fs::copy(&fixture, folder.file()).expect("a copy");
        let (mut writer, notices) = Writer::open(&folder.file(), KEEP).expect("a writer");
        assert_eq!(notices, [] as [&str; 0], "{}", fixture.display());
        let reader = Reader::open(&folder.file()).expect("a history");
        let all = reader.conflicts(&Query::default()).expect("conflicts");
        assert_eq!((all.len(), reader.unreadable()), (20, 0), "{}", fixture.display());
        assert!(all.iter().all(|conflict| conflict.victim.comm.starts_with("server-")));
        assert!(all.is_sorted_by(|left, right| left.time >= right.time), "newest first");
        writer.write(&[told(example())]).expect("room");
        assert_eq!(count(&folder.file()), 21);
    }
    assert_eq!(versions, 1, "one for each layout; a new one is made with the example fill_history");
}

#[test]
fn what_is_too_old_goes() {
    let folder = Folder::new();
    let now = jiff::Timestamp::now();
    let aged = |number: u32, days: u64| {
        let mut conflict = numbered(number);
        conflict.time = now - Duration::from_secs(days * 86_400);
        conflict.first_time = conflict.time - Duration::from_secs(86_400);
        told(conflict)
    };
    let retention = Retention { age: Duration::from_secs(30 * 86_400), ..KEEP };
    let (mut writer, _) = Writer::open(&folder.file(), retention).expect("a writer");
    let batch: Vec<_> =
        (0..40).map(|day| aged(day, day.into())).chain((40..2_000).map(|n| aged(n, 31))).collect();
    writer.write(&batch).expect("room");
    writer.maintain().expect("room");
    let reader = Reader::open(&folder.file()).expect("a history");
    let left = reader.conflicts(&Query::default()).expect("conflicts");
    assert_eq!(left.len(), 30);
    assert!(left.iter().all(|conflict| now.duration_since(conflict.time).as_hours() <= 30 * 24));
}

#[test]
fn what_is_too_large_goes_oldest_first() {
    let folder = Folder::new();
    let retention = Retention { bytes: 1 << 20, ..KEEP };
    let (mut writer, _) = Writer::open(&folder.file(), retention).expect("a writer");
    for chunk in 0..20 {
        let batch: Vec<_> = (chunk * 200..(chunk + 1) * 200).map(|number| told(numbered(number))).collect();
        writer.write(&batch).expect("room");
    }
    assert!(fs::metadata(folder.file()).expect("a file").len() > 2 << 20);
    // A round has its bound in time; on a busy machine it takes several.
    let size = || fs::metadata(folder.file()).expect("a file").len();
    wait_for("a small file", || {
        writer.maintain().expect("room");
        size() <= 1 << 20
    });
    let bytes = size();
    assert!((512 << 10..=1 << 20).contains(&bytes), "{bytes} bytes are left");
    let left = Reader::open(&folder.file())
        .and_then(|reader| reader.conflicts(&Query::default()))
        .expect("conflicts");
    assert_eq!(left[0].id, numbered(3_999).id, "the newest stay");
    let numbers: Vec<_> = (0..4_000).rev().take(left.len()).map(|number| numbered(number).id).collect();
    assert!(left.iter().map(|conflict| &conflict.id).eq(&numbers), "and none between them is missing");
}
