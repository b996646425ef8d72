//! Compares one report with the truth and grades the name in it.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::actor::Process;
use crate::case::{Case, Holder, state};
use crate::cgroup;
use crate::clock::Window;
use crate::fields::{Checker, Mismatch, is_comm, is_process, time};
use crate::product::Backend;
use crate::several::claimed;

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
    let is_true = |process: &Process| is_process(named, process);
    if named.is_null() {
        Grade::Unnamed
    } else if case.truths().filter_map(|holder| holder.process.as_ref()).any(is_true) {
        Grade::Right
    } else {
        Grade::Wrong
    }
}

/// Whether the report is about somebody who was refused in this case.
pub(crate) fn is_victim(case: &Case, report: &Value) -> bool {
    case.refusal.victims.iter().any(|victim| report["victim"]["pid"] == victim.pid)
}

/// Everything that is wrong with the report; `exe` is the program that every actor runs.
pub(crate) fn check(case: &Case, backend: Backend, exe: &str, report: &Value) -> Vec<Mismatch> {
    let mut checker = Checker { report, exe, found: Vec::new() };
    checker.presence();
    checker.refusal(case, backend);
    checker.victim(case);
    if case.is_exhausted() {
        checker.everybody(case);
    } else {
        checker.everyone(case);
        let several = !case.also.is_empty();
        checker.holder(&claimed(case, report).as_seen_by(backend), backend, several);
    }
    checker.remedy(case);
    checker.found
}

impl Checker<'_> {
    fn refusal(&mut self, case: &Case, backend: Backend) {
        let refusal = &case.refusal;
        self.equal("schema", 1);
        self.expect(!self.at("id").is_null(), "id", || "an id".to_owned());
        self.equal("errno", refusal.errno);
        self.equal("backend", backend.name());
        self.equal("operation", refusal.operation);
        self.equal("protocol", refusal.transport.protocol());
        let address = self.at("address").as_str().and_then(|address| address.parse::<IpAddr>().ok());
        // connect() takes the address of its route back when it fails: only who looks in time still sees it.
        let is_taken_back = refusal.operation == "connect" && address.is_some_and(|it| it.is_unspecified());
        let holds = address == Some(refusal.address) || is_taken_back;
        self.expect(holds, "address", || refusal.address.to_string());
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
                if victim.portrait.thread.is_none() {
                    self.equal("victim/tid", victim.pid);
                }
            }
            None => self.expect(false, "victim/pid", || {
                format!("{:?}", victims.iter().map(|victim| victim.pid).collect::<Vec<_>>())
            }),
        }
    }

    fn holder(&mut self, holder: &Holder, backend: Backend, several: bool) {
        for (index, sharer) in (1..).zip(&holder.sharers) {
            self.process(&format!("holders/{index}/process"), sharer);
        }
        self.one_of("cause", &causes(holder, cgroup::is_one_service()));
        self.owner(holder);
        self.socket(holder);
        // A holder that is nobody's may have been established by nothing but the socket itself.
        if holder.process.is_some() || !self.at("holders/0/evidence").is_null() {
            let is_sctp = *self.at("protocol") == "sctp";
            let allowed = if is_sctp { sctp_evidence(holder) } else { evidence(holder, backend, several) };
            self.one_of("holders/0/evidence", &allowed);
        }
    }

    fn owner(&mut self, holder: &Holder) {
        match &holder.process {
            Some(process) => {
                self.process("holders/0/process", process);
                self.equal("holders/0/unnamed_reason", Value::Null);
                self.equal("holders/0/alive", process.alive);
                self.creator(holder, process);
            }
            None => {
                self.equal("holders/0/process", Value::Null);
                let creator = self.at("holders/0/creator");
                // Whoever had the kernel make the socket may be told, and nobody else.
                let holds =
                    creator.is_null() || holder.creator.as_ref().is_some_and(|had| is_process(creator, had));
                self.expect(holds, "holders/0/creator", || "nobody".to_owned());
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
        if holder.is_kernels() {
            // The kernel asks itself, by no system call: only hooks in its own functions see that.
            self.one_of("holders/0/assigned_by", &[holder.assigned_by, "unknown"]);
            self.equal("holders/0/unnamed_reason", holder.cause);
        } else {
            self.equal("holders/0/assigned_by", holder.assigned_by);
        }
        // What left no process behind may have left no trace of who chose the number either.
        if holder.process.is_some() {
            self.equal("holders/0/ephemeral", holder.ephemeral);
        }
        let was_seen = !holder.is_kernels() || self.at("holders/0/assigned_by") == holder.assigned_by;
        if let Some(window) = holder.assigned.filter(|_| was_seen) {
            self.during("holders/0/assigned_time", window);
        }
    }

    fn process(&mut self, field: &str, process: &Process) {
        self.equal(&format!("{field}/pid"), process.pid);
        let comm = format!("{field}/comm");
        let holds = self.at(&comm).as_str().is_some_and(|got| is_comm(got, &process.comm));
        self.expect(holds, &comm, || process.comm.escape_ascii().to_string());
        self.during(&format!("{field}/start_time"), Window { from: process.start, to: process.start });
        self.program(field, process);
        self.portrait(field, process);
    }

    /// Who made the socket, where that is not who has it.
    fn creator(&mut self, holder: &Holder, process: &Process) {
        if let Some(creator) = &holder.creator {
            return self.process("holders/0/creator", creator);
        }
        let creator = self.at("holders/0/creator");
        let holds = creator.is_null() || is_process(creator, process);
        self.expect(holds, "holders/0/creator", || format!("null or pid {}", process.pid));
    }

    /// A command that enters a namespace must enter that of the conflict, if it enters any.
    fn doors(&mut self, case: &Case) {
        let advice = self.at("advice").as_array().into_iter().flatten();
        let commands = advice.filter_map(|advice| advice["commands"].as_array()).flatten();
        let doors = commands
            .filter_map(|command| command.as_str()?.split("nsenter --net=").nth(1)?.split(' ').next());
        let leads_elsewhere = |door: &&str| fs::metadata(door).is_ok_and(|found| found.ino() != case.netns);
        let misleading = doors.clone().find(leads_elsewhere).map(str::to_owned);
        self.expect(misleading.is_none(), "advice", || {
            format!("a way to the namespace {}, not {}", case.netns, misleading.unwrap_or_default())
        });
    }

    fn remedy(&mut self, case: &Case) {
        self.doors(case);
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
fn evidence(holder: &Holder, backend: Backend, several: bool) -> Vec<&'static str> {
    // Where the kernel's own comparison is hooked, no less will do for the socket.
    let mut allowed = match backend {
        // Of several in the way the kernel stops at one, and that may not be the one to tell of first.
        Backend::Fexit | Backend::Kprobe if several => vec!["kernel-verdict", "port-table"],
        Backend::Fexit | Backend::Kprobe => vec!["kernel-verdict"],
        _ if holder.is_gone() || holder.state == state::TIME_WAIT => vec!["port-table", "last-owner"],
        Backend::Tracepoint => vec!["port-table"],
    };
    if holder.is_unrecorded() {
        allowed.push("socket-dump");
    }
    allowed
}

/// No backend hooks the module: it is a record that tells of a socket, and without one the kernel's list.
fn sctp_evidence(holder: &Holder) -> Vec<&'static str> {
    vec![if holder.assigned_by == "unknown" { "socket-dump" } else { "port-table" }]
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
