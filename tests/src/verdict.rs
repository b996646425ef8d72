//! Compares one report with the truth and grades the name in it.

use std::net::IpAddr;

use serde_json::Value;

use crate::actor::Process;
use crate::case::{Case, Holder, state};
use crate::cgroup;
use crate::clock::Window;
use crate::fields::{Checker, Mismatch, is_comm, is_process, time};
use crate::product::Backend;

/// What a report says about the culprit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grade {
    /// The process that it was.
    Right,
    /// Somebody else.
    Wrong,
    /// Nobody, honestly.
    Unnamed,
}

/// Whom the report names.
pub(crate) fn grade(case: &Case, report: &Value) -> Grade {
    let named = &report["holders"][0]["process"];
    match &case.holder.process {
        _ if named.is_null() => Grade::Unnamed,
        Some(process) if is_process(named, process) => Grade::Right,
        _ => Grade::Wrong,
    }
}

/// Everything that is wrong with the report; `exe` is the program that every actor runs.
pub(crate) fn check(case: &Case, backend: Backend, exe: &str, report: &Value) -> Vec<Mismatch> {
    let mut checker = Checker { report, exe, found: Vec::new() };
    checker.presence();
    checker.refusal(case, backend);
    checker.victim(case);
    if case.is_exhausted() {
        checker.everybody(&case.holder);
    } else {
        checker.holder(&case.holder, backend);
    }
    checker.remedy(case);
    checker.found
}

impl Checker<'_> {
    fn refusal(&mut self, case: &Case, backend: Backend) {
        let refusal = &case.refusal;
        self.equal("schema", 1);
        self.expect(!self.at("id").is_null(), "id", || "an id".to_owned());
        self.equal("errno", "EADDRINUSE");
        self.equal("backend", backend.name());
        self.equal("operation", refusal.operation);
        self.equal("protocol", refusal.transport.protocol());
        let address = self.at("address").as_str().and_then(|address| address.parse::<IpAddr>().ok());
        self.expect(address == Some(refusal.address), "address", || refusal.address.to_string());
        self.equal("port", refusal.port);
        self.equal("netns", case.netns);
        self.equal("count", refusal.count);
        self.during("time", refusal.when);
        self.during("first_time", refusal.when);
        let ordered = time(self.at("first_time")) <= time(self.at("time"));
        self.expect(ordered, "first_time", || "not to be later than time".to_owned());
    }

    fn victim(&mut self, case: &Case) {
        let pid = self.at("victim/pid").as_u64();
        let victims = &case.refusal.victims;
        match victims.iter().find(|victim| pid == Some(victim.pid.into())) {
            Some(victim) => {
                self.process("victim", victim);
                self.equal("victim/tid", victim.pid);
            }
            None => self.expect(false, "victim/pid", || {
                format!("{:?}", victims.iter().map(|victim| victim.pid).collect::<Vec<_>>())
            }),
        }
    }

    fn holder(&mut self, holder: &Holder, backend: Backend) {
        let holders = self.at("holders").as_array().map_or(0, Vec::len);
        self.expect(holders == 1, "holders", || {
            "exactly one: the one because of whom the kernel refused".to_owned()
        });
        self.one_of("cause", &causes(holder, cgroup::is_one_service()));
        self.owner(holder);
        self.socket(holder);
        // A holder that is nobody's may have been established by nothing but the socket itself.
        if holder.process.is_some() || !self.at("holders/0/evidence").is_null() {
            self.one_of("holders/0/evidence", &evidence(holder, backend));
        }
    }

    fn owner(&mut self, holder: &Holder) {
        match &holder.process {
            Some(process) => {
                self.process("holders/0/process", process);
                self.equal("holders/0/unnamed_reason", Value::Null);
                self.equal("holders/0/alive", process.alive);
                self.creator(process);
            }
            None => {
                self.equal("holders/0/process", Value::Null);
                self.equal("holders/0/creator", Value::Null);
                let reason =
                    self.at("holders/0/unnamed_reason").as_str().is_some_and(|reason| !reason.is_empty());
                self.expect(reason, "holders/0/unnamed_reason", || "why nobody is named".to_owned());
            }
        }
    }

    fn socket(&mut self, holder: &Holder) {
        self.equal("holders/0/state", holder.state);
        self.equal("holders/0/local", holder.local.to_string());
        self.equal("holders/0/remote", holder.remote.map_or(Value::Null, |remote| remote.to_string().into()));
        if let Some(inode) = holder.inode {
            self.equal("holders/0/inode", inode);
        }
        self.equal("holders/0/assigned_by", holder.assigned_by);
        // What left no process behind may have left no trace of who chose the number either.
        if holder.process.is_some() {
            self.equal("holders/0/ephemeral", holder.ephemeral);
        }
        if let Some(window) = holder.assigned {
            self.during("holders/0/assigned_time", window);
        }
    }

    /// No port is left: nobody in particular is to blame, and whoever is named must at least have one.
    fn everybody(&mut self, holder: &Holder) {
        self.equal("cause", holder.cause);
        let named = self.at("holders").as_array().into_iter().flatten().map(|named| &named["process"]);
        let holds = holder.process.as_ref().is_some_and(|process| {
            named.filter(|named| !named.is_null()).all(|named| is_process(named, process))
        });
        self.expect(holds, "holders", || "nobody, or those who have the ports".to_owned());
    }

    fn process(&mut self, field: &str, process: &Process) {
        self.equal(&format!("{field}/pid"), process.pid);
        let comm = format!("{field}/comm");
        let holds = self.at(&comm).as_str().is_some_and(|got| is_comm(got, &process.comm));
        self.expect(holds, &comm, || process.comm.escape_ascii().to_string());
        self.during(&format!("{field}/start_time"), Window { from: process.start, to: process.start });
        let exe = format!("{field}/exe");
        // A process that is gone may have ended before anybody read its program: null then, but never another's.
        let holds = self.at(&exe) == self.exe || (!process.alive && self.at(&exe).is_null());
        self.expect(holds, &exe, || self.exe.to_owned());
    }

    /// Nobody in the lineup hands a socket on: who made it is who has it.
    fn creator(&mut self, process: &Process) {
        let creator = self.at("holders/0/creator");
        let holds = creator.is_null() || is_process(creator, process);
        self.expect(holds, "holders/0/creator", || format!("null or pid {}", process.pid));
    }

    fn remedy(&mut self, case: &Case) {
        self.equal("range/low", case.range.low);
        self.equal("range/high", case.range.high);
        self.equal("range/in_range", case.range.contains(case.refusal.port));
        self.equal("range/reserved", false);
        let port = case.refusal.port.to_string();
        let commands = self
            .at("advice")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|advice| advice["commands"].as_array());
        let names_port =
            commands.flatten().any(|command| command.as_str().is_some_and(|command| command.contains(&port)));
        let is_reservable = case.holder.cause.starts_with("ephemeral-");
        self.expect(names_port || !is_reservable, "advice", || {
            format!("a command that deals with port {port}")
        });
    }
}

/// The classes that fit a holder. Where the lineup itself is part of a service or runs in a container, everybody it
/// starts is so too, and whoever bound the port by number is the victim's predecessor.
fn causes(holder: &Holder, is_one_service: bool) -> Vec<&'static str> {
    let is_by_number = matches!(holder.cause, "listener" | "explicit-bind");
    if is_by_number && is_one_service { vec![holder.cause, "previous-instance"] } else { vec![holder.cause] }
}

/// The evidence that a backend can have for a holder.
fn evidence(holder: &Holder, backend: Backend) -> Vec<&'static str> {
    let mut allowed = vec!["port-table"];
    if backend == Backend::Fexit {
        allowed.push("kernel-verdict");
    }
    if holder.is_gone() || holder.state == state::TIME_WAIT {
        allowed.push("last-owner");
    }
    if holder.is_preexisting() {
        allowed.push("socket-dump");
    }
    allowed
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
