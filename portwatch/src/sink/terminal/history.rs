//! The history for people: a line a conflict, or a line a group. Times are whole, for what is past needs its day.

use super::cells::{self, GAP};
use super::{BOLD, CULPRIT, DIM, words};
use crate::model::{Conflict, SummaryRow};
use crate::text;
use anstyle::Style;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::{self, Write};

/// Refusals of one conflict.
const COUNT: usize = 5;

/// A table of conflicts while it is written.
#[derive(Debug)]
pub struct History<W> {
    out: W,
    columns: Columns,
    zone: TimeZone,
    has_header: bool,
}

/// Widths; 0 is a column that there is no room for.
#[derive(Clone, Copy, Debug)]
struct Columns {
    time: usize,
    victim: usize,
    wanted: usize,
    holder: usize,
    cause: usize,
    id: usize,
}

impl Columns {
    fn for_width(width: usize) -> Self {
        let (time, wanted, cause, id) = match width {
            0..72 => (11, 9, 0, 0),
            72..84 => (11, 9, 9, 0),
            84..100 => (14, 9, 9, 0),
            100..140 => (19, 21, 9, 0),
            _ => (19, 25, 18, 20),
        };
        let fixed = [time, COUNT, wanted, cause, id];
        let used: usize = fixed.iter().filter(|column| **column > 0).map(|column| column + GAP.len()).sum();
        let rest = width.saturating_sub(used + GAP.len()).max(18);
        let victim = (rest / 2).min(32);
        Self { time, victim, wanted, holder: (rest - victim).min(64), cause, id }
    }
}

impl<W: Write> History<W> {
    /// Writes to `out` lines fit for `width` columns, with times of `zone`.
    pub fn new(out: W, width: usize, zone: TimeZone) -> Self {
        Self { out, columns: Columns::for_width(width), zone, has_header: false }
    }

    /// One conflict.
    ///
    /// # Errors
    /// If it could not be written; a broken pipe among them.
    pub fn conflict(&mut self, conflict: &Conflict) -> io::Result<()> {
        let columns = self.columns;
        if !self.has_header {
            self.has_header = true;
            let cells = ["TIME", "COUNT", "VICTIM", "WANTED", "HELD BY", "HOW", "ID"].map(str::to_owned);
            write_line(&mut self.out, columns, &cells, [BOLD; 7])?;
        }
        let (name, pid) = words::process(&conflict.victim);
        let (holder, tail) = words::holder(conflict, false);
        let known = conflict.culprit().and_then(|culprit| words::known_as(culprit.process.as_ref()?));
        let room = columns.holder.saturating_sub(text::width(&holder) + text::width(&tail));
        let known = known.filter(|known| text::width(known) < room).map(|known| format!(" {known}"));
        let how = if columns.cause > 9 { conflict.cause.as_str() } else { words::how_short(conflict) };
        let cells = [
            time(conflict.time, columns.time, &self.zone),
            format!("{:>COUNT$}", count(conflict.count)),
            text::truncate_head(&name, &pid, columns.victim),
            wanted(conflict, columns.wanted),
            text::truncate_head(&holder, &(tail + &known.unwrap_or_default()), columns.holder),
            how.to_owned(),
            text::printable(&conflict.id).into_owned(),
        ];
        let plain = Style::new();
        write_line(&mut self.out, columns, &cells, [plain, plain, BOLD, plain, CULPRIT, plain, DIM])
    }
}

fn write_line(
    out: &mut impl Write,
    columns: Columns,
    cells: &[String; 7],
    styles: [Style; 7],
) -> io::Result<()> {
    let Columns { time, victim, wanted, holder, cause, id } = columns;
    let widths = [time, COUNT, victim, wanted, holder, cause, id];
    cells::line(out, cells, widths, styles)
}

/// Groups, a line each.
///
/// # Errors
/// If it could not be written; a broken pipe among them.
pub fn write_summary(
    out: &mut impl Write,
    by: &str,
    rows: &[SummaryRow],
    width: usize,
    zone: &TimeZone,
) -> io::Result<()> {
    let clock = if width < 84 { 11 } else { 19 };
    let widest = rows.iter().map(|row| text::width(&text::printable(&row.name))).max().unwrap_or_default();
    let fixed = [9, 8, clock].iter().map(|column| column + GAP.len()).sum::<usize>();
    let name = widest.clamp(by.len(), width.saturating_sub(fixed + GAP.len() + 5).max(10));
    let ports = width.saturating_sub(fixed + name + GAP.len());
    let title = by.to_uppercase();
    let title = format!("{title:name$}  CONFLICTS  REFUSALS  {:clock$}  PORTS", "LAST");
    writeln!(out, "{BOLD}{}{BOLD:#}", text::truncate(&title, width))?;
    let style = if by == "culprit" { CULPRIT } else { BOLD };
    for row in rows {
        let label = text::printable(&row.name);
        let label = text::pad(&text::truncate(&label, name), name);
        let last = time(row.last, clock, zone);
        let (conflicts, refusals) = (row.conflicts, row.refusals);
        let line = format!("  {conflicts:>9}  {refusals:>8}  {last:clock$}  {}", port_list(row, ports));
        writeln!(out, "{style}{label}{style:#}{}", line.trim_end())?;
    }
    Ok(())
}

/// As many as fit, and how many there are beside.
fn port_list(row: &SummaryRow, room: usize) -> String {
    let more = |shown: usize| match row.port_count.saturating_sub(shown as u64) {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    let mut best = String::new();
    for shown in 1..=row.ports.len() {
        let names: Vec<_> = row.ports[..shown].iter().map(|&port| port_name(port)).collect();
        let list = format!("{}{}", names.join(" "), more(shown));
        if text::width(&list) > room {
            break;
        }
        best = list;
    }
    best
}

fn port_name(port: u16) -> String {
    if port == 0 { "any".to_owned() } else { port.to_string() }
}

fn time(time: Timestamp, width: usize, zone: &TimeZone) -> String {
    let format = match width {
        19.. => "%Y-%m-%d %H:%M:%S",
        14..19 => "%m-%d %H:%M:%S",
        _ => "%m-%d %H:%M",
    };
    time.to_zoned_datetime(zone.clone()).strftime(format).to_string()
}

/// In no more than five columns.
fn count(count: u64) -> String {
    match count {
        0..100_000 => count.to_string(),
        100_000..10_000_000 => format!("{}k", count / 1_000),
        _ => format!("{}M", (count / 1_000_000).min(9_999)),
    }
}

/// With little room the port and the protocol, else the address too.
fn wanted(conflict: &Conflict, width: usize) -> String {
    let port = port_name(conflict.port);
    if width < 20 {
        return format!("{port}/{}", conflict.protocol);
    }
    let whole = conflict.wanted().to_string();
    let (address, port) = whole.rsplit_once(':').unwrap_or((&whole, ""));
    text::truncate_head(&format!("{} {address}", conflict.protocol), &format!(":{port}"), width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    fn table(conflict: &Conflict, width: usize) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        let mut history = History::new(&mut out, width, TimeZone::UTC);
        history.conflict(conflict).expect("a vector takes everything");
        String::from_utf8(out.into_inner()).expect("text")
    }

    #[test]
    fn it_fits_from_60_to_200_columns_and_keeps_pids_and_ports() {
        let mut hostile = example::client();
        hostile.victim.comm = "日本\u{1b}[2J-a-very-long-name".into();
        hostile.count = 123_456_789;
        hostile.address = "2001:db8:1111:2222:3333:4444:5555:6666".parse().expect("an address");
        for width in 60..=200 {
            for conflict in [&example::client(), &hostile] {
                let text = table(conflict, width);
                assert_eq!(text.lines().count(), 2);
                for line in text.lines() {
                    assert!(text::width(line) <= width, "{width}: {line}");
                    assert!(!line.chars().any(text::acts_on_terminal), "{line:?}");
                }
                assert!(
                    text.contains("[4121]") && text.contains("[2210]") && text.contains("50010"),
                    "{text}"
                );
                assert!(text.contains("11-24 03:12"), "{text}");
            }
        }
        assert!(table(&example::client(), 160).contains("ephemeral-client"));
        assert!(table(&example::client(), 160).contains("2c3d4e5f6-1019"));
        assert!(table(&example::client(), 110).contains("java[2210]"));
    }

    #[test]
    fn a_summary_fits_too() {
        let row = SummaryRow {
            name: "a-service-with-a-name-that-is-longer-than-any-column-of-it.service".into(),
            conflicts: 12,
            refusals: 3_400,
            ports: vec![50010, 80, 0],
            port_count: 9,
            first: example::client().time,
            last: example::client().time,
        };
        for width in 60..=200 {
            let mut out = anstream::StripStream::new(Vec::new());
            write_summary(&mut out, "culprit", std::slice::from_ref(&row), width, &TimeZone::UTC)
                .expect("a vector");
            let text = String::from_utf8(out.into_inner()).expect("text");
            assert!(text.lines().all(|line| text::width(line) <= width), "{width}: {text}");
            assert!(text.contains("3400") && text.contains("12"), "{text}");
        }
    }
}
