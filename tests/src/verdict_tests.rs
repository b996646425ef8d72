//! The checks themselves, against reports made up for the purpose.

use serde_json::{Value, json};

use super::*;
use crate::case::Refusal;
use crate::clock::Wall;
use crate::netns::Range;
use crate::wire::Transport;

const EXE: &str = "/bin/lineup";

fn process(pid: u32, comm: &str) -> Process {
    Process { pid, comm: comm.into(), start: Wall(1_000_000_000), alive: true }
}

fn case() -> Case {
    let when = Window { from: Wall(3_000_000_000), to: Wall(3_000_000_000) };
    Case {
        holder: Holder {
            process: Some(process(11, "thief")),
            local: "127.0.0.1:42000".parse().unwrap(),
            remote: Some("127.0.0.1:8080".parse().unwrap()),
            inode: Some(77),
            state: "ESTABLISHED",
            cause: "ephemeral-client",
            assigned_by: "connect",
            ephemeral: true,
            assigned: Some(when),
        },
        refusal: Refusal {
            victims: vec![process(12, "victim")],
            operation: "bind",
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
        "uid": 0, "cgroup": null, "unit": null, "container": null, "pod": null })
}

fn report() -> Value {
    json!({ "schema": 1, "id": "a", "time": "1970-01-01T00:00:03Z", "count": 1, "first_time": "1970-01-01T00:00:03Z",
        "operation": "bind", "errno": "EADDRINUSE", "protocol": "tcp", "address": "127.0.0.1", "port": 42_000,
        "netns": 4_026_532_000_u64, "backend": "fexit", "victim": process_json(12, "victim"),
        "holders": [{ "process": process_json(11, "thief"), "unnamed_reason": null, "creator": null,
            "state": "ESTABLISHED", "local": "127.0.0.1:42000", "remote": "127.0.0.1:8080", "inode": 77,
            "assigned_by": "connect", "ephemeral": true, "assigned_time": "1970-01-01T00:00:03Z", "alive": true,
            "evidence": "kernel-verdict" }],
        "cause": "ephemeral-client",
        "range": { "low": 42_000, "high": 42_999, "in_range": true, "reserved": false },
        "advice": [{ "action": "reserve", "why": "so", "commands": ["portwatch reserve 42000"] }] })
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
    assert!(!evidence(&case().holder, Backend::Tracepoint).contains(&"kernel-verdict"));
    assert!(evidence(&case().holder.preexisting(), Backend::Tracepoint).contains(&"socket-dump"));
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
    assert_eq!(complaints(&report), 1);
    report["holders"] = json!([]);
    assert_eq!(complaints(&report), 0);
}
