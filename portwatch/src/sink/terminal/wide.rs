//! The wide form: a paragraph a conflict, with everything that is known.

use super::{BOLD, COMMAND, CULPRIT, DIM, words};
use crate::model::{Advice, Cause, Conflict, Exhaustion, Holder, Operation, Process};
use crate::text::{printable, truncate, width};
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// Room for the labels at the left.
const LABEL: usize = 11;

/// Columns of a command line that are shown; JSON has more of it.
const COMMAND_LINE: usize = 500;

pub(super) fn paragraph(
    out: &mut impl Write,
    conflict: &Conflict,
    zone: &TimeZone,
    columns: usize,
) -> io::Result<()> {
    headline(out, conflict, zone)?;
    label(out, "victim")?;
    process(out, &conflict.victim)?;
    if conflict.cause == Cause::Exhausted {
        label(out, "held by")?;
        writeln!(out, "every port of the range is taken")?;
    }
    for (index, each) in conflict.holders.iter().enumerate() {
        let title = match (index, conflict.cause) {
            (0, Cause::Exhausted) => "most by",
            (0, _) => "held by",
            _ => "and",
        };
        holder(out, conflict, each, title)?;
    }
    if let Some(full) = &conflict.exhaustion {
        fullness(out, full, columns)?;
    }
    label(out, "range")?;
    let (range, netns, backend) = (conflict.range, conflict.netns, printable(&conflict.backend));
    let place = place(conflict);
    writeln!(out, "{}-{}: {place}; netns {netns}, backend {backend}", range.low, range.high)?;
    for advice in &conflict.advice {
        advise(out, advice, columns)?;
    }
    writeln!(out)
}

/// With what the range is full.
fn fullness(out: &mut impl Write, full: &Exhaustion, columns: usize) -> io::Result<()> {
    lines(out, "ports", &full.in_brief(), columns)?;
    let Exhaustion { in_use, unavailable, shared, close_wait, .. } = full;
    let in_all = format!(
        "{} in use: {unavailable} that nobody shares (bound or listening), {shared} taken only towards their destinations; {close_wait} closed by the other side only",
        in_use.total()
    );
    lines(out, "", &in_all, columns)?;
    for (index, destination) in full.destinations_in_words().iter().enumerate() {
        lines(out, if index == 0 { "most to" } else { "" }, destination, columns)?;
    }
    if full.reserved > 0 {
        lines(
            out,
            "reserved",
            &format!("{} ports: {}", full.reserved, printable(&full.reserved_list)),
            columns,
        )?;
    }
    for unseen in &full.unseen {
        lines(out, "not counted", &printable(unseen), columns)?;
    }
    Ok(())
}

/// Where the wanted port lies.
fn place(conflict: &Conflict) -> String {
    match (conflict.port, conflict.range.in_range, conflict.range.reserved) {
        (0, ..) => "none left".to_owned(),
        (port, true, true) => format!("{port} is in it, but reserved"),
        (port, true, false) => format!("{port} is in it and not reserved"),
        (port, false, _) => format!("{port} is outside"),
    }
}

fn headline(out: &mut impl Write, conflict: &Conflict, zone: &TimeZone) -> io::Result<()> {
    let time = conflict.time.to_zoned_datetime(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f");
    let (name, pid) = words::process(&conflict.victim);
    let Conflict { operation, protocol, errno, cause, id, .. } = conflict;
    let wanted = conflict.wanted();
    // The kernel turns its own refusal into another one on the way to the program.
    let seen = if *operation == Operation::Autobind { " (the program sees EAGAIN)" } else { "" };
    writeln!(
        out,
        "{DIM}{time}{DIM:#}  {BOLD}{name}{pid}{BOLD:#}: {operation} {protocol} {wanted}: {errno}{seen}, {CULPRIT}{cause}{CULPRIT:#}  {DIM}id {id}{DIM:#}"
    )
}

fn holder(out: &mut impl Write, conflict: &Conflict, holder: &Holder, title: &str) -> io::Result<()> {
    label(out, title)?;
    match &holder.process {
        Some(owner) => {
            write!(out, "{}", if holder.alive { "" } else { "(exited) " })?;
            process(out, owner)?;
        }
        None => {
            let reason = holder.unnamed_reason.map_or("unknown", |reason| reason.as_str());
            writeln!(out, "not nameable: {reason}")?;
        }
    }
    if let Some(creator) = &holder.creator {
        label(out, "given to")?;
        process(out, creator)?;
    }
    let Some(evidence) = holder.evidence else { return Ok(()) };
    label(out, "")?;
    let ago = holder
        .assigned_time
        .map_or_else(String::new, |since| format!(" {} before", words::span(since, conflict.first_time)));
    if let Some(sockets) = holder.sockets {
        return writeln!(
            out,
            "{sockets} sockets on ports of the range, most by {}{ago}",
            words::call(holder.assigned_by)
        );
    }
    let inode = holder.inode.map_or_else(String::new, |inode| format!(", inode {inode}"));
    let chosen = if holder.ephemeral { "chosen by the kernel" } else { "not chosen by the kernel" };
    let (state, ends, by) = (holder.state, words::ends(holder), holder.assigned_by);
    writeln!(out, "{state} {ends}{inode}; assigned by {by}{ago}, {chosen}; evidence {evidence}")
}

pub(super) fn process(out: &mut impl Write, process: &Process) -> io::Result<()> {
    let (name, pid) = words::process(process);
    write!(out, "{BOLD}{name}{pid}{BOLD:#}")?;
    if let Some(uid) = process.uid {
        write!(out, "  uid {uid}")?;
    }
    if let Some(user) = &process.user {
        write!(out, " ({})", printable(user))?;
    }
    for place in places(process) {
        write!(out, "  {}", printable(&place))?;
    }
    if let Some(command) = process.cmdline.as_ref().or(process.exe.as_ref()) {
        write!(out, "  {}", truncate(&printable(command), COMMAND_LINE))?;
    }
    writeln!(out)
}

/// Where a process runs, by the names that people know, each with the id by which the machine knows it.
fn places(process: &Process) -> Vec<String> {
    let mut places = Vec::new();
    match (&process.unit, &process.slice) {
        (Some(unit), Some(slice)) if slice != "system.slice" => places.push(format!("{unit} in {slice}")),
        (Some(unit), _) => places.push(unit.clone()),
        (None, _) => {}
    }
    if let Some(id) = &process.container {
        let runtime =
            process.container_runtime.as_deref().map_or_else(String::new, |name| format!("{name} "));
        let id = words::short_id(id);
        places.push(match &process.container_name {
            Some(name) if name == id => format!("{runtime}container {id}"),
            Some(name) => format!("{runtime}container {name} ({id})"),
            None => format!("{runtime}container {id}"),
        });
    }
    match (&process.pod, &process.pod_name, &process.pod_namespace) {
        (Some(uid), Some(name), namespace) => {
            let namespace = namespace.as_deref().map_or_else(String::new, |name| format!("{name}/"));
            places.push(format!("pod {namespace}{name} ({uid})"));
        }
        (Some(uid), None, _) => places.push(format!("pod {}", words::short_id(uid))),
        (None, ..) => {}
    }
    places
}

fn advise(out: &mut impl Write, advice: &Advice, columns: usize) -> io::Result<()> {
    let text = format!("{}: {}", advice.action, printable(&advice.why));
    lines(out, "advice", &text, columns)?;
    for command in &advice.commands {
        label(out, "")?;
        writeln!(out, "  {COMMAND}{}{COMMAND:#}", printable(command))?;
    }
    Ok(())
}

/// A labelled text, in as many lines as it needs.
fn lines(out: &mut impl Write, title: &str, text: &str, columns: usize) -> io::Result<()> {
    for (index, line) in wrap(text, columns.saturating_sub(LABEL + 2).max(40)).iter().enumerate() {
        label(out, if index == 0 { title } else { "" })?;
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn label(out: &mut impl Write, title: &str) -> io::Result<()> {
    write!(out, "  {DIM}{title:LABEL$}{DIM:#}")
}

/// Lines of whole words, none wider than `columns` unless one word is.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
