//! `portwatch history` as it is typed.

use super::support::{Folder, example, numbered, written};
use portwatch::model::Conflict;
use std::process::{Command, Output};

fn history(folder: &Folder, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portwatch"));
    command.arg("history").arg("--store").arg(folder.file()).args(line.split_whitespace());
    command.env("TZ", "UTC").env("COLUMNS", "100").output().expect("portwatch")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// Standard output of a run that must succeed.
fn shown(folder: &Folder, line: &str) -> String {
    let output = history(folder, line);
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn every_form_shows_the_same_conflicts() {
    let folder = Folder::new();
    written(&folder.file(), (0..3).map(numbered));
    let table = shown(&folder, "");
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(
        table.lines().nth(1).expect("a row").starts_with("2026-11-24 03:12:46      1  nginx[4121]"),
        "{table}"
    );
    assert!(!table.contains('\u{1b}'), "no colours into a pipe");
    let json = shown(&folder, "-o json");
    let all: Vec<Conflict> =
        json.lines().map(|line| serde_json::from_str(line).expect("a conflict")).collect();
    assert_eq!(all, [2, 1, 0].map(numbered));
    let csv = shown(&folder, "-o csv --limit 2");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    assert!(csv.starts_with("id,time,first_time,count,"), "{csv}");
}

#[test]
fn flags_filter_and_sum_up() {
    let folder = Folder::new();
    let mut other = numbered(5);
    other.port = 80;
    other.count = 9;
    written(&folder.file(), [example(), other]);
    let count = |line: &str| shown(&folder, &format!("{line} -o json")).lines().count();
    assert_eq!(count("--port 80"), 1);
    assert_eq!(count("--port 1-100,50010"), 2);
    assert_eq!(count("--victim nginx --culprit hdfs --cause ephemeral-client"), 2);
    assert_eq!(count("--since 2026-11-24T03:12:45Z"), 1);
    assert_eq!(count("--until 2026-11-24T03:12:45Z"), 1);
    assert_eq!(count("--since 100000d --limit 1"), 1);
    assert_eq!(count("--protocol udp"), 0);
    let table = shown(&folder, "--by culprit");
    assert!(table.starts_with("CULPRIT") && table.contains("hdfs.service"), "{table}");
    let csv = shown(&folder, "--by victim -o csv");
    assert_eq!(
        csv.lines().nth(1).expect("a group").split(',').take(3).collect::<Vec<_>>(),
        ["nginx.service", "2", "10"]
    );
    let json: serde_json::Value =
        serde_json::from_str(&shown(&folder, "--by cause -o json")).expect("one object");
    assert_eq!((&json["name"], &json["port_count"]), (&"ephemeral-client".into(), &2.into()));
}

#[test]
fn nothing_found_says_where_and_for_what_it_looked() {
    let folder = Folder::new();
    written(&folder.file(), [example()]);
    let output = history(&folder, "--port 80 --culprit java --since 2026-11-24T00:00:00Z");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    let told = text(&output.stderr);
    for part in [
        "since 2026-11-24 00:00:00",
        "about port 80",
        "culprit java",
        "history.db has 1 conflict",
        "03:12:44",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn no_history_and_wrong_usage_have_their_exit_codes() {
    let folder = Folder::new();
    let output = history(&folder, "");
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    for part in ["no agent has run", "history.db", "--store PATH"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    for (line, part) in [
        ("--since soon", "a time is written like"),
        ("--since now --until 2h", "is later than --until"),
        ("--port http", "1 to 65535"),
        ("--by port", "culprit, victim, cause"),
        ("--limit 0", "0"),
    ] {
        let output = history(&folder, line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(text(&output.stderr).contains(part), "{line}: {}", text(&output.stderr));
    }
}

#[test]
fn a_table_is_cut_at_a_hundred_and_says_so() {
    let folder = Folder::new();
    written(&folder.file(), (0..101).map(numbered));
    let output = history(&folder, "");
    assert_eq!(text(&output.stdout).lines().count(), 101);
    assert!(text(&output.stderr).contains("newest 100 are shown"), "{}", text(&output.stderr));
    assert_eq!(shown(&folder, "--limit 500").lines().count(), 102);
}
