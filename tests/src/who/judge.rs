//! What is on the ports, against what portwatch says: each socket once, with all that is known of it, and no other.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::actor::Process;

/// A socket that is there.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) netns: u64,
    pub(super) protocol: &'static str,
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    pub(super) inode: Option<u64>,
    pub(super) state: &'static str,
    pub(super) role: &'static str,
    pub(super) ephemeral: bool,
    pub(super) process: Option<Process>,
    pub(super) reason: Option<&'static str>,
}

/// What can be known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Everything,
    /// Everything but TCP and SCTP sockets that are only bound.
    ButBound,
}

impl Truth {
    /// The kernel chose its port.
    pub(super) fn chosen(self) -> Self {
        Self { ephemeral: true, ..self }
    }

    /// Nobody has it, for this reason.
    pub(super) fn without_process(
        self,
        state: &'static str,
        role: &'static str,
        reason: &'static str,
    ) -> Self {
        Self { process: None, inode: None, state, role, reason: Some(reason), ..self }
    }

    /// The same to somebody who may not look into processes.
    pub(super) fn hidden(&self) -> Self {
        let reason = self.reason.or(Some("no-permission"));
        Self { process: None, reason, ..self.clone() }
    }

    fn is_only_bound(&self) -> bool {
        matches!(self.protocol, "tcp" | "sctp") && self.role == "bound"
    }

    /// No table has it, on any kernel.
    pub(super) fn is_for_bpf_only(&self) -> bool {
        self.protocol == "sctp" && self.is_only_bound()
    }

    /// The facts of an answer that must be exactly so.
    fn facts(&self, has_address: bool) -> Value {
        json!({
            "netns": self.netns,
            "protocol": self.protocol,
            "local": has_address.then_some(self.local),
            "remote": self.remote,
            "inode": self.inode,
            "state": self.state,
            "role": self.role,
            "ephemeral": self.ephemeral,
            "pid": self.process.as_ref().map(|process| process.pid),
            "comm": self.process.as_ref().map(|process| String::from_utf8_lossy(&process.comm).into_owned()),
            "unnamed_reason": self.reason,
            "others": 0,
            "assigned_by": "preexisting",
        })
    }
}

/// The same facts out of an answer.
fn told(holder: &Value) -> Value {
    json!({
        "netns": holder["netns"],
        "protocol": holder["protocol"],
        "local": holder["local"],
        "remote": holder["remote"],
        "inode": holder["inode"],
        "state": holder["state"],
        "role": holder["role"],
        "ephemeral": holder["ephemeral"],
        "pid": holder["process"]["pid"],
        "comm": holder["process"]["comm"],
        "unnamed_reason": holder["unnamed_reason"],
        "others": holder["others"].as_array().map(Vec::len),
        "assigned_by": holder["assigned_by"],
    })
}

/// Compares; the number of sockets that were told right. Other namespaces of the machine are not the stage's business.
pub(super) fn compare(answers: &[Value], truth: &[Truth], known: Known) -> Result<usize> {
    let netns: Vec<u64> = truth.iter().map(|truth| truth.netns).collect();
    let mut faults = Vec::new();
    let mut right = 0;
    for answer in answers {
        let port = answer["port"].as_u64();
        let here = |truth: &&Truth| Some(u64::from(truth.local.port())) == port;
        let mut missing: Vec<&Truth> = truth
            .iter()
            .filter(here)
            .filter(|truth| known == Known::Everything || !truth.is_only_bound())
            .collect();
        for holder in answer["holders"].as_array().into_iter().flatten() {
            if !holder["netns"].as_u64().is_some_and(|number| netns.contains(&number)) {
                continue;
            }
            let told = told(holder);
            match missing.iter().position(|truth| is(truth, &told)) {
                Some(at) => {
                    missing.remove(at);
                    right += 1;
                }
                None => faults.push(format!("told of port {}, and not so: {told}", answer["port"])),
            }
        }
        faults.extend(missing.iter().map(|truth| format!("not told: {}", truth.facts(true))));
    }
    if faults.is_empty() && right > 0 {
        return Ok(right);
    }
    bail!("{right} right; {}", faults.join("\n  "))
}

/// Where only BPF knows of a bound socket, its address is not known; a wrong one would be a fault.
fn is(truth: &Truth, told: &Value) -> bool {
    *told == truth.facts(true) || (truth.is_only_bound() && *told == truth.facts(false))
}
