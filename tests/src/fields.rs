//! Looks into a report field by field and keeps a list of what is not as it must be.

use serde_json::{Value, json};

use crate::actor::Process;
use crate::clock::{Wall, Window, parse_rfc3339};

/// A field that is not as it must be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) field: String,
    pub(crate) expected: String,
    pub(crate) got: String,
}

const FIELDS: [&str; 19] = [
    "schema",
    "id",
    "time",
    "count",
    "first_time",
    "operation",
    "errno",
    "protocol",
    "address",
    "port",
    "netns",
    "backend",
    "victim",
    "holders",
    "cause",
    "range",
    "advice",
    "options",
    "exhaustion",
];
const PROCESS_FIELDS: [&str; 17] = [
    "pid",
    "tid",
    "start_time",
    "comm",
    "exe",
    "cmdline",
    "uid",
    "user",
    "cgroup",
    "unit",
    "slice",
    "container",
    "container_runtime",
    "container_name",
    "pod",
    "pod_name",
    "pod_namespace",
];
const HOLDER_FIELDS: [&str; 14] = [
    "sockets",
    "options",
    "process",
    "unnamed_reason",
    "creator",
    "state",
    "local",
    "remote",
    "inode",
    "assigned_by",
    "ephemeral",
    "assigned_time",
    "alive",
    "evidence",
];

/// A report under examination.
pub(crate) struct Checker<'a> {
    pub(crate) report: &'a Value,
    /// The program that every actor runs.
    pub(crate) exe: &'a str,
    pub(crate) found: Vec<Mismatch>,
}

impl Checker<'_> {
    pub(crate) fn at(&self, field: &str) -> &Value {
        self.report.pointer(&format!("/{field}")).unwrap_or(&Value::Null)
    }

    pub(crate) fn expect(&mut self, holds: bool, field: &str, expected: impl FnOnce() -> String) {
        if !holds {
            let got = self.at(field).to_string();
            self.found.push(Mismatch { field: field.to_owned(), expected: expected(), got });
        }
    }

    pub(crate) fn equal(&mut self, field: &str, expected: impl Into<Value>) {
        let expected = expected.into();
        self.expect(*self.at(field) == expected, field, || expected.to_string());
    }

    pub(crate) fn one_of(&mut self, field: &str, allowed: &[&str]) {
        let holds = self.at(field).as_str().is_some_and(|got| allowed.contains(&got));
        self.expect(holds, field, || format!("one of {allowed:?}"));
    }

    pub(crate) fn during(&mut self, field: &str, window: Window) {
        let holds = time(self.at(field)).is_some_and(|got| window.admits(got));
        self.expect(holds, field, || format!("a time between {} and {} ns", window.from.0, window.to.0));
    }

    /// Fields that have nothing to say are null; none is left out.
    pub(crate) fn presence(&mut self) {
        let below = |parent: &'static str, names: &'static [&str]| {
            names.iter().map(move |name| format!("{parent}/{name}"))
        };
        let mut fields: Vec<_> = FIELDS.iter().map(|&name| name.to_owned()).collect();
        fields.extend(below("victim", &PROCESS_FIELDS));
        if self.at("holders/0").is_object() {
            fields.extend(below("holders/0", &HOLDER_FIELDS));
        }
        if self.at("holders/0/process").is_object() {
            fields.extend(below("holders/0/process", &PROCESS_FIELDS));
        }
        for field in fields {
            let is_there = self.report.pointer(&format!("/{field}")).is_some();
            self.expect(is_there, &field, || "to be there, if only as null".to_owned());
        }
    }
}

/// A time of a report.
pub(crate) fn time(value: &Value) -> Option<Wall> {
    value.as_str().and_then(parse_rfc3339)
}

/// Whether a process of a report is the real one: by pid and start, and under its name.
pub(crate) fn is_process(named: &Value, process: &Process) -> bool {
    let started = Window { from: process.start, to: process.start };
    named["pid"] == json!(process.pid)
        && named["comm"].as_str().is_some_and(|comm| is_comm(comm, &process.comm))
        && time(&named["start_time"]).is_some_and(|time| started.admits(time))
}

/// Whether a report's text stands for the bytes of a name. What is not printable may be written in any way: only the
/// printable runs are compared, in their order.
pub(crate) fn is_comm(got: &str, comm: &[u8]) -> bool {
    if comm.iter().all(|&byte| byte == b' ' || byte.is_ascii_graphic()) {
        return got.as_bytes() == comm;
    }
    let mut rest = got;
    comm.split(|byte| !byte.is_ascii_alphanumeric())
        .filter_map(|run| std::str::from_utf8(run).ok())
        .all(|run| rest.find(run).map(|at| rest = &rest[at + run.len()..]).is_some())
}
