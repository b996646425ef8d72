//! What has to be known beside what was done: the words. Pure.

use super::outcome::{About, Note};
use super::own_file::OwnFile;
use super::pieces::PIECE;
use super::plan::{Facts, Plan};
use super::set::{both, minus, range};
use super::sysctl::{Others, Setting};
use super::{Action, Request};
use crate::model::HeldSocket;
use crate::ports::PortList;
use crate::text::{command_line, printable, printable_bytes, truncate};

/// Reserved ports side by side from which on the ports after them are told about: they are 17 times likelier then.
const LONG_BLOCK: u32 = 32;
/// Holders that are named, and columns of a list in a sentence.
const NAMED: usize = 5;
const SHOWN: usize = 60;

/// Everything but the holders.
pub(super) fn notes(facts: Facts<'_>, plan: &Plan) -> Vec<Note> {
    let mut notes = Vec::new();
    match facts.request.action {
        Action::Reserve => reserve(facts, plan, &mut notes),
        Action::Unreserve => unreserve(facts, plan, &mut notes),
    }
    match facts.boot {
        Some((_, others)) if facts.request.persist => {
            if let Some(file) = &plan.file {
                boot(file, others, &mut notes);
            }
            notes.extend(others.unread.iter().map(|file| {
                Note::new(
                    About::Unseen,
                    format!("Could not be read, and may set the list at boot: {}", printable(file)),
                )
            }));
        }
        Some((own, others)) => not_for_boot(facts.request, own, others, &mut notes),
        None => {}
    }
    notes
}

fn reserve(facts: Facts<'_>, plan: &Plan, notes: &mut Vec<Note>) {
    let Facts { request, now, .. } = facts;
    if !plan.already.ranges().is_empty() {
        notes.push(Note::new(About::Already, format!("Reserved already: {}.", shown(&plan.already))));
    }
    notes.push(Note::new(
        About::ExplicitBinds,
        "The kernel gives reserved ports to no client any more. A program that binds one by its number still gets it.",
    ));
    let Some(ephemeral) = now.range else { return };
    let outside = minus(&request.ports, &range(ephemeral));
    if !outside.ranges().is_empty() {
        let (low, high) = ephemeral;
        notes.push(Note::new(
            About::OutsideRange,
            format!(
                "Outside the range that the kernel chooses from ({low}-{high}): {}. A reservation changes nothing there, \
                 unless the range is moved.",
                shown(&outside)
            ),
        ));
    }
    notes.extend(skewed(&plan.after, &request.ports, ephemeral));
}

/// The kernel draws a port at random and takes the next free one of the same parity: a block gives its share to that one.
fn skewed(after: &PortList, asked: &PortList, ephemeral: (u16, u16)) -> Option<Note> {
    let inside = both(after, &range(ephemeral));
    let ports = |(low, high): (u16, u16)| u32::from(high - low) + 1;
    // Length first: the longest list has thousands of blocks, and to compare each takes a minute.
    let is_long = |block: &&(u16, u16)| ports(**block) >= LONG_BLOCK;
    let is_ours = |block: &&(u16, u16)| !both(asked, &range(**block)).ranges().is_empty();
    let blocks = inside.ranges().iter().filter(is_long).filter(is_ours);
    let &(low, high) = blocks.max_by_key(|block| ports(**block))?;
    let ports = ports((low, high));
    let next = if high >= ephemeral.1 { ephemeral.0 } else { high + 1 };
    Some(Note::new(
        About::Skewed,
        format!(
            "{low}-{high} are {ports} reserved ports side by side. The kernel takes the next free port after them instead, of the \
             same parity: the two that follow, from {next} on, are about {} times likelier to be chosen than others. No \
             service should listen there.",
            ports / 2 + 1
        ),
    ))
}

fn unreserve(facts: Facts<'_>, plan: &Plan, notes: &mut Vec<Note>) {
    if !plan.already.ranges().is_empty() {
        notes.push(Note::new(About::Already, format!("Not reserved: {}.", shown(&plan.already))));
    }
    if !plan.as_found.ranges().is_empty() {
        let text = format!(
            "Still reserved, as before portwatch was asked to reserve it: {}. Somebody else had done so.",
            shown(&plan.as_found)
        );
        notes.push(Note::new(About::Kept, text).with(forced(facts.request, &plan.as_found)));
    }
    if !plan.kept.ranges().is_empty() {
        let text = format!(
            "Kept: {}. Not portwatch reserved that, as far as is remembered since the host booted. To take it out all the \
             same:",
            shown(&plan.kept)
        );
        notes.push(Note::new(About::Kept, text).with(forced(facts.request, &plan.kept)));
    }
}

fn forced(request: &Request, ports: &PortList) -> String {
    request.command("unreserve --force", ports)
}

/// What boot makes of the file.
fn boot(file: &OwnFile, others: &Others, notes: &mut Vec<Note>) {
    let value = file.value();
    let is_set = !file.asked.ranges().is_empty();
    if let Some(setting) = others.inherited().filter(|_| is_set) {
        let what = "The list is replaced at boot, not merged";
        let (place, value) = (place(setting), quoted(&setting.value));
        let text = match PortList::parse(&setting.value) {
            Ok(_) => format!(
                "{what}, and {place} sets it to {value} before: portwatch's line has these ports too. When that file changes, \
                 run this command again."
            ),
            Err(error) => {
                format!("{what}, and {place} sets it to {value} before, which cannot be kept: {error}.")
            }
        };
        notes.push(Note::new(About::Carried, text));
    }
    if let Some(setting) = others.overriding() {
        let theirs = PortList::parse(&setting.value).unwrap_or_default();
        let lost = minus(&value, &theirs);
        if is_set && !lost.ranges().is_empty() {
            notes.push(overridden(setting, &lost));
        }
    }
    if value.to_string().len() > PIECE && is_set {
        notes.push(Note::new(
            About::CutAtBoot,
            format!(
                "The line has more than {PIECE} characters. systemd-sysctl applies it whole; `sysctl --system` of procps (seen \
                 with 4.0.2) drops the rest without a word. Ranges make it shorter."
            ),
        ));
    }
}

fn overridden(setting: &Setting, lost: &PortList) -> Note {
    let who = if setting.only_procps {
        "`sysctl --system` reads it last (systemd-sysctl does not read it at all)"
    } else if setting.pattern {
        "its key is a pattern, which `sysctl --system` lets win (systemd-sysctl does not)"
    } else {
        "it is read after portwatch's file, and the last one replaces the whole list"
    };
    let text = format!(
        "At boot {} overrides this: it sets the list to {}, without {}; {who}. Add the ports to that line, or remove it.",
        place(setting),
        quoted(&setting.value),
        shown(lost)
    );
    Note::new(About::Overridden, text)
}

/// Nothing was said of the file, but it says something of the ports.
fn not_for_boot(request: &Request, own: &OwnFile, others: &Others, notes: &mut Vec<Note>) {
    let is_asked = both(&own.asked, &request.ports);
    match request.action {
        Action::Reserve => {
            let not_asked = minus(&request.ports, &own.asked);
            if !not_asked.ranges().is_empty() {
                let note = Note::new(About::NotForBoot, "The next boot forgets this. To keep it:");
                notes.push(note.with(request.command("reserve --persist", &request.ports)));
            }
        }
        Action::Unreserve if !is_asked.ranges().is_empty() => {
            let text = format!(
                "portwatch's file for boot still has {}: it is reserved again then. To take it out there too:",
                shown(&is_asked)
            );
            let note = Note::new(About::BackAtBoot, text);
            notes.push(note.with(request.command("unreserve --persist", &is_asked)));
        }
        Action::Unreserve => {}
    }
    if request.action == Action::Unreserve {
        notes.extend(back_at_boot(request, own, others));
    }
}

/// Lines of other files, or of others in ours, that reserve the ports again.
pub(super) fn back_at_boot(request: &Request, own: &OwnFile, others: &Others) -> Vec<Note> {
    let mut notes = Vec::new();
    let in_ours = both(&own.foreign, &request.ports);
    if !in_ours.ranges().is_empty() {
        let text = format!(
            "Reserved again at boot: {}, by the line that others wrote into portwatch's own file, /etc/sysctl.d/{}.",
            shown(&in_ours),
            super::sysctl::OWN_NAME
        );
        notes.push(Note::new(About::BackAtBoot, text));
    }
    for setting in [others.inherited(), others.overriding()].into_iter().flatten() {
        let theirs = PortList::parse(&setting.value).unwrap_or_default();
        let again = both(&theirs, &request.ports);
        if !again.ranges().is_empty() {
            let text = format!("Reserved again at boot: {}, by {}.", shown(&again), place(setting));
            notes.push(Note::new(About::BackAtBoot, text));
        }
    }
    notes
}

/// Who has a port keeps it.
pub(super) fn holders(holders: &[HeldSocket]) -> Vec<Note> {
    let mut notes: Vec<_> = holders.iter().take(NAMED).map(holder).collect();
    if holders.len() > NAMED {
        let text =
            format!("{} more sockets are on these ports: `portwatch who` shows them.", holders.len() - NAMED);
        notes.push(Note::new(About::Holder, text));
    }
    notes
}

fn holder(socket: &HeldSocket) -> Note {
    let at = socket.local.map_or_else(|| "the port".to_owned(), |local| local.to_string());
    let who = match (&socket.process, socket.unnamed_reason) {
        (Some(process), _) => {
            let known =
                process.known_as().map(|known| format!(" of {}", printable(&known))).unwrap_or_default();
            format!("{}[{}]{known}", printable(&process.comm), process.pid)
        }
        (None, Some(reason)) => format!("somebody who cannot be named ({reason})"),
        (None, None) => "nobody that is alive".to_owned(),
    };
    let text = format!(
        "{} {at} is held now by {who} ({}). A reservation takes it from nobody.",
        socket.protocol, socket.state
    );
    Note::new(About::Holder, text)
}

fn place(setting: &Setting) -> String {
    format!("{} line {}", printable_bytes(setting.path.as_os_str().as_encoded_bytes()), setting.line)
}

fn quoted(value: &str) -> String {
    format!("`{}`", truncate(&printable(value), SHOWN))
}

/// A list in a sentence.
pub(super) fn shown(list: &PortList) -> String {
    let text = list.to_string();
    if text.len() <= SHOWN {
        return text;
    }
    let cut = text[..SHOWN].rfind(',').unwrap_or(SHOWN);
    format!("{},… ({} ports)", &text[..cut], list.count())
}

impl Request {
    /// A command like this one.
    fn command(&self, what: &str, ports: &PortList) -> String {
        let ports: Vec<_> = ports.to_string().split(',').map(str::to_owned).collect();
        let netns = match self.namespace.doors.first() {
            Some(door) if self.namespace.number != crate::owner::netns::own() => {
                format!(" --netns {}", command_line(&[door.to_string_lossy()]))
            }
            _ => String::new(),
        };
        format!("portwatch {what}{netns} {}", ports.join(" "))
    }
}

#[cfg(test)]
#[path = "notes_tests.rs"]
mod tests;
