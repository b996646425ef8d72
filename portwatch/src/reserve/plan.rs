//! What is to become of the list, of the file and of the memory, or why it is refused. Pure.
//!
//! Whose a port is decides what `unreserve` takes out: only what `reserve` put there. In the kernel these are the ports that
//! portwatch remembers to have added since the host booted and, of the namespace of process 1, those that its own file
//! brought at boot. What others had reserved before stays, unless force is asked for.

use super::kernel::Now;
use super::own_file::OwnFile;
use super::set::{both, minus, plus, range};
use super::sysctl::Others;
use super::turn::Memory;
use super::{Action, Request};
use crate::exit_code::Refused;
use crate::ports::PortList;

/// Free ports that a range must keep: fewer, and less than a sixteenth of it, is nothing to run a host with.
const FEW: u32 = 1024;
const SHARE: u32 = 16;

/// What is known before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request,
    pub(super) now: &'a Now,
    pub(super) memory: &'a Memory,
    /// portwatch's own file and the others, of the namespace that they are applied to.
    pub(super) boot: Option<(&'a OwnFile, &'a Others)>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) after: PortList,
    pub(super) added: PortList,
    pub(super) removed: PortList,
    /// Reserved already, or not reserved at all: as it should be.
    pub(super) already: PortList,
    /// Were reserved before portwatch was asked to: so they are again.
    pub(super) as_found: PortList,
    /// Were reserved by others, and are not to be taken out unasked.
    pub(super) kept: PortList,
    pub(super) memory: Memory,
    /// portwatch's file as it is to be.
    pub(super) file: Option<OwnFile>,
}

/// Decides.
pub(super) fn plan(facts: Facts<'_>) -> Result<Plan, Refused> {
    let plan = match facts.request.action {
        Action::Reserve => reserve(facts),
        Action::Unreserve => unreserve(facts),
    };
    enough_left(facts.now, &plan)?;
    Ok(plan)
}

fn reserve(facts: Facts<'_>) -> Plan {
    let Facts { request, now, .. } = facts;
    let memory = current(facts);
    let added = minus(&request.ports, &now.reserved);
    let already = both(&request.ports, &now.reserved);
    let found = plus(&memory.found, &minus(&already, &ours(facts)));
    Plan {
        after: plus(&now.reserved, &added),
        memory: Memory { added: plus(&memory.added, &added), found, unfinished: None },
        file: file(facts, plus),
        added,
        already,
        ..Plan::default()
    }
}

fn unreserve(facts: Facts<'_>) -> Plan {
    let Facts { request, now, .. } = facts;
    let memory = current(facts);
    let there = both(&request.ports, &now.reserved);
    let removed = if request.force { there.clone() } else { both(&there, &ours(facts)) };
    let others = minus(&there, &removed);
    let file = file(facts, minus);
    let file = file.map(|file| if request.force { file.without_foreign(&request.ports) } else { file });
    // What the file still brings at boot must not be taken for portwatch's in the kernel.
    let asked_at_boot = file.as_ref().or(facts.boot.map(|(own, _)| own)).map(|file| file.asked.clone());
    let done = minus(&request.ports, &asked_at_boot.unwrap_or_default());
    Plan {
        after: minus(&now.reserved, &removed),
        already: minus(&request.ports, &now.reserved),
        as_found: both(&others, &memory.found),
        kept: minus(&others, &memory.found),
        memory: Memory {
            added: minus(&memory.added, &removed),
            found: minus(&memory.found, &done),
            unfinished: None,
        },
        removed,
        file,
        ..Plan::default()
    }
}

/// The memory, without what somebody else took out of the list meanwhile.
fn current(facts: Facts<'_>) -> Memory {
    let here = |list| both(list, &facts.now.reserved);
    Memory { added: here(&facts.memory.added), found: here(&facts.memory.found), unfinished: None }
}

/// Ports of the list that portwatch put there.
fn ours(facts: Facts<'_>) -> PortList {
    let memory = current(facts);
    let at_boot = facts.boot.map(|(own, _)| minus(&own.asked, &memory.found)).unwrap_or_default();
    plus(&memory.added, &at_boot)
}

/// The file with other ports, if it is to be changed.
fn file(facts: Facts<'_>, change: fn(&PortList, &PortList) -> PortList) -> Option<OwnFile> {
    let (own, others) = facts.boot.filter(|_| facts.request.persist)?;
    let carried = others.inherited().and_then(|setting| PortList::parse(&setting.value).ok());
    Some(own.with(change(&own.asked, &facts.request.ports), &carried.unwrap_or_default()))
}

/// Without ports to choose from no program gets a connection out.
fn enough_left(now: &Now, plan: &Plan) -> Result<(), Refused> {
    let Some((low, high)) = now.range else { return Ok(()) };
    let all = range((low, high));
    if both(&plan.added, &all).ranges().is_empty() {
        return Ok(());
    }
    let left = minus(&all, &plan.after).count();
    if left > 0 && (left >= FEW || left * SHARE >= all.count()) {
        return Ok(());
    }
    let left = match left {
        0 => "none".to_owned(),
        left => format!("only {left}"),
    };
    Err(Refused::usage(format!(
        "not reserved: of the {} ports that the kernel chooses from ({low}-{high}) {left} would be left, and programs could \
         make no connections; name only the ports that services need, or move the range with `sysctl -w \
         net.ipv4.ip_local_port_range='LOW HIGH'`",
        all.count()
    )))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
