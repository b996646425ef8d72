//! Who holds a port now, for people: a paragraph a port, in it a table a network namespace.

mod rows;
#[cfg(test)]
mod tests;

use super::wide::{self, wrap};
use super::{BOLD, COMMAND, CULPRIT, DIM, Form, words};
use crate::model::{HeldPort, HeldSocket, NamespaceRange, Process, Role};
use crate::text::{self, printable};
use jiff::tz::TimeZone;
use rows::{Line, Row};
use std::io::{self, Write};

/// Before what belongs to a headline.
const INDENT: &str = "  ";
/// Before a note.
const NOTE: &str = "note: ";

/// Writes the answers, the notes that all of them share at the end.
///
/// # Errors
/// If it could not be written; a broken pipe among them.
pub fn write(out: &mut impl Write, ports: &[HeldPort], form: Form, width: usize) -> io::Result<()> {
    for port in ports {
        headline(out, port, width)?;
        for namespace in &port.namespaces {
            let inside: Vec<_> = port.holders.iter().filter(|held| held.netns == namespace.netns).collect();
            if inside.is_empty() {
                continue;
            }
            title(out, namespace, port.namespaces.len())?;
            match form {
                Form::Table => table(out, &inside, width)?,
                Form::Wide => inside.iter().try_for_each(|held| paragraph(out, held))?,
            }
        }
        earlier(out, port)?;
        for advice in &port.advice {
            let commands = &advice.commands[..advice.commands.len().min(1)];
            for command in commands {
                writeln!(out, "{INDENT}{DIM}prevent:{DIM:#} {COMMAND}{}{COMMAND:#}", printable(command))?;
            }
        }
    }
    notes(out, ports, width)?;
    out.flush()
}

fn headline(out: &mut impl Write, port: &HeldPort, width: usize) -> io::Result<()> {
    let begin = format!("port {}: ", port.port);
    let wrapped = |text: &str| wrap(text, width.saturating_sub(begin.len()).max(40)).into_iter();
    if port.holders.is_empty() {
        let protocols: Vec<_> = port.protocols.iter().map(|protocol| protocol.as_str()).collect();
        let protocols = protocols.join(", ");
        let looked = rows::counted(port.namespaces.len(), "network namespace", "network namespaces");
        let mut lines = wrapped(&format!("nobody holds it ({protocols}; {looked} looked into)"));
        writeln!(out, "{BOLD}{begin}{BOLD:#}{}", lines.next().unwrap_or_default())?;
        return lines.try_for_each(|line| writeln!(out, "{:indent$}{line}", "", indent = begin.len()));
    }
    let count = |role| port.holders.iter().filter(|held| held.role == role).count();
    let parts = Role::ALL.iter().map(|&role| (role, count(role))).filter(|(_, count)| *count > 0);
    let parts: Vec<_> = parts.map(|(role, count)| rows::counted_role(count, role)).collect();
    let mut lines = wrapped(&parts.join(", "));
    writeln!(out, "{BOLD}{begin}{BOLD:#}{CULPRIT}{}{CULPRIT:#}", lines.next().unwrap_or_default())?;
    for line in lines {
        writeln!(out, "{:indent$}{CULPRIT}{line}{CULPRIT:#}", "", indent = begin.len())?;
    }
    Ok(())
}

/// Who had it when somebody was refused.
fn earlier(out: &mut impl Write, port: &HeldPort) -> io::Result<()> {
    let name = |process: &Process| format!("{}[{}]", printable(&process.comm), process.pid);
    for one in &port.earlier {
        let time = one.time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        let holder = one.holder.as_ref().map_or_else(|| "nobody who could be named".to_owned(), name);
        let times = if one.count == 1 { String::new() } else { format!(" ({} times)", one.count) };
        writeln!(
            out,
            "{INDENT}{DIM}earlier:{DIM:#} {time} {} was refused{times}; {holder} had it ({}); {COMMAND}portwatch why {}{COMMAND:#}",
            name(&one.victim),
            one.cause,
            printable(&one.id),
        )?;
    }
    Ok(())
}

/// Which namespace, and whether clients are given the port there.
fn title(out: &mut impl Write, namespace: &NamespaceRange, all: usize) -> io::Result<()> {
    let number = namespace.netns;
    let name = match (&namespace.netns_name, namespace.own) {
        (_, true) if all == 1 => "this network namespace".to_owned(),
        (_, true) => format!("this network namespace ({number})"),
        (Some(name), false) => format!("network namespace {} ({number})", printable(name)),
        (None, false) => format!("network namespace {number}"),
    };
    let range = namespace.range.map_or_else(
        || "its ephemeral range could not be read".to_owned(),
        |range| {
            let place = match (range.in_range, range.reserved) {
                (true, true) => "inside, but reserved",
                (true, false) => "inside",
                (false, _) => "outside",
            };
            format!("{place} the ephemeral range {}-{}", range.low, range.high)
        },
    );
    writeln!(out, "{INDENT}{DIM}in {name}, {range}{DIM:#}")
}

fn table(out: &mut impl Write, sockets: &[&HeldSocket], width: usize) -> io::Result<()> {
    let lines = rows::lines(sockets);
    let columns = rows::Columns::fit(&lines, width.saturating_sub(INDENT.len()));
    let title = columns.join(&Row::title());
    writeln!(out, "{INDENT}{BOLD}{}{BOLD:#}", title.trim_end())?;
    for line in &lines {
        match line {
            Line::One(row) => writeln!(out, "{INDENT}{}", columns.join(row).trim_end())?,
            Line::Sum(row, words) => {
                let room = width.saturating_sub(INDENT.len() + columns.before_local());
                writeln!(out, "{INDENT}{}{}", columns.begin(row), text::truncate(words, room))?;
            }
        }
    }
    Ok(())
}

/// Everything about one socket.
fn paragraph(out: &mut impl Write, held: &HeldSocket) -> io::Result<()> {
    let ends = match (held.local, held.remote) {
        (Some(local), Some(remote)) => format!("{local} -> {remote}"),
        (Some(local), None) => local.to_string(),
        (None, _) => "address not known".to_owned(),
    };
    let HeldSocket { state, protocol, role, .. } = held;
    write!(out, "{INDENT}{BOLD}{role}{BOLD:#}  {state} {protocol} {ends}")?;
    if let Some(inode) = held.inode {
        write!(out, ", inode {inode}")?;
    }
    if let Some(uid) = held.uid {
        let user = held.user.as_ref().map_or_else(String::new, |user| format!(" ({})", printable(user)));
        write!(out, ", uid {uid}{user}")?;
    }
    if let Some(end) = held.ends_in_ms {
        write!(out, ", ends in {}", rows::seconds(end))?;
    }
    if held.ephemeral {
        write!(out, ", chosen by the kernel as it seems")?;
    }
    writeln!(out)?;
    let Some(first) = &held.process else {
        let reason = held.unnamed_reason.map_or("unknown", |reason| reason.as_str());
        return writeln!(out, "{INDENT}  {DIM}held by{DIM:#}  not nameable: {reason}");
    };
    write!(out, "{INDENT}  {DIM}held by{DIM:#}  ")?;
    wide::process(out, first)?;
    for other in &held.others {
        write!(out, "{INDENT}  {DIM}and{DIM:#}      ")?;
        wide::process(out, other)?;
    }
    Ok(())
}

/// What was not seen, each note once.
fn notes(out: &mut impl Write, ports: &[HeldPort], width: usize) -> io::Result<()> {
    let mut told: Vec<&str> = Vec::new();
    for note in ports.iter().flat_map(|port| &port.unseen) {
        // The last note of every port is the same, and stays the last.
        told.retain(|known| *known != note.as_str());
        told.push(note);
    }
    for note in told {
        let mut lines = wrap(&printable(note), width.saturating_sub(NOTE.len()).max(40)).into_iter();
        writeln!(out, "{DIM}{NOTE}{}{DIM:#}", lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(out, "{:indent$}{DIM}{line}{DIM:#}", "", indent = NOTE.len())?;
        }
    }
    Ok(())
}

/// Who has it, in a column.
fn holder(held: &HeldSocket) -> (String, String) {
    match (&held.process, held.ends_in_ms) {
        (Some(process), _) => {
            let (name, pid) = words::process(process);
            let more = match held.others.len() {
                0 => String::new(),
                more => format!(" +{more}"),
            };
            (name, pid + &more)
        }
        (None, Some(end)) => (String::new(), format!("ends in {}", rows::seconds(end))),
        (None, None) => {
            (format!("({})", held.unnamed_reason.map_or("unknown", words::unnamed)), String::new())
        }
    }
}
