//! What people see, at several widths.

use super::{Form, Terminal, words};
use crate::model::{Cause, Conflict, UnnamedReason, example};
use crate::sink::Sink as _;
use crate::text;
use anstream::StripStream;
use jiff::tz::TimeZone;

fn shown(conflict: &Conflict, form: Form, width: usize) -> String {
    let mut out = StripStream::new(Vec::new());
    let mut sink = Terminal::new(&mut out, form, width, TimeZone::UTC);
    sink.conflict(conflict).expect("a vector takes everything");
    sink.repeat(&Conflict { count: 7, ..conflict.clone() }).expect("a vector takes everything");
    String::from_utf8(out.into_inner()).expect("UTF-8")
}

#[test]
fn at_80_columns_the_command_has_its_own_line() {
    let table = shown(&example::client(), Form::Table, 80);
    let expected = "\
TIME      VICTIM        WANTED               HELD BY       HOW        AGO  RANGE
03:12:44  nginx[4121]   tcp 0.0.0.0:50010    java[2210]    connect    41m  yes
          held by: hdfs.service
          prevent: sysctl -w net.ipv4.ip_local_reserved_ports=50010
03:12:44  nginx[4121]   tcp 0.0.0.0:50010    again: refused 7 times so far
";
    assert_eq!(table, expected);
}

#[test]
fn with_room_everything_is_on_one_line() {
    let table = shown(&example::client(), Form::Table, 200);
    let mut lines = table.lines();
    assert!(lines.next().expect("a header").ends_with("IN RANGE  PREVENT"));
    let row = lines.next().expect("a row");
    assert!(row.ends_with("yes       sysctl -w net.ipv4.ip_local_reserved_ports=50010"), "{row}");
    assert!(row.contains("connect() to 10.0.0.9:2379"), "{row}");
    assert!(row.contains("java[2210] hdfs.service  "), "{row}");
    assert_eq!(lines.next().map(|line| line.contains("again")), Some(true));
}

/// The example's holder, in a pod.
fn in_a_pod() -> Conflict {
    let mut conflict = example::client();
    let owner = conflict.holders[0].process.as_mut().expect("a process");
    owner.unit = None;
    owner.user = Some("hdfs".into());
    owner.container = Some("c0ffee00".repeat(8));
    owner.container_runtime = Some("containerd".into());
    owner.container_name = Some("datanode".into());
    owner.pod = Some("0b5c1a9e-6d1f-4c0e-9a57-1f2e3d4c5b6a".into());
    owner.pod_name = Some("hdfs-datanode-0".into());
    owner.pod_namespace = Some("storage".into());
    conflict
}

#[test]
fn a_pod_is_told_by_the_name_that_people_know() {
    let conflict = in_a_pod();
    assert!(
        shown(&conflict, Form::Table, 80).contains("\n          held by: storage/hdfs-datanode-0 datanode\n")
    );
    assert!(shown(&conflict, Form::Table, 220).contains("java[2210] storage/hdfs-datanode-0 datanode  "));
    let wide = shown(&conflict, Form::Wide, 100);
    let owner = "java[2210]  uid 998 (hdfs)  containerd container datanode (c0ffee00c0ff)  \
                 pod storage/hdfs-datanode-0 (0b5c1a9e-6d1f-4c0e-9a57-1f2e3d4c5b6a)  /usr/bin/java";
    assert!(wide.contains(owner), "{wide}");
}

#[test]
fn a_container_without_a_name_has_its_id_and_a_login_has_nothing() {
    let mut conflict = in_a_pod();
    let owner = conflict.holders[0].process.as_mut().expect("a process");
    (owner.pod, owner.pod_name, owner.container_name) = (None, None, None);
    assert!(shown(&conflict, Form::Table, 80).contains("held by: container c0ffee00c0ff\n"));
    assert!(shown(&conflict, Form::Wide, 80).contains("containerd container c0ffee00c0ff  /usr"));
    let owner = conflict.holders[0].process.as_mut().expect("a process");
    (owner.container, owner.unit) = (None, Some("session-3.scope".into()));
    assert!(!shown(&conflict, Form::Table, 80).contains("held by:"));
}

#[test]
fn a_long_command_line_does_not_fill_the_screen() {
    let mut conflict = example::client();
    conflict.victim.cmdline = Some("x".repeat(9_000));
    assert!(text::width(shown(&conflict, Form::Wide, 80).lines().nth(1).expect("the victim")) < 600);
}

#[test]
fn no_line_but_a_command_is_wider_than_the_terminal() {
    let mut conflict = example::client();
    conflict.address = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff".parse().expect("an address");
    conflict.victim.comm = "a-very-long-name-indeed".into();
    conflict.holders[0].process.as_mut().expect("a process").comm = "日本語日本語日本語日".into();
    for width in 80..260 {
        let table = shown(&conflict, Form::Table, width);
        for line in table.lines().filter(|line| !line.contains("prevent:") && !line.contains("again:")) {
            assert!(text::width(line) <= width, "{width}: {line}");
        }
        assert!(table.contains(":50010") && table.contains("[4121]") && table.contains("[2210]"), "{table}");
        assert!(table.contains("=50010"), "the command is whole: {table}");
    }
}

#[test]
fn the_wide_form_tells_everything() {
    let wide = shown(&example::client(), Form::Wide, 100);
    for part in [
        "2026-11-24 03:12:44.000  nginx[4121]: bind tcp 0.0.0.0:50010: EADDRINUSE, ephemeral-client  id 2c3d4e5f6-1019",
        "nginx -g 'daemon off;'",
        "java[2210]  uid 998  hdfs.service  /usr/bin/java -Xmx4g",
        "ESTABLISHED 10.0.0.5:50010 -> 10.0.0.9:2379, inode 48213; assigned by connect 41m before, chosen by the kernel; evidence kernel-verdict",
        "32768-60999: 50010 is in it and not reserved; netns 4026531840, backend fexit",
        "  sysctl -w net.ipv4.ip_local_reserved_ports=50010",
    ] {
        assert!(wide.contains(part), "{part}\n{wide}");
    }
}

#[test]
fn hostile_names_never_reach_the_terminal_raw() {
    let mut conflict = example::client();
    let hostile = "\u{1b}[2J\u{9b}31m\n\u{202e}x";
    conflict.victim.comm = hostile.into();
    conflict.victim.unit = Some(hostile.into());
    conflict.victim.cmdline = Some(hostile.into());
    let owner = conflict.holders[0].process.as_mut().expect("a process");
    owner.user = Some(hostile.into());
    owner.slice = Some(hostile.into());
    owner.container = Some(hostile.into());
    owner.container_name = Some(hostile.into());
    owner.pod = Some(hostile.into());
    owner.pod_name = Some(hostile.into());
    owner.pod_namespace = Some(hostile.into());
    conflict.holders[0].process.as_mut().expect("a process").comm = hostile.into();
    conflict.advice[0].commands[0] = format!("systemctl stop '{hostile}'");
    conflict.advice[0].why = hostile.into();
    for form in [Form::Table, Form::Wide] {
        let mut out = Vec::new();
        let mut sink = Terminal::new(&mut out, form, 200, TimeZone::UTC);
        sink.conflict(&conflict).expect("a vector takes everything");
        sink.repeat(&conflict).expect("a vector takes everything");
        let raw = String::from_utf8(out).expect("UTF-8");
        assert!(
            !raw.contains("\u{1b}[2J") && !raw.contains('\u{9b}') && !raw.contains('\u{202e}'),
            "{raw:?}"
        );
        assert!(raw.contains(r"\x1b[2J"));
    }
}

#[test]
fn the_dead_are_said_to_be_dead() {
    let mut conflict = example::client();
    conflict.holders[0].alive = false;
    assert!(shown(&conflict, Form::Table, 130).contains("java[2210] exited"));
    assert!(shown(&conflict, Form::Wide, 80).contains("(exited) java[2210]"));
}

#[test]
fn what_has_no_name_says_why() {
    let mut conflict = example::client();
    conflict.holders[0].process = None;
    for reason in UnnamedReason::ALL {
        conflict.holders[0].unnamed_reason = Some(*reason);
        assert!(shown(&conflict, Form::Table, 80).contains(words::unnamed(*reason)));
        assert!(shown(&conflict, Form::Wide, 80).contains(reason.as_str()));
    }
    conflict.holders.clear();
    conflict.cause = Cause::Exhausted;
    conflict.port = 0;
    assert!(shown(&conflict, Form::Table, 80).contains("(all taken)"));
    assert!(shown(&conflict, Form::Wide, 80).contains("32768-60999: none left"));
}

#[test]
fn every_cause_fits_its_column() {
    for cause in Cause::ALL {
        let conflict = Conflict { cause: *cause, ..example::client() };
        assert!(words::how_short(&conflict).len() <= 9, "{cause}");
    }
}

#[test]
fn durations_take_three_columns() {
    let at = |seconds: i64| jiff::Timestamp::from_second(seconds).expect("a time");
    for (seconds, text) in [
        (0, "0s"),
        (99, "99s"),
        (100, "1m"),
        (2464, "41m"),
        (7_200, "2h"),
        (400_000, "4d"),
        (40_000_000, "15M"),
        (100_000_000, "3y"),
    ] {
        assert_eq!(words::span(at(0), at(seconds)), text);
    }
    assert_eq!(words::span(at(10), at(0)), "0s");
}
