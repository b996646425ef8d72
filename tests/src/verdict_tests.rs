//! The checks themselves, against reports made up for the purpose.

use serde_json::{Value, json};

use super::*;
use crate::case::Refusal;
use crate::clock::Wall;
use crate::netns::Range;
use crate::portrait::{Place, Portrait};
use crate::wire::Transport;

const EXE: &str = "/bin/lineup";

fn process(pid: u32, comm: &str) -> Process {
    Process { pid, comm: comm.into(), start: Wall(1_000_000_000), alive: true, portrait: Portrait::default() }
}

fn case() -> Case {
    let when = Window { from: Wall(3_000_000_000), to: Wall(3_000_000_000) };
    Case {
        holder: Holder {
            process: Some(process(11, "thief")),
            creator: None,
            sharers: Vec::new(),
            local: "127.0.0.1:42000".parse().unwrap(),
            remote: Some("127.0.0.1:8080".parse().unwrap()),
            inode: Some(77),
            state: "ESTABLISHED",
            cause: "ephemeral-client",
            assigned_by: "connect",
            ephemeral: true,
            assigned: Some(when),
            unseen_by: None,
        },
        also: Vec::new(),
        refusal: Refusal {
            victims: vec![process(12, "victim")],
            operation: "bind",
            errno: "EADDRINUSE",
            transport: Transport::Tcp4,
            address: "127.0.0.1".parse().unwrap(),
            port: 42_000,
            count: 1,
            when,
        },
        netns: 4_026_532_000,
        range: Range { low: 42_000, high: 42_999 },
    }
}

fn process_json(pid: u32, comm: &str) -> Value {
    json!({ "pid": pid, "tid": pid, "start_time": "1970-01-01T00:00:01Z", "comm": comm, "exe": EXE, "cmdline": null,
        "uid": 0, "user": "root", "cgroup": null, "unit": null, "slice": null, "container": null,
        "container_runtime": null, "container_name": null, "pod": null, "pod_name": null, "pod_namespace": null })
}

fn report() -> Value {
    json!({ "schema": 1, "id": "a", "time": "1970-01-01T00:00:03Z", "count": 1, "first_time": "1970-01-01T00:00:03Z",
        "operation": "bind", "errno": "EADDRINUSE", "protocol": "tcp", "address": "127.0.0.1", "port": 42_000,
        "netns": 4_026_532_000_u64, "backend": "fexit", "victim": process_json(12, "victim"),
        "holders": [{ "process": process_json(11, "thief"), "unnamed_reason": null, "creator": null,
            "state": "ESTABLISHED", "local": "127.0.0.1:42000", "remote": "127.0.0.1:8080", "inode": 77,
            "assigned_by": "connect", "ephemeral": true, "assigned_time": "1970-01-01T00:00:03Z", "alive": true,
            "evidence": "kernel-verdict", "sockets": null, "options": null }],
        "cause": "ephemeral-client",
        "range": { "low": 42_000, "high": 42_999, "in_range": true, "reserved": false },
        "advice": [{ "action": "reserve", "why": "so", "commands": ["portwatch reserve 42000"] }], "options": null, "exhaustion": null })
}

/// The fields that are complained about when one is changed.
fn complaints(field: &str, value: Value) -> Vec<String> {
    let mut report = report();
    *report.pointer_mut(field).unwrap() = value;
    check(&case(), Backend::Fexit, EXE, &report).into_iter().map(|mismatch| mismatch.field).collect()
}

#[test]
fn the_truth_passes() {
    assert_eq!(check(&case(), Backend::Fexit, EXE, &report()), []);
    assert_eq!(grade(&case(), &report()), Grade::Right);
}

#[test]
fn every_lie_is_found() {
    for (field, lie) in [
        ("schema", json!(2)),
        ("port", json!(42_001)),
        ("address", json!("0.0.0.0")),
        ("netns", json!(1)),
        ("backend", json!("tracepoint")),
        ("operation", json!("listen")),
        ("count", json!(2)),
        ("time", json!("1970-01-01T01:00:03Z")),
        ("victim/pid", json!(11)),
        ("victim/comm", json!("thief")),
        ("holders", json!([])),
        ("holders/0/process/pid", json!(12)),
        ("holders/0/process/exe", json!("/bin/sh")),
        ("holders/0/state", json!("LISTEN")),
        ("holders/0/local", json!("0.0.0.0:42000")),
        ("holders/0/remote", Value::Null),
        ("holders/0/inode", json!(78)),
        ("holders/0/assigned_by", json!("bind")),
        ("holders/0/assigned_time", Value::Null),
        ("holders/0/evidence", json!("socket-dump")),
        ("cause", json!("listener")),
        ("range/in_range", json!(false)),
        ("advice", json!([])),
    ] {
        let found = complaints(&format!("/{field}"), lie);
        assert!(found.iter().any(|found| found.starts_with(field)), "{field}: {found:?}");
    }
}

#[test]
fn a_missing_field_is_found() {
    let mut report = report();
    report["victim"].as_object_mut().unwrap().remove("unit");
    let found = check(&case(), Backend::Fexit, EXE, &report);
    assert_eq!(found.iter().map(|mismatch| mismatch.field.as_str()).collect::<Vec<_>>(), ["victim/unit"]);
}

#[test]
fn names_are_graded() {
    let named = |process: Value| json!({ "holders": [{ "process": process }] });
    assert_eq!(grade(&case(), &named(Value::Null)), Grade::Unnamed);
    assert_eq!(grade(&case(), &named(process_json(12, "thief"))), Grade::Wrong);
    assert_eq!(grade(&case(), &named(process_json(11, "thief2"))), Grade::Wrong);
    let mut nobody = case();
    nobody.holder.process = None;
    assert_eq!(grade(&nobody, &named(process_json(11, "thief"))), Grade::Wrong);
}

#[test]
fn the_tracepoint_backend_has_no_verdict_of_the_kernel() {
    assert!(!evidence(&case().holder, Backend::Tracepoint, false).contains(&"kernel-verdict"));
    assert!(evidence(&case().holder.preexisting(), Backend::Tracepoint, false).contains(&"socket-dump"));
}

#[test]
fn a_hostile_name_may_be_escaped_but_not_replaced() {
    let comm = b"\x1b[31mEV\xff\"\nIL";
    for escaped in ["\u{1b}[31mEV\u{fffd}\"\nIL", "\\x1b[31mEV\\xff\\\"\\nIL"] {
        assert!(is_comm(escaped, comm), "{escaped}");
    }
    assert!(!is_comm("IL", comm));
    assert!(!is_comm("thief ", b"thief"));
}

#[test]
fn an_exhausted_range_is_nobodys_fault_or_that_of_those_who_have_it() {
    let mut case = case();
    case.refusal.port = 0;
    case.holder.cause = "exhausted";
    let mut report = report();
    report["port"] = json!(0);
    report["cause"] = json!("exhausted");
    report["range"]["in_range"] = json!(false);
    let complaints = |report: &Value| check(&case, Backend::Fexit, EXE, report).len();
    assert_eq!(complaints(&report), 0);
    report["holders"][0]["process"] = process_json(12, "victim");
    assert!(complaints(&report) > 0);
    report["holders"] = json!([]);
    assert!(complaints(&report) > 0);
}

/// Three sockets on one port: two of pid 11 and one of pid 13.
fn crowd() -> Case {
    let mut case = case();
    case.also =
        vec![case.holder.clone(), Holder { process: Some(process(13, "second")), ..case.holder.clone() }];
    case.also[0].inode = Some(78);
    case.also[1].inode = Some(79);
    case
}

fn report_of(pids: &[(u32, &str, u64)]) -> Value {
    let mut report = report();
    let first = report["holders"][0].clone();
    let holder = |&(pid, comm, inode): &(u32, &str, u64)| {
        let mut holder = first.clone();
        holder["process"] = process_json(pid, comm);
        holder["inode"] = json!(inode);
        holder
    };
    report["holders"] = pids.iter().map(holder).collect();
    report
}

#[test]
fn of_several_holders_each_must_be_named_and_nobody_else() {
    let complaints = |report: &Value| check(&crowd(), Backend::Fexit, EXE, report).len();
    let (one, other) = ((11, "thief", 78), (13, "second", 79));
    assert_eq!(complaints(&report_of(&[one, other])), 0);
    assert_eq!(complaints(&report_of(&[other, one])), 0);
    assert!(complaints(&report_of(&[one])) > 0);
    assert!(complaints(&report_of(&[one, other, (12, "victim", 80)])) > 0);
    assert_eq!(grade(&crowd(), &report_of(&[other])), Grade::Right);
    assert_eq!(grade(&crowd(), &report_of(&[(12, "victim", 80)])), Grade::Wrong);
}

#[test]
fn of_those_who_share_a_full_range_the_greediest_comes_first() {
    let mut case = crowd();
    case.refusal.port = 0;
    case.holder.cause = "exhausted";
    let complaints = |pids: &[(u32, &str, u64)]| {
        let mut report = report_of(pids);
        report["port"] = json!(0);
        report["cause"] = json!("exhausted");
        report["range"]["in_range"] = json!(false);
        check(&case, Backend::Fexit, EXE, &report).len()
    };
    assert_eq!(complaints(&[(11, "thief", 77), (13, "second", 79)]), 0);
    assert!(complaints(&[(13, "second", 79), (11, "thief", 77)]) > 0);
    assert!(complaints(&[(11, "thief", 77)]) > 0);
}

#[test]
fn who_shares_the_socket_must_be_told_and_who_made_it() {
    let mut case = case();
    case.holder.creator = Some(process(13, "parent"));
    case.holder.sharers = vec![process(14, "sharer")];
    let mut report = report();
    let complaints = |report: &Value| -> Vec<_> {
        check(&case, Backend::Fexit, EXE, report).into_iter().map(|mismatch| mismatch.field).collect()
    };
    assert!(complaints(&report).contains(&"holders".to_owned()));
    let mut sharer = report["holders"][0].clone();
    sharer["process"] = process_json(14, "sharer");
    report["holders"][0]["creator"] = process_json(13, "parent");
    report["holders"].as_array_mut().unwrap().push(sharer);
    assert!(complaints(&report).is_empty());
    report["holders"][0]["creator"]["pid"] = json!(12);
    report["holders"][1]["process"]["comm"] = json!("victim");
    assert_eq!(complaints(&report), ["holders/1/process/comm", "holders/0/creator/pid"]);
}

#[test]
fn a_portrait_is_checked_in_all_its_parts() {
    let mut case = case();
    let place = Place { path: "a/b.service", unit: Some("b.service"), container: Some("c"), pod: Some("p") };
    let portrait = Portrait {
        thread: Some(15),
        exe: Some("/tmp/other".into()),
        argument0: Some(b"word\n2".to_vec()),
        uid: Some(1000),
        place: Some(place),
    };
    case.holder.process = Some(Process { portrait, ..process(11, "thief") });
    let mut report = report();
    let complaints = |report: &Value| check(&case, Backend::Fexit, EXE, report).len();
    assert_eq!(complaints(&report), 8);
    let named = &mut report["holders"][0]["process"];
    named["tid"] = json!(15);
    named["exe"] = json!("/tmp/other");
    named["cmdline"] = json!("'word\n2' --flag");
    named["uid"] = json!(1000);
    named["cgroup"] = json!("/a/b.service");
    (named["unit"], named["container"], named["pod"]) = (json!("b.service"), json!("c"), json!("p"));
    assert_eq!(complaints(&report), 0);
}

#[test]
fn a_socket_of_the_kernel_is_nobodys() {
    let mut case = case();
    case.holder.creator = case.holder.process.take();
    (case.holder.cause, case.holder.assigned_by) = ("kernel-socket", "bind");
    let mut report = report();
    report["cause"] = json!("kernel-socket");
    let holder = &mut report["holders"][0];
    (holder["process"], holder["unnamed_reason"]) = (Value::Null, json!("kernel-socket"));
    (holder["assigned_by"], holder["assigned_time"]) = (json!("unknown"), Value::Null);
    let complaints = |report: &Value| check(&case, Backend::Fexit, EXE, report).len();
    assert_eq!(complaints(&report), 0);
    report["holders"][0]["creator"] = process_json(11, "thief");
    assert_eq!(complaints(&report), 0, "who had the kernel make it may be told");
    report["holders"][0]["creator"] = process_json(12, "victim");
    assert_eq!(complaints(&report), 1);
}
