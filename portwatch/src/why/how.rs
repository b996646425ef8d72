//! How and when the holder came to the port, how that is known, and what the victim did.

use super::words::{self, Clock};
use crate::model::{AssignedBy, Cause, Conflict, Evidence, Holder, Process, State, UnnamedReason};
use crate::owner::cgroup;

/// Holders beside the culprit that are told one by one.
const OTHERS: usize = 3;

/// How the culprit came to the port.
pub(super) fn acquired(conflict: &Conflict, clock: &Clock<'_>) -> String {
    let Some(holder) = conflict.culprit() else {
        return match conflict.cause {
            Cause::Exhausted => "Who has most of the range was not recorded.".to_owned(),
            _ => "Nobody was found on the port.".to_owned(),
        };
    };
    if conflict.cause == Cause::Exhausted {
        return hoarders(conflict, clock);
    }
    let mut sentences = vec![assigned(conflict, holder, clock)];
    sentences.extend(handed_over(holder, clock));
    sentences.extend(holder.process.as_ref().map(|process| match &holder.creator {
        Some(_) => runs(&words::who(process), process, clock),
        None => runs("It", process, clock),
    }));
    sentences.extend(same_service(conflict, holder));
    sentences.extend(holder.unnamed_reason.map(|reason| words::why_unnamed(reason).to_owned()));
    sentences.extend(holder.evidence.map(|evidence| known_by(evidence).to_owned()));
    sentences.extend(others(conflict));
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join(" ")
}

/// What was done to get the port, by whom and when.
fn assigned(conflict: &Conflict, holder: &Holder, clock: &Clock<'_>) -> String {
    let who = match holder.creator.as_ref().or(holder.process.as_ref()) {
        Some(process) => words::who(process),
        None if holder.evidence.is_none() => return String::new(),
        None if holder.unnamed_reason == Some(UnnamedReason::KernelSocket) => "The kernel".to_owned(),
        None => "The holder".to_owned(),
    };
    let when = holder.assigned_time.map_or_else(String::new, |time| {
        format!(" {}, {} before the refusal,", clock.at(time), words::span(time, conflict.first_time))
    });
    let (port, range) = (conflict.port, conflict.range);
    let chose = format!("the kernel chose {port} out of {}-{}", range.low, range.high);
    let to = holder.remote.map_or_else(String::new, |remote| format!(" to {remote}"));
    match holder.assigned_by {
        AssignedBy::Connect => {
            format!("{who} got the port{when} with connect(){to}: it named none, and {chose}.")
        }
        AssignedBy::Autobind => {
            format!("{who} got the port{when} when it sent or connected{to} without bind(), and {chose}.")
        }
        AssignedBy::Bind0 => {
            format!("{who} got the port{when} with bind() to port 0, which means any: {chose}.")
        }
        AssignedBy::Listen => {
            format!("{who} got the port{when} with listen() without bind(), and {chose}.")
        }
        AssignedBy::Bind => format!("{who} asked for port {port} by number{when} with bind()."),
        AssignedBy::Accept => accepted(&who, holder),
        AssignedBy::Preexisting => {
            format!("{who} had the port before portwatch was there to see how.{}", inferred(holder))
        }
        AssignedBy::Unknown => format!("How the port was got was not seen.{}", inferred(holder)),
    }
}

fn accepted(who: &str, holder: &Holder) -> String {
    let from = holder.remote.map_or_else(String::new, |remote| format!(" from {remote}"));
    format!(
        "{who} has it by a connection{from} that a listener on the port had accepted; such a connection shares the listener's port."
    )
}

/// What the socket itself tells of how it came to its port.
fn inferred(holder: &Holder) -> &'static str {
    let is_out = holder.state == State::TimeWait || holder.state.is_on_its_way_out();
    match (holder.ephemeral, is_out) {
        (true, true) => " It is taken for a client's, because the port lies in the ephemeral range.",
        (true, false) => {
            " It was not bound by number, which leaves a mark on a socket, so the kernel had chosen the port."
        }
        (false, _) => "",
    }
}

fn runs(subject: &str, process: &Process, clock: &Clock<'_>) -> String {
    let particulars = words::particulars(process, clock);
    match particulars.is_empty() {
        true => String::new(),
        false => format!("{subject} ran{particulars}."),
    }
}

fn handed_over(holder: &Holder, clock: &Clock<'_>) -> Option<String> {
    let creator = holder.creator.as_ref()?;
    let text = match &holder.process {
        Some(process) => format!(
            "It made the socket{}; {} got it open from there, by fork, across exec, or handed over.",
            words::particulars(creator, clock),
            words::who(process)
        ),
        None if holder.unnamed_reason == Some(UnnamedReason::KernelSocket) => return None,
        None => {
            "It made the socket, and had ended before the refusal: somebody else had it by then.".to_owned()
        }
    };
    Some(text)
}

fn same_service(conflict: &Conflict, holder: &Holder) -> Option<String> {
    if conflict.cause != Cause::PreviousInstance {
        return None;
    }
    let group = |process: &Process| process.cgroup.clone();
    let (a, b) = (group(&conflict.victim)?, group(holder.process.as_ref()?)?);
    cgroup::same_service(&a, &b).then(|| {
        let called = words::called(&conflict.victim);
        format!("Both belong to {called}.")
    })
}

const fn known_by(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::KernelVerdict => "Known for certain: it is the socket at which the kernel itself stopped.",
        Evidence::PortTable => {
            "Known from the kernel's table of ports in the moment of the refusal: the socket was there, and clashes by the kernel's rule."
        }
        Evidence::LastOwner => "Known from the record that was kept when the connection was closed.",
        Evidence::SocketDump => {
            "Known from a look at the open sockets right after the refusal, not in the moment itself."
        }
    }
}

/// Who else was in the way.
fn others(conflict: &Conflict) -> Option<String> {
    let others = conflict.holders.get(1..).filter(|others| !others.is_empty())?;
    let mut told: Vec<String> = others.iter().take(OTHERS).map(words::subject).collect();
    if others.len() > OTHERS {
        told.push(format!("{} more", others.len() - OTHERS));
    }
    let verb = if others.len() == 1 { "was" } else { "were" };
    Some(format!("Also in the way {verb} {}.", words::listed(&told)))
}

/// Who has most of an exhausted range.
fn hoarders(conflict: &Conflict, clock: &Clock<'_>) -> String {
    let one = |holder: &Holder| {
        let who = holder.process.as_ref().map_or_else(|| words::subject(holder), words::who);
        let sockets = holder.sockets.unwrap_or_default();
        let since =
            holder.assigned_time.map_or_else(String::new, |time| format!(" since {}", clock.time(time)));
        format!("{who} had {sockets}{since}")
    };
    let all: Vec<String> = conflict.holders.iter().map(one).collect();
    let first = conflict.culprit().and_then(|holder| holder.process.as_ref());
    let detail =
        first.map_or_else(String::new, |process| format!(" {}", runs(&words::who(process), process, clock)));
    format!("Most ports of the range: {}.{detail}", words::listed(&all))
}

/// What the victim wanted, when, and how often it tried.
pub(super) fn wanted(conflict: &Conflict, clock: &Clock<'_>, is_elsewhere: bool) -> String {
    let victim = &conflict.victim;
    let what = match conflict.port {
        0 => format!("any {} port on {}", conflict.protocol, conflict.address),
        _ => format!("{} {}", conflict.protocol, conflict.wanted()),
    };
    let place = match is_elsewhere {
        true => format!(", in network namespace {}", conflict.netns),
        false => String::new(),
    };
    let (who, call, errno) = (words::who(victim), words::call(conflict.operation), words::seen_as(conflict));
    let (at, ago) = (clock.at(conflict.first_time), clock.ago(conflict.first_time));
    let mut text = format!("{who} asked for {what} with {call} {at}, {ago}{place}, and got {errno}.");
    if conflict.count > 1 {
        text.push_str(&format!(
            " It tried {} times in {}, the last time {}; pid {} is that of the last.",
            conflict.count,
            words::span(conflict.first_time, conflict.time),
            clock.at(conflict.time),
            victim.pid
        ));
    }
    let particulars = words::particulars(victim, clock);
    if !particulars.is_empty() {
        text.push_str(&format!(" It ran{particulars}."));
    }
    text
}
