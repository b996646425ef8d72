//! Reserving ports: `ip_local_reserved_ports` of a namespace now, and portwatch's own file for boot.
//!
//! `plan` decides and is pure, as are `set`, `pieces`, `own_file` and `notes`; `kernel`, `boot_file`, `sysctl` and `turn` touch
//! the host; here it is done, in the order in which a failure leaves most in order: what can be refused is refused first,
//! then the kernel's list, then the file.

mod boot;
mod boot_file;
mod kernel;
mod notes;
mod outcome;
mod own_file;
mod pieces;
mod plan;
mod set;
mod sysctl;
mod turn;

pub use outcome::{About, Action, File, Kernel, Note, Outcome};
pub use sysctl::Setting;

use crate::exit_code::Refused;
use crate::model::SCHEMA;
use crate::owner::Live;
use crate::owner::namespaces::Namespace;
use crate::owner::netns;
use crate::ports::PortList;
use crate::who::{Query, Scope, answer};
use anyhow::Context as _;
use boot::Boot;
use plan::{Facts, Plan};
use set::{both, minus, plus};
use std::io::{self, ErrorKind};
use turn::{Memory, Turn};

/// Ports whose holders are looked for: more are a block, of which `portwatch who` can be asked.
const LOOKED_AT: u32 = 16;
/// Attempts against a program that replaces the list at the same moment.
const ATTEMPTS: usize = 3;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Request {
    /// What.
    pub action: Action,
    /// The ports.
    pub ports: PortList,
    /// Where.
    pub namespace: Namespace,
    /// At boot as well.
    pub persist: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Take out also what others reserved.
    pub force: bool,
}

/// Does it, or says what would be done.
///
/// # Errors
/// Why nothing was changed. What went wrong later is in the outcome, beside what was done.
pub fn run(request: &Request) -> anyhow::Result<Outcome> {
    let mut outcome = if request.dry_run {
        let boot = Boot::look(request)?;
        let now = kernel::read(&request.namespace).context("reading the reserved ports")?;
        let memory = turn::recall(request.namespace.number);
        let plan = plan::plan(Facts { request, now: &now, memory: &memory, boot: boot.facts() })?;
        describe(request, &now, &memory, &boot, &plan)
    } else {
        change(request)?
    };
    if request.action == Action::Reserve && request.ports.count() <= LOOKED_AT {
        name_holders(request, &mut outcome);
    }
    Ok(outcome)
}

fn change(request: &Request) -> anyhow::Result<Outcome> {
    let setting = kernel::open(&request.namespace).map_err(|error| not_permitted(error, request))?;
    let turn = Turn::take(&request.namespace).context("waiting for the turn to change reserved ports")?;
    let netns = request.namespace.number;
    let mut memory = turn.recall(netns);
    let unfinished = memory.unfinished.take();
    if let Some(list) = &unfinished {
        kernel::add(&setting, list).context("putting back what an earlier portwatch left unfinished")?;
    }
    let boot = Boot::look(request)?;
    let now = kernel::read(&request.namespace).context("reading the reserved ports")?;
    let plan = plan::plan(Facts { request, now: &now, memory: &memory, boot: boot.facts() })?;
    let mut outcome = describe(request, &now, &memory, &boot, &plan);
    if unfinished.is_some() {
        let text = "An earlier portwatch was killed while it wrote a long list; what it had left out is reserved again.";
        outcome.notes.push(Note::new(About::Repaired, text));
    }
    let is_replaced = !plan.removed.ranges().is_empty();
    let is_long = is_replaced && kernel::takes_several_writes(&plan.after);
    // Killed in between, ports that are in the list must still be known as ours: those to come already, those to go still.
    let during = Memory {
        added: plus(&plan.memory.added, &plan.removed),
        unfinished: is_long.then(|| plan.after.clone()),
        ..plan.memory.clone()
    };
    let mut remembered = turn.remember(netns, &during).map_err(|error| error.to_string());
    let changed =
        if is_replaced { replace(&setting, request, &now, &plan) } else { add(&setting, request, &plan) };
    match kernel::read(&request.namespace) {
        Ok(now) => outcome.kernel.after = now.reserved.to_string(),
        Err(error) => outcome.kernel.error = Some(format!("cannot be read back: {error}")),
    }
    if let Err(error) = changed {
        outcome.kernel.error = Some(error);
    } else if during != plan.memory && remembered.is_ok() {
        remembered = turn.remember(netns, &plan.memory).map_err(|error| error.to_string());
    }
    if let Some(why) = turn.forgetful.or(remembered.err()) {
        let text = format!("What was reserved is not remembered, so `unreserve` will want --force: {why}");
        outcome.notes.push(Note::new(About::Forgetful, text));
    }
    boot.write(&plan, &mut outcome);
    Ok(outcome)
}

/// Adds, and sees to it that it is so. `Err` is for a person.
fn add(setting: &std::fs::File, request: &Request, plan: &Plan) -> Result<(), String> {
    let mut missing = plan.added.clone();
    for _ in 0..ATTEMPTS {
        if missing.ranges().is_empty() {
            return Ok(());
        }
        kernel::add(setting, &missing).map_err(|error| format!("the kernel takes no such list: {error}"))?;
        let now =
            kernel::read(&request.namespace).map_err(|error| format!("cannot be read back: {error}"))?;
        missing = minus(&plan.added, &now.reserved);
    }
    if missing.ranges().is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} was added and is gone again: another program replaces the list all the time; look for one that writes \
         net.ipv4.ip_local_reserved_ports (a configuration manager, tuned, a container engine)",
        notes::shown(&missing)
    ))
}

/// Replaces, and puts back what must stay and is missing. `Err` is for a person.
fn replace(
    setting: &std::fs::File,
    request: &Request,
    before: &kernel::Now,
    plan: &Plan,
) -> Result<(), String> {
    let replaced = kernel::replace(setting, &plan.after, before.range);
    let read = || kernel::read(&request.namespace).map_err(|error| format!("cannot be read back: {error}"));
    let lost = minus(&plan.after, &read()?.reserved);
    if !lost.ranges().is_empty() {
        kernel::add(setting, &lost)
            .map_err(|error| format!("{} is no longer reserved and must be: {error}", notes::shown(&lost)))?;
    }
    replaced.map_err(|error| format!("the kernel takes no such list: {error}"))?;
    let back = both(&plan.removed, &read()?.reserved);
    if back.ranges().is_empty() {
        return Ok(());
    }
    Err(format!("{} was taken out and is there again: another program has reserved it", notes::shown(&back)))
}

/// What is known before anything is done.
fn describe(request: &Request, now: &kernel::Now, memory: &Memory, boot: &Boot, plan: &Plan) -> Outcome {
    let facts = Facts { request, now, memory, boot: boot.facts() };
    let kernel = Kernel {
        before: now.reserved.to_string(),
        after: plan.after.to_string(),
        added: plan.added.to_string(),
        removed: plan.removed.to_string(),
        kept: plan.kept.to_string(),
        error: None,
    };
    let mut notes = notes::notes(facts, plan);
    notes.extend(boot.notes(request, plan));
    Outcome {
        schema: SCHEMA,
        action: request.action,
        dry_run: request.dry_run,
        ports: request.ports.to_string(),
        netns: request.namespace.number,
        netns_name: request.namespace.name.clone(),
        kernel,
        file: boot.describe(plan),
        holders: Vec::new(),
        unseen: Vec::new(),
        notes,
    }
}

fn name_holders(request: &Request, outcome: &mut Outcome) {
    let ranges = request.ports.ranges().iter().flat_map(|&(low, high)| low..=high);
    let queries: Vec<_> = ranges.map(|port| Query { port, protocol: None }).collect();
    let scope = match request.namespace.doors.first() {
        Some(door) if request.namespace.number != netns::own() => {
            Scope::Behind(request.namespace.number, door.clone())
        }
        _ => Scope::Own,
    };
    for port in answer(&queries, &scope, true, &mut Live::new()) {
        outcome.holders.extend(port.holders);
        outcome.unseen.extend(port.unseen);
    }
    outcome.unseen.sort();
    outcome.unseen.dedup();
    outcome.notes.extend(notes::holders(&outcome.holders));
}

fn not_permitted(error: io::Error, request: &Request) -> anyhow::Error {
    let why = match error.kind() {
        ErrorKind::PermissionDenied => "run it as root (sudo portwatch ...)",
        ErrorKind::ReadOnlyFilesystem => {
            "/proc/sys is read-only here, as in a container: run it on the host, with --netns /proc/PID/ns/net for a process \
             of the container"
        }
        ErrorKind::NotFound => "this network namespace has no such setting; run it on the host",
        _ => return anyhow::Error::new(error).context(format!("opening {}", kernel::PATH)),
    };
    let what = match request.action {
        Action::Reserve => "reserved",
        Action::Unreserve => "changed",
    };
    Refused::unsupported(format!("nothing was {what}: {}: {error}; {why}", kernel::PATH)).into()
}
