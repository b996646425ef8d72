//! One report against what really happened.

use serde_json::Value;

use super::kind::Kind;
use super::truth::{Pace, Truth, Who};
use crate::cgroup;
use crate::clock::Wall;
use crate::fields::{Checker, Mismatch, is_process, time};
use crate::netns::Range;
use crate::product::Backend;

/// What a report is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Right,
    /// The right name, though the holder let go in the moment of the refusal.
    RacedRight,
    /// Honestly no name, because the holder let go in the moment of the refusal.
    RacedUnnamed,
    /// No name where there was one to be had.
    Unnamed,
    /// The right name, but something else in the report is not as it was.
    Inexact,
    /// Another name than the right one, be it the holder's or the victim's.
    Wrong,
    /// No report.
    Missed,
}

impl Outcome {
    pub(super) const ALL: [Self; 7] = [
        Self::Right,
        Self::RacedRight,
        Self::RacedUnnamed,
        Self::Unnamed,
        Self::Inexact,
        Self::Wrong,
        Self::Missed,
    ];

    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Unnamed | Self::Inexact | Self::Wrong | Self::Missed)
    }
}

/// What all conflicts of a troupe have in common.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) backend: Backend,
    pub(super) netns: u64,
    pub(super) range: Range,
    /// The program that everybody runs.
    pub(super) exe: String,
}

/// A report's start time comes from the kernel's nanoseconds, the truth's from its ticks of 10 ms.
const START_SLACK: i64 = 100_000_000;

/// Grades a report; what is wrong with it is in the list.
pub(super) fn judge(truth: &Truth, report: &Value, scene: &Scene) -> (Outcome, Vec<Mismatch>) {
    let mut checker = Checker { report, exe: &scene.exe, found: Vec::new() };
    let holder = &truth.held.who;
    let is_raced = truth.pace == Pace::Raced;
    let holders = report["holders"].as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<&Value> = holders.iter().map(|h| &h["process"]).filter(|p| !p.is_null()).collect();
    let is_holder = |process: &&Value| is_who(process, holder);
    // Everybody in the list is accused: one wrong name in it is a wrong name.
    checker.expect(named.iter().all(is_holder), "holders", || format!("nobody but {holder}"));
    let is_victim = is_who(&report["victim"], &truth.asked.who);
    checker.expect(is_victim, "victim", || truth.asked.who.to_string());
    if !checker.found.is_empty() {
        return (Outcome::Wrong, checker.found);
    }
    refusal(&mut checker, truth, scene);
    let is_named = holders.first().is_some_and(|first| !first["process"].is_null());
    if is_named {
        count(&mut checker, truth);
    } else {
        checker.expect(is_raced, "holders/0/process", || holder.to_string());
        // Without a holder at all there is nothing that could carry a reason; the cause says so.
        let is_honest = report["cause"] == "unknown" || !report["holders"][0]["unnamed_reason"].is_null();
        checker.expect(is_honest, "holders/0/unnamed_reason", || "why nobody is named".to_owned());
        let outcome = if checker.found.is_empty() { Outcome::RacedUnnamed } else { Outcome::Unnamed };
        return (outcome, checker.found);
    }
    if !is_raced {
        socket(&mut checker, truth, scene.backend);
    }
    let outcome = match (checker.found.is_empty(), is_raced) {
        (true, true) => Outcome::RacedRight,
        (true, false) => Outcome::Right,
        (false, _) => Outcome::Inexact,
    };
    (outcome, checker.found)
}

/// By pid, name and start, which no two processes share even where pids come round quickly.
fn is_who(named: &Value, who: &Who) -> bool {
    let started = time(&named["start_time"]);
    is_process(named, &who.as_process(true))
        && started.is_some_and(|Wall(at)| (at - who.start).abs() <= START_SLACK)
}

fn refusal(checker: &mut Checker<'_>, truth: &Truth, scene: &Scene) {
    let asked = &truth.asked;
    checker.presence();
    checker.equal("errno", "EADDRINUSE");
    checker.equal("backend", scene.backend.name());
    checker.equal("operation", truth.operation());
    checker.equal("protocol", asked.transport.protocol());
    checker.equal("address", asked.wanted.ip().to_string());
    checker.equal("port", asked.wanted.port());
    checker.equal("netns", scene.netns);
    checker.during("time", asked.when.window());
    program(checker, "victim", truth.pace == Pace::Steady);
    checker.equal("range/low", scene.range.low);
    checker.equal("range/high", scene.range.high);
    checker.equal("range/in_range", scene.range.contains(asked.wanted.port()));
}

/// Of a conflict with a culprit, who is nobody else's: without one, several may be counted as one.
fn count(checker: &mut Checker<'_>, truth: &Truth) {
    let asked = &truth.asked;
    checker.during("first_time", asked.when.window());
    let count = checker.at("count").as_u64().unwrap_or(0);
    checker.expect((1..=asked.refused).contains(&count), "count", || format!("1 to {}", asked.refused));
}

fn socket(checker: &mut Checker<'_>, truth: &Truth, backend: Backend) {
    let (kind, held) = (truth.kind, &truth.held);
    checker.one_of("cause", &causes(kind));
    checker.one_of("holders/0/state", kind.states());
    checker.equal("holders/0/local", held.local.to_string());
    let remote = held.remote.map_or(Value::Null, |remote| remote.to_string().into());
    checker.equal("holders/0/remote", remote);
    if !kind.is_closed() {
        checker.equal("holders/0/inode", held.inode);
    }
    checker.equal("holders/0/assigned_by", kind.assigned_by());
    checker.equal("holders/0/ephemeral", kind.is_ephemeral());
    checker.during("holders/0/assigned_time", held.assigned.window());
    checker.one_of("holders/0/evidence", &evidence(kind, backend));
    let creator = checker.at("holders/0/creator");
    let holds = held.creator.as_ref().map_or(creator.is_null(), |who| is_who(creator, who));
    checker.expect(holds, "holders/0/creator", || format!("{:?}", held.creator));
    if truth.pace == Pace::Steady {
        checker.equal("holders/0/alive", !kind.is_dead());
    }
    program(checker, "holders/0/process", truth.pace == Pace::Steady && !kind.is_dead());
}

/// A process that is gone may have ended before anybody read its program: null then, but never another's.
fn program(checker: &mut Checker<'_>, process: &str, is_there: bool) {
    let field = format!("{process}/exe");
    let holds = checker.at(&field) == checker.exe || (!is_there && checker.at(&field).is_null());
    checker.expect(holds, &field, || checker.exe.to_owned());
}

/// Where the lineup is part of a service, whoever bound the port by number is the victim's predecessor.
fn causes(kind: Kind) -> Vec<&'static str> {
    let mut causes = kind.causes().to_vec();
    let is_by_number = causes.iter().any(|&cause| cause == "listener" || cause == "explicit-bind");
    if is_by_number && cgroup::is_one_service() {
        causes.push("previous-instance");
    }
    causes
}

fn evidence(kind: Kind, backend: Backend) -> Vec<&'static str> {
    let mut allowed = vec!["port-table"];
    if matches!(backend, Backend::Fexit | Backend::Kprobe) {
        allowed.push("kernel-verdict");
    }
    if kind.is_closed() {
        allowed.push("last-owner");
    }
    allowed
}

#[cfg(test)]
#[path = "judge_tests.rs"]
pub(super) mod tests;
