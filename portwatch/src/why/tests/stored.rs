//! From a real store, as the agent writes it.

use super::world::of_cause;
use crate::model::{Cause, Conflict, Process};
use crate::owner::scratch::Scratch;
use crate::sink::Told;
use crate::store::{Reader, Retention, Writer};
use crate::why::{EARLIER, Target, find};
use std::sync::Arc;

#[test]
fn what_an_agent_has_written_is_found_in_every_way() {
    let folder = Scratch::new("why-stored");
    let path = folder.path().join("history.db");
    let (mut writer, notices) = Writer::open(&path, Retention::default()).expect("a new store");
    assert_eq!(notices, Vec::<String>::new());
    let time = jiff::Timestamp::now();
    let one =
        |id: &str, cause, port| Conflict { id: id.into(), port, time, first_time: time, ..of_cause(cause) };
    let mut listener = one("2-b", Cause::Listener, 8080);
    listener.victim = Process { pid: 77, comm: "redis-server".into(), ..Process::default() };
    let batch: Vec<Told> = [one("1-a", Cause::EphemeralClient, 50010), listener]
        .into_iter()
        .map(|conflict| Told { conflict: Arc::new(conflict), is_new: true })
        .collect();
    writer.write(&batch).expect("written");

    let reader = Reader::open(&path).expect("a store");
    for (target, expected) in [
        ("50010", &["1-a"][..]),
        ("50010/tcp", &["1-a"]),
        ("50010/udp", &[]),
        ("8080", &["2-b"]),
        ("77", &["2-b"]),
        ("pid:2210", &["2-b", "1-a"]),
        ("nginx", &["1-a"]),
        ("nginx.service", &["1-a"]),
        ("hdfs.service", &["2-b", "1-a"]),
        ("hdfs", &["2-b", "1-a"]),
        ("redis-server", &["2-b"]),
        ("java", &["2-b", "1-a"]),
        ("1-a", &["1-a"]),
        ("9-9", &[]),
        ("postgres", &[]),
    ] {
        let found = find(&reader, &Target::parse(target).expect("a target"), None).expect("a history");
        let ids: Vec<&str> = found.conflicts.iter().map(|conflict| conflict.id.as_str()).collect();
        assert_eq!(ids, expected, "{target}");
        assert_eq!((found.more, found.gaps.len()), (0, 0), "{target}");
    }
    let soon = time.checked_add(jiff::SignedDuration::from_mins(1)).expect("a time");
    assert!(find(&reader, &Target::Last, Some(soon)).expect("a history").conflicts.is_empty());
    let last = find(&reader, &Target::Last, None).expect("a history").conflicts;
    assert_eq!(last.first(), Some(&*batch[1].conflict), "the same as was written");
}

#[test]
fn those_that_are_only_counted_are_not_read() {
    let folder = Scratch::new("why-counted");
    let path = folder.path().join("history.db");
    let (mut writer, _) = Writer::open(&path, Retention::default()).expect("a new store");
    let time = jiff::Timestamp::now();
    let one = |number: i64| {
        let time = time + jiff::SignedDuration::from_secs(number);
        let id = format!("{number:x}-1");
        let conflict = Conflict { id, port: 9_000, time, first_time: time, ..of_cause(Cause::Listener) };
        Told { conflict: Arc::new(conflict), is_new: true }
    };
    writer.write(&(0..20).map(one).collect::<Vec<_>>()).expect("written");
    drop(writer);
    let file = rusqlite::Connection::open(&path).expect("the file");
    let spoilt = file.execute("UPDATE detail SET json = '?' WHERE conflict <= 3 OR conflict = 19", []);
    assert_eq!(spoilt, Ok(4));
    drop(file);

    let reader = Reader::open(&path).expect("a store");
    let found = find(&reader, &Target::parse("9000").expect("a target"), None).expect("a history");
    let ids: Vec<&str> = found.conflicts.iter().map(|conflict| conflict.id.as_str()).collect();
    assert_eq!(ids, ["13-1", "11-1", "10-1", "f-1", "e-1", "d-1"], "one that cannot be read hides no other");
    assert_eq!((ids.len(), found.more, found.is_cut), (1 + EARLIER, 14, false));
    assert_eq!(found.gaps.len(), 1, "of those that were looked at");
}
