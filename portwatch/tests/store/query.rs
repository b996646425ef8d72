//! Filters, summaries, ids, and what a person with the sqlite3 tool sees.

use super::support::{Folder, KEEP, example, numbered, told, written};
use portwatch::model::{Cause, Conflict, Protocol, UnnamedReason};
use portwatch::store::{By, Query, Reader, Writer};
use rusqlite::Connection;
use std::time::Duration;

/// Four conflicts, an hour apart: java, java under another pid, TIME_WAIT of nobody known, an exhausted range.
fn four() -> Vec<Conflict> {
    let mut second = numbered(3_600);
    second.holders[0].process.as_mut().expect("java").pid = 99;
    second.victim.comm = "redis-server".into();
    second.victim.exe = Some("/opt/redis/bin/redis".into());
    second.victim.unit = Some(r"my\x2dcache.service".into());
    second.port = 6_379;
    second.count = 5;
    second.first_time = numbered(1_800).time;
    let mut third = numbered(7_200);
    third.holders[0].creator = third.holders[0].process.take();
    third.holders[0].unnamed_reason = Some(UnnamedReason::AlreadyGone);
    third.cause = Cause::TimeWait;
    third.protocol = Protocol::Udp;
    third.victim.container_name = Some("web".into());
    third.victim.pod_namespace = Some("shop".into());
    third.victim.pod_name = Some("web-5d9".into());
    let mut fourth = numbered(10_800);
    fourth.cause = Cause::Exhausted;
    fourth.port = 0;
    vec![numbered(0), second, third, fourth]
}

fn reader(folder: &Folder) -> Reader {
    written(&folder.file(), four());
    Reader::open(&folder.file()).expect("a history")
}

#[test]
fn each_filter_asks_for_its_own() {
    let folder = Folder::new();
    let reader = reader(&folder);
    let found = |query: &Query| -> Vec<usize> {
        let all = reader.conflicts(query).expect("conflicts");
        let ids: Vec<_> = four().into_iter().map(|conflict| conflict.id).collect();
        all.iter().map(|found| 1 + ids.iter().position(|id| *id == found.id).expect("known")).collect()
    };
    let plain = Query::default;
    let name = |name: &str| Some(name.to_owned());
    let hour = |hours: u64| Some(example().time + Duration::from_secs(hours * 3_600));
    assert_eq!(found(&plain()), [4, 3, 2, 1], "newest first");
    assert_eq!(found(&Query { limit: Some(2), ..plain() }), [4, 3]);
    assert_eq!(found(&Query { since: hour(2), ..plain() }), [4, 3], "the moment itself counts");
    assert_eq!(found(&Query { until: hour(1), ..plain() }), [2, 1]);
    let half = Some(example().time + Duration::from_secs(2_400));
    assert_eq!(found(&Query { since: half, until: half, ..plain() }), [2], "it lasted over that moment");
    assert_eq!(found(&Query { ports: vec![6_379..=6_379], ..plain() }), [2]);
    assert_eq!(found(&Query { ports: vec![0..=0, 6_000..=7_000], ..plain() }), [4, 2]);
    assert_eq!(found(&Query { protocol: Some(Protocol::Udp), ..plain() }), [3]);
    assert_eq!(found(&Query { cause: vec![Cause::TimeWait, Cause::Exhausted], ..plain() }), [4, 3]);
    for victim in ["redis-server", "redis", "/opt/redis/bin/redis", r"my\x2dcache.service", "my-cache"] {
        assert_eq!(found(&Query { victim: name(victim), ..plain() }), [2], "{victim}");
    }
    for victim in ["web", "web-5d9", "shop/web-5d9"] {
        assert_eq!(found(&Query { victim: name(victim), ..plain() }), [3], "{victim}");
    }
    for nobody in ["java", "redi", "", "%", "bin"] {
        assert_eq!(found(&Query { victim: name(nobody), ..plain() }), [] as [usize; 0], "{nobody}");
    }
    for culprit in ["java", "hdfs", "hdfs.service"] {
        assert_eq!(found(&Query { culprit: name(culprit), ..plain() }), [2, 1], "{culprit}");
    }
    assert_eq!(found(&Query { culprit: name("(already-gone)"), ..plain() }), [3]);
    assert_eq!(found(&Query { unit: name("hdfs"), ..plain() }), [4, 3, 2, 1], "creators too");
    assert_eq!(found(&Query { unit: name("hdfs"), only_victim: true, ..plain() }), [] as [usize; 0]);
    assert_eq!(found(&Query { unit: name("my-cache"), only_victim: true, ..plain() }), [2]);
    assert_eq!(found(&Query { pid: Some(99), ..plain() }), [2]);
    assert_eq!(found(&Query { pid: Some(2210), ..plain() }), [4, 3, 1]);
    assert_eq!(found(&Query { pid: Some(4121), only_victim: true, ..plain() }), [4, 3, 2, 1]);
    let both = Query { culprit: name("java"), ports: vec![50_010..=50_010], since: hour(0), ..plain() };
    assert_eq!(found(&both), [1], "all must hold");
}

#[test]
fn what_is_read_is_what_was_written() {
    let folder = Folder::new();
    let reader = reader(&folder);
    let mut all = reader.conflicts(&Query::default()).expect("conflicts");
    all.reverse();
    assert_eq!(all, four());
    assert_eq!(reader.by_id(&four()[1].id).expect("a history").as_ref(), Some(&four()[1]));
    assert_eq!(reader.by_id("none").expect("a history"), None);
}

#[test]
fn summaries_say_who_how_often_and_on_which_ports() {
    let folder = Folder::new();
    let reader = reader(&folder);
    let summary = |by, query: &Query| {
        let rows = reader.summary(by, query).expect("a summary");
        rows.into_iter().map(|row| (row.name, row.conflicts, row.refusals, row.ports)).collect::<Vec<_>>()
    };
    let plain = Query::default();
    assert_eq!(
        summary(By::Culprit, &plain),
        [
            ("hdfs.service".to_owned(), 2, 6, vec![6_379, 50_010]),
            ("(all-taken)".to_owned(), 1, 1, vec![0]),
            ("(already-gone)".to_owned(), 1, 1, vec![50_010]),
        ]
    );
    assert_eq!(summary(By::Victim, &plain)[0], ("nginx.service".to_owned(), 2, 2, vec![0, 50_010]));
    let names: Vec<_> = summary(By::Victim, &plain).into_iter().map(|row| row.0).collect();
    assert_eq!(names[1..], ["my-cache.service", "shop/web-5d9 web"]);
    let only = Query { ports: vec![6_379..=6_379], ..Query::default() };
    assert_eq!(summary(By::Cause, &only), [("ephemeral-client".to_owned(), 1, 5, vec![6_379])]);
    assert_eq!(summary(By::Cause, &Query { limit: Some(1), ..Query::default() }).len(), 1);
}

#[test]
fn a_repeat_replaces_what_is_known_only_if_it_grew() {
    let folder = Folder::new();
    let (mut writer, _) = Writer::open(&folder.file(), KEEP).expect("a writer");
    let mut grown = numbered(1);
    grown.count = 3;
    grown.time += Duration::from_secs(60);
    grown.victim.pid = 5;
    grown.holders.push(grown.holders[0].clone());
    let mut late = numbered(1);
    late.count = 2;
    writer.write(&[told(numbered(1)), told(grown.clone()), told(late)]).expect("room");
    let reader = Reader::open(&folder.file()).expect("a history");
    assert_eq!(reader.conflicts(&Query::default()).expect("conflicts"), [grown]);
}

#[test]
fn the_same_id_after_another_boot_is_another_conflict() {
    let folder = Folder::new();
    let mut other = numbered(1);
    other.first_time += Duration::from_secs(86_400);
    other.time = other.first_time;
    written(&folder.file(), [numbered(1), other.clone()]);
    let reader = Reader::open(&folder.file()).expect("a history");
    assert_eq!(reader.conflicts(&Query::default()).expect("conflicts").len(), 2);
    assert_eq!(reader.by_id(&other.id).expect("a history"), Some(other), "the latest of them");
}

#[test]
fn a_report_that_cannot_be_read_hides_no_other() {
    let folder = Folder::new();
    written(&folder.file(), (0..3).map(numbered));
    let tool = Connection::open(folder.file()).expect("a connection");
    let changed = tool.execute(
        "UPDATE detail SET json = replace(json, 'ephemeral-client', 'a-later-cause') WHERE conflict = 2",
        [],
    );
    assert_eq!(changed, Ok(1));
    drop(tool);
    let reader = Reader::open(&folder.file()).expect("a history");
    assert_eq!(reader.conflicts(&Query::default()).expect("conflicts").len(), 2);
    assert_eq!(reader.unreadable(), 1);
}

#[test]
fn a_person_with_the_sqlite3_tool_understands_it() {
    let folder = Folder::new();
    drop(reader(&folder));
    let tool = Connection::open(folder.file()).expect("a connection");
    let one = |sql: &str| tool.query_row(sql, [], |row| row.get::<_, String>(0)).expect(sql);
    assert_eq!(
        one("SELECT victim || ' ' || port || ' ' || culprit FROM report WHERE refusals = 5"),
        "my-cache.service[4121] 6379 hdfs.service[99]"
    );
    assert_eq!(one("SELECT culprit FROM report LIMIT 1"), "(all-taken)", "newest first");
    assert_eq!(
        one("SELECT part || ' ' || state FROM holder JOIN conflict ON number = conflict WHERE pid = 99"),
        "holder ESTABLISHED"
    );
    assert_eq!(one("SELECT json ->> '$.victim.comm' FROM detail WHERE conflict = 2"), "redis-server");
    assert_eq!(one("PRAGMA integrity_check"), "ok");
}
