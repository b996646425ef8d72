//! Reports as they must be, and each way in which they must not.

use serde_json::{Value, json};

use super::*;
use crate::soak::ports::{CHOSEN, chosen};
use crate::soak::truth::{Asked, Held, Span};
use crate::wire::Transport;

const SECOND: i64 = 1_000_000_000;
/// 2026-11-23T03:00:00Z.
const NOON: i64 = 1_795_402_800 * SECOND;

fn who(pid: u32, comm: &str) -> Who {
    Who { pid, comm: comm.to_owned(), start: NOON - SECOND }
}

pub(crate) fn truth(number: u32, pace: Pace) -> Truth {
    let when = Span { from: NOON, to: NOON + 1_000 };
    let local = "127.0.0.1:20017".parse().unwrap();
    Truth {
        number,
        kind: Kind::TcpClient,
        pace,
        held: Held {
            who: who(20, &format!("h{number}")),
            creator: None,
            local,
            remote: Some("127.0.0.1:8080".parse().unwrap()),
            inode: 77,
            assigned: when,
        },
        asked: Asked {
            who: who(10, &format!("v{number}")),
            transport: Transport::Tcp4,
            wanted: local,
            refused: 1,
            when,
        },
    }
}

pub(crate) fn scene() -> Scene {
    Scene { backend: Backend::Fexit, netns: 4711, range: chosen(CHOSEN), exe: "/init".to_owned() }
}

fn process(pid: u32, comm: &str) -> Value {
    json!({
        "pid": pid, "tid": pid, "start_time": "2026-11-23T02:59:59.004Z", "comm": comm, "exe": "/init", "cmdline": null,
        "uid": 0, "user": "root", "cgroup": null, "unit": null, "slice": null, "container": null,
        "container_runtime": null, "container_name": null, "pod": null, "pod_name": null, "pod_namespace": null,
    })
}

/// What portwatch should say about `truth(number, …)`.
pub(crate) fn report(number: u32) -> Value {
    json!({
        "schema": 1, "id": format!("id-{number}"), "time": "2026-11-23T03:00:00Z", "count": 1,
        "first_time": "2026-11-23T03:00:00Z", "operation": "bind", "errno": "EADDRINUSE", "protocol": "tcp",
        "address": "127.0.0.1", "port": 20017, "netns": 4711, "backend": "fexit",
        "victim": process(10, &format!("v{number}")),
        "holders": [{
            "process": process(20, &format!("h{number}")), "unnamed_reason": null, "creator": null,
            "state": "ESTABLISHED", "local": "127.0.0.1:20017", "remote": "127.0.0.1:8080", "inode": 77,
            "assigned_by": "connect", "ephemeral": true, "assigned_time": "2026-11-23T03:00:00Z", "alive": true,
            "evidence": "kernel-verdict", "sockets": null, "options": null,
        }],
        "cause": "ephemeral-client", "range": {"low": 20000, "high": 39999, "in_range": true, "reserved": false},
        "advice": [], "options": null, "exhaustion": null,
    })
}

fn outcome(pace: Pace, report: &Value) -> Outcome {
    judge(&truth(5, pace), report, &scene()).0
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut report = report(5);
    *report.pointer_mut(pointer).unwrap() = value;
    report
}

#[test]
fn what_is_as_it_was_is_right() {
    let (outcome, mismatches) = judge(&truth(5, Pace::Steady), &report(5), &scene());
    assert_eq!((outcome, mismatches), (Outcome::Right, Vec::new()));
    assert_eq!(judge(&truth(5, Pace::Raced), &report(5), &scene()).0, Outcome::RacedRight);
}

#[test]
fn another_name_is_wrong_at_any_pace() {
    for pace in [Pace::Steady, Pace::Hasty, Pace::Raced] {
        for (pointer, value) in [
            ("/holders/0/process/pid", json!(21)),
            ("/holders/0/process/comm", json!("h4")),
            ("/holders/0/process/start_time", json!("2026-11-23T02:59:59.2Z")),
            ("/victim/pid", json!(11)),
            ("/victim/comm", json!("v4")),
        ] {
            assert_eq!(outcome(pace, &changed(pointer, value)), Outcome::Wrong, "{pace:?} {pointer}");
        }
    }
}

#[test]
fn an_innocent_beside_the_holder_is_wrong() {
    let mut report = report(5);
    let mut second = report["holders"][0].clone();
    second["process"] = process(30, "bystander");
    report["holders"].as_array_mut().unwrap().push(second);
    assert_eq!(outcome(Pace::Steady, &report), Outcome::Wrong);
}

#[test]
fn nobody_is_honest_only_in_a_race_and_with_a_reason() {
    let mut nobody = changed("/holders/0/process", Value::Null);
    nobody["cause"] = json!("ephemeral-client");
    assert_eq!(outcome(Pace::Raced, &nobody), Outcome::Unnamed, "without a reason");
    nobody["holders"][0]["unnamed_reason"] = json!("released-meanwhile");
    assert_eq!(outcome(Pace::Raced, &nobody), Outcome::RacedUnnamed);
    assert_eq!(outcome(Pace::Hasty, &nobody), Outcome::Unnamed);
    assert_eq!(outcome(Pace::Steady, &nobody), Outcome::Unnamed);
}

#[test]
fn every_other_field_counts_too() {
    for (pointer, value) in [
        ("/cause", json!("listener")),
        ("/netns", json!(4712)),
        ("/address", json!("0.0.0.0")),
        ("/count", json!(2)),
        ("/victim/exe", Value::Null),
        ("/range/low", json!(32_768)),
        ("/holders/0/state", json!("TIME_WAIT")),
        ("/holders/0/inode", json!(78)),
        ("/holders/0/assigned_by", json!("bind0")),
        ("/holders/0/evidence", json!("socket-dump")),
        ("/holders/0/alive", json!(false)),
        ("/holders/0/creator", process(30, "bystander")),
    ] {
        assert_eq!(outcome(Pace::Steady, &changed(pointer, value)), Outcome::Inexact, "{pointer}");
    }
}

#[test]
fn the_hasty_may_be_dead_by_then_but_never_another_program() {
    for pointer in ["/victim/exe", "/holders/0/process/exe"] {
        assert_eq!(outcome(Pace::Hasty, &changed(pointer, Value::Null)), Outcome::Right, "{pointer}");
        assert_eq!(outcome(Pace::Hasty, &changed(pointer, json!("/bin/sh"))), Outcome::Inexact, "{pointer}");
    }
}
