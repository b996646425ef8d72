//! The table: a line a conflict, readable at 80 columns. The service, container or pod of the holder stands behind its
//! name, and the command that prevents it has the last column; where there is no room for one of them it has a line of
//! its own: a command that is cut is worth nothing, and of a pod's name the end tells it from its sisters.

use super::{BOLD, COMMAND, CULPRIT, DIM, words};
use crate::model::Conflict;
use crate::text;
use anstyle::Style;
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// Where the command begins on its own line: below the second column.
const INDENT: usize = 10;
/// From here on the column HOW has room for more than a word.
const ROOMY: usize = 122;
/// The narrowest column that a command is put into.
const COMMAND_COLUMN: usize = 50;

/// Widths of the columns that vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    victim: usize,
    wanted: usize,
    holder: usize,
    how: usize,
    ago: usize,
    range: usize,
    /// Room for the command at the end of the line.
    prevent: usize,
}

impl Columns {
    /// Divides a terminal's width.
    pub(super) fn for_width(width: usize) -> Self {
        if width < ROOMY {
            let extra = width.saturating_sub(80);
            let third = extra / 3;
            return Self {
                victim: 12 + third,
                wanted: 19 + third,
                holder: 12 + extra - 2 * third,
                how: 9,
                ago: 3,
                range: 5,
                prevent: 0,
            };
        }
        let roomy = Self { victim: 20, wanted: 25, holder: 20, how: 26, ago: 3, range: 8, prevent: 0 };
        let rest = width - roomy.used();
        if rest >= COMMAND_COLUMN + 2 {
            let more = (rest - COMMAND_COLUMN - 2).min(24);
            return Self { prevent: rest - more - 2, holder: roomy.holder + more, ..roomy };
        }
        let half = (rest / 2).min(10);
        Self { victim: roomy.victim + half, holder: roomy.holder + half, ..roomy }
    }

    fn used(self) -> usize {
        let columns = [self.victim, self.wanted, self.holder, self.how, self.ago, self.range];
        8 + columns.iter().map(|column| column + 2).sum::<usize>()
    }

    const fn is_roomy(self) -> bool {
        self.how > 9
    }
}

pub(super) fn header(out: &mut impl Write, columns: Columns) -> io::Result<()> {
    let range = if columns.is_roomy() { "IN RANGE" } else { "RANGE" };
    let titles = [
        ("TIME", 8),
        ("VICTIM", columns.victim),
        ("WANTED", columns.wanted),
        ("HELD BY", columns.holder),
        ("HOW", columns.how),
        ("AGO", columns.ago),
        (range, columns.range),
    ];
    let mut line: Vec<_> = titles.iter().map(|(title, width)| text::pad(title, *width)).collect();
    if columns.prevent > 0 {
        line.push("PREVENT".to_owned());
    }
    writeln!(out, "{BOLD}{}{BOLD:#}", line.join("  ").trim_end())
}

pub(super) fn row(
    out: &mut impl Write,
    conflict: &Conflict,
    columns: Columns,
    zone: &TimeZone,
) -> io::Result<()> {
    let (name, pid) = words::process(&conflict.victim);
    let (holder, tail) = words::holder(conflict, columns.is_roomy());
    let known = conflict.culprit().and_then(|culprit| words::known_as(culprit.process.as_ref()?));
    let how =
        if columns.is_roomy() { words::how_long(conflict) } else { words::how_short(conflict).to_owned() };
    let prevention = words::prevention(conflict);
    let (command, is_command) = prevention.as_ref().map_or(("", true), |(text, is)| (text.as_str(), *is));
    let fits = text::width(command) <= columns.prevent;

    cell(out, Style::new(), &time(conflict, zone), 8)?;
    cell(out, BOLD, &text::truncate_head(&name, &pid, columns.victim), columns.victim)?;
    cell(out, Style::new(), &wanted(conflict, columns.wanted), columns.wanted)?;
    let room = columns.holder.saturating_sub(text::width(&holder) + text::width(&tail));
    let (beside, below): (Vec<_>, Vec<_>) = known.into_iter().partition(|known| text::width(known) < room);
    let tail = beside.iter().fold(tail, |tail, known| format!("{tail} {known}"));
    cell(out, CULPRIT, &text::truncate_head(&holder, &tail, columns.holder), columns.holder)?;
    cell(out, Style::new(), &text::truncate(&how, columns.how), columns.how)?;
    cell(out, Style::new(), &words::ago(conflict), columns.ago)?;
    let range = words::in_range(conflict);
    let style = if is_command { COMMAND } else { Style::new() };
    let on_this_line = fits && !command.is_empty();
    if on_this_line {
        cell(out, Style::new(), range, columns.range)?;
        writeln!(out, "{style}{command}{style:#}")?;
    } else {
        writeln!(out, "{range}")?;
    }
    for known in below {
        let known = text::truncate_start(&known, columns.used().saturating_sub(INDENT + 11));
        writeln!(out, "{:INDENT$}{DIM}held by:{DIM:#} {CULPRIT}{known}{CULPRIT:#}", "")?;
    }
    if let Some(full) = &conflict.exhaustion {
        let full = full.in_brief();
        let full = text::truncate(&full, columns.used().saturating_sub(INDENT + 11));
        writeln!(out, "{:INDENT$}{DIM}ports:{DIM:#}   {full}", "")?;
    }
    if !on_this_line {
        writeln!(out, "{:INDENT$}{DIM}prevent:{DIM:#} {style}{command}{style:#}", "")?;
    }
    Ok(())
}

pub(super) fn repeat(
    out: &mut impl Write,
    conflict: &Conflict,
    columns: Columns,
    zone: &TimeZone,
) -> io::Result<()> {
    let (name, pid) = words::process(&conflict.victim);
    let victim = text::pad(&text::truncate_head(&name, &pid, columns.victim), columns.victim);
    let wanted = text::pad(&wanted(conflict, columns.wanted), columns.wanted);
    let (time, count) = (time(conflict, zone), conflict.count);
    writeln!(out, "{DIM}{time}  {victim}  {wanted}  again: refused {count} times so far{DIM:#}")
}

fn cell(out: &mut impl Write, style: Style, text: &str, width: usize) -> io::Result<()> {
    let blank = width.saturating_sub(text::width(text)) + 2;
    write!(out, "{style}{text}{style:#}{:blank$}", "")
}

pub(super) fn time(conflict: &Conflict, zone: &TimeZone) -> String {
    conflict.time.to_zoned_datetime(zone.clone()).strftime("%H:%M:%S").to_string()
}

/// Protocol, address and port; a long address is cut, never the port.
fn wanted(conflict: &Conflict, width: usize) -> String {
    let whole = conflict.wanted().to_string();
    let (address, port) = whole.rsplit_once(':').unwrap_or((&whole, ""));
    text::truncate_head(&format!("{} {address}", conflict.protocol), &format!(":{port}"), width)
}
