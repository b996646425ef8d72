//! Whole stories, as they are shown. `PORTWATCH_GOLDEN=write cargo test …` writes them anew, for a person to read.

use super::world::{held, now, of_cause, present, time};
use crate::model::{
    Cause, Conflict, Exhaustion, HeldPort, PortsInUse, Process, Role, SocketOptions, UnnamedReason,
};
use crate::why::{Found, Hold, Life, Present, Silence, Story, Target, nothing, stories};
use jiff::tz::TimeZone;
use std::path::{Path, PathBuf};

fn shown(story: &Story) -> String {
    let mut out = Vec::new();
    crate::sink::terminal::write_story(&mut out, story, 90).expect("a vector takes everything");
    String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).expect("text")
}

fn compare(name: &str, text: &str) {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "src/why/tests/golden", &format!("{name}.txt")].iter().collect();
    if std::env::var_os("PORTWATCH_GOLDEN").is_some_and(|what| what == "write") {
        std::fs::write(&path, text).expect("the folder of the goldens");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} is not what is told now", path.display());
}

fn told(found: &Found, present: &Present) -> String {
    shown(&stories(found, present, &TimeZone::UTC, now()))
}

fn one(conflict: Conflict) -> Found {
    Found { conflicts: vec![conflict], ..Found::default() }
}

#[test]
fn main_classes() {
    let on_port = |held| {
        let mut present = present(Life::Ended, Hold::LetGo);
        present.port.as_mut().expect("seen").holders = held;
        present
    };
    let nginx = Process { pid: 5000, ..of_cause(Cause::Listener).victim };
    for (cause, present) in [
        (Cause::EphemeralClient, present(Life::Runs, Hold::Holds)),
        (Cause::TimeWait, on_port(vec![held(Role::Listener, Some(nginx))])),
        (Cause::Listener, present(Life::Runs, Hold::Holds)),
        (Cause::PreviousInstance, on_port(Vec::new())),
        (Cause::Inherited, present(Life::Runs, Hold::Holds)),
        (Cause::OwnSocket, present(Life::Ended, Hold::LetGo)),
        (Cause::ReuseportMismatch, present(Life::Runs, Hold::Holds)),
        (Cause::KernelSocket, present(Life::Unnamed, Hold::Holds)),
        (Cause::Exhausted, full_no_longer()),
    ] {
        compare(cause.as_str(), &told(&one(of_cause(cause)), &present));
    }
}

/// A range that has room again.
fn full_no_longer() -> Present {
    let in_use = PortsInUse { established: 4_100, ..PortsInUse::default() };
    let range = Some(Exhaustion { ports: 28_232, in_use, shared: 4_100, ..Exhaustion::default() });
    Present { port: None, range, ..present(Life::Runs, Hold::NotSeen) }
}

#[test]
fn a_restart_loop_with_a_past() {
    let last = Conflict {
        count: 37,
        first_time: time("2026-11-24T03:12:44Z"),
        time: time("2026-11-24T03:20:01Z"),
        ..of_cause(Cause::EphemeralClient)
    };
    let earlier = |id: &str, when: &str, cause| Conflict {
        id: id.into(),
        first_time: time(when),
        time: time(when),
        ..of_cause(cause)
    };
    let found = Found {
        conflicts: vec![
            last,
            earlier("1b-7", "2026-11-22T03:11:02Z", Cause::TimeWait),
            earlier("1a-6", "2026-09-30T23:59:59Z", Cause::Listener),
        ],
        more: 4,
        is_cut: false,
        note: Some("Nothing is recorded about port 4121; this is about pid 4121.".into()),
        gaps: vec!["1 report could not be read back and was left out.".into()],
        filter: String::new(),
    };
    compare("restart-loop", &told(&found, &present(Life::Runs, Hold::LetGo)));
}

#[test]
fn nobody_to_name() {
    let mut conflict = of_cause(Cause::TimeWait);
    let holder = &mut conflict.holders[0];
    (holder.process, holder.unnamed_reason) = (None, Some(UnnamedReason::NotRecorded));
    (holder.assigned_by, holder.assigned_time, holder.options) =
        (crate::model::AssignedBy::Unknown, None, None);
    conflict.options = Some(SocketOptions { reuse_address: true, ..SocketOptions::default() });
    let restarted = Present { rebooted: true, ..present(Life::Unnamed, Hold::LetGo) };
    compare("unnamed-after-a-reboot", &told(&one(conflict), &restarted));
}

#[test]
fn nothing_recorded() {
    let target = Target::Port { port: 50010, protocol: None };
    let java = of_cause(Cause::EphemeralClient).holders[0].process.clone();
    let held = HeldPort {
        holders: vec![held(Role::Client, java), held(Role::TimeWait, None)],
        unseen: vec!["TIME_WAIT keeps no owner; only a running portwatch would know".into()],
        ..present(Life::Unknown, Hold::NotSeen).port.expect("seen")
    };
    let path = Path::new("/var/lib/portwatch/history.db");
    compare("no-store", &shown(&nothing(&target, None, Silence::NoStore(path), Some(&held))));
    let empty = HeldPort { holders: Vec::new(), unseen: Vec::new(), ..held };
    compare(
        "not-recorded",
        &shown(&nothing(&target, Some("2026-11-24 06:30:00"), Silence::NotRecorded(path), Some(&empty))),
    );
    compare(
        "no-store-unit",
        &shown(&nothing(&Target::Unit("nginx.service".into()), None, Silence::NoStore(path), None)),
    );
}
