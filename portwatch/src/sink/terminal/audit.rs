//! An audit for people: a line a port that may be lost, then what is odd about the settings, then the namespaces.

use super::cells::{self, GAP};
use super::wide::wrap;
use super::{BOLD, COMMAND, CULPRIT, DIM, Form, words};
use crate::model::{Action, Audit, AuditedNamespace, Finding, FindingKind, Process};
use crate::text::{self, printable};
use anstyle::Style;
use std::io::{self, Write};

/// Room for `tcp 30000-32767`, `12.3 %` and `namespace`.
const PORT: usize = 15;
const ODDS: usize = 7;
const IDLE: usize = 7;
const LONG: usize = 9;
const NETNS: usize = 12;
/// Lines of text are indented by this.
const INDENT: &str = "    ";

/// Writes an audit in lines fit for `width` columns. Commands are never broken: they are there to be copied.
///
/// # Errors
/// If it could not be written; a broken pipe among them.
pub fn write(out: &mut impl Write, audit: &Audit, form: Form, width: usize) -> io::Result<()> {
    let (ports, others): (Vec<_>, Vec<_>) = audit.findings.iter().partition(|finding| is_port(finding));
    let has_others_netns = audit.namespaces.len() > 1;
    if ports.is_empty() {
        writeln!(out, "{BOLD}no listener stands where the kernel gives ports to clients{BOLD:#}")?;
    } else {
        let columns = Columns::for_width(width, has_others_netns);
        columns.header(out)?;
        for finding in &ports {
            columns.row(out, finding)?;
            if form == Form::Wide {
                paragraph(out, finding, width)?;
            }
        }
    }
    for finding in others {
        let head = format!("{} {}: {}", finding.kind, name(finding), finding.why);
        for (at, line) in wrap(&printable(&head), width.saturating_sub(2)).iter().enumerate() {
            writeln!(out, "{}{line}", if at == 0 { "" } else { "  " })?;
        }
        if form == Form::Wide {
            advice(out, finding, width)?;
        }
    }
    if form == Form::Table {
        prevent(out, &ports)?;
    }
    for namespace in audit.namespaces.iter().filter(|namespace| form == Form::Wide || namespace.own) {
        summary(out, namespace, width)?;
    }
    for line in &audit.unseen {
        for line in wrap(&printable(&format!("not seen: {line}")), width) {
            writeln!(out, "{DIM}{line}{DIM:#}")?;
        }
    }
    out.flush()
}

const fn is_port(finding: &Finding) -> bool {
    matches!(
        finding.kind,
        FindingKind::ListenerInRange | FindingKind::ConfiguredInRange | FindingKind::PortZeroListener
    )
}

/// The namespace by its name, else by its number.
fn name(finding: &Finding) -> String {
    finding.netns_name.clone().unwrap_or_else(|| format!("netns {}", finding.netns))
}

#[derive(Clone, Copy, Debug)]
struct Columns {
    who: usize,
    idle: usize,
    long: usize,
    netns: usize,
}

impl Columns {
    fn for_width(width: usize, has_others_netns: bool) -> Self {
        let netns = if has_others_netns && width >= 90 { NETNS } else { 0 };
        let idle = if width >= 60 { IDLE } else { 0 };
        let long = if width >= 76 { LONG } else { 0 };
        let fixed = [PORT, ODDS, idle, long, netns].into_iter().filter(|column| *column > 0);
        let used: usize = fixed.map(|column| column + GAP.len()).sum();
        Self { who: width.saturating_sub(used).clamp(16, 60), idle, long, netns }
    }

    fn header(self, out: &mut impl Write) -> io::Result<()> {
        self.line(
            out,
            &["PORT", "HELD BY", "RESTART", "IF IDLE", "LONG STOP", "NAMESPACE"].map(str::to_owned),
            [BOLD; 6],
        )
    }

    fn row(self, out: &mut impl Write, finding: &Finding) -> io::Result<()> {
        let protocol = finding.protocol.map_or_else(String::new, |protocol| format!("{protocol} "));
        let port = ports(finding);
        let odds = |of: fn(&crate::model::Odds) -> f64| {
            finding.odds.as_ref().map_or("-".to_owned(), |odds| percent(of(odds)))
        };
        let cells = [
            format!("{protocol}{port}"),
            who(finding, self.who),
            odds(|odds| odds.restart),
            odds(|odds| odds.idle_restart),
            odds(|odds| odds.long_stop),
            text::truncate_start(
                &printable(&finding.netns_name.clone().unwrap_or_else(|| finding.netns.to_string())),
                NETNS,
            )
            .into_owned(),
        ];
        let plain = Style::new();
        self.line(out, &cells, [BOLD, plain, CULPRIT, plain, plain, DIM])
    }

    fn line(self, out: &mut impl Write, cells: &[String; 6], styles: [Style; 6]) -> io::Result<()> {
        let widths = [PORT, self.who, ODDS, self.idle, self.long, self.netns];
        cells::line(out, cells, widths, styles)
    }
}

/// One port, or the first and the last.
fn ports(finding: &Finding) -> String {
    match (finding.port.unwrap_or_default(), finding.last_port) {
        (port, Some(last)) if last != port => format!("{port}-{last}"),
        (port, _) => port.to_string(),
    }
}

/// The process and what it is known as, or where the port is configured.
fn who(finding: &Finding, width: usize) -> String {
    if let Some(configured) = &finding.configured {
        let (by, name) = (configured.by, printable(&configured.name).into_owned());
        return text::truncate_head(&name, &format!(" ({by})"), width);
    }
    let chosen = if finding.kind == FindingKind::PortZeroListener { " bind(0)" } else { "" };
    let Some(process) = &finding.process else {
        return format!("({}){chosen}", finding.unnamed_reason.map_or("unknown", words::unnamed));
    };
    let more = if finding.others.is_empty() { String::new() } else { format!(" +{}", finding.others.len()) };
    let (name, pid) = words::process(process);
    let tail = format!("{pid}{more}{chosen}");
    let room = width.saturating_sub(text::width(&name) + text::width(&tail) + 1);
    let known = words::known_as(process).filter(|known| text::width(known) <= room);
    text::truncate_head(&name, &known.map_or(tail.clone(), |known| format!("{tail} {known}")), width)
}

/// In seven columns.
fn percent(odds: f64) -> String {
    match odds * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "<0.01 %".to_owned(),
        percent if percent < 10.0 => format!("{percent:.2} %"),
        percent => format!("{percent:.1} %"),
    }
}

fn paragraph(out: &mut impl Write, finding: &Finding, width: usize) -> io::Result<()> {
    let room = width.saturating_sub(INDENT.len());
    if let Some(Process { exe: Some(exe), .. }) = &finding.process {
        writeln!(out, "{INDENT}{DIM}{}{DIM:#}", text::truncate(&printable(exe), room))?;
    }
    for line in wrap(&printable(&finding.why), room) {
        writeln!(out, "{INDENT}{line}")?;
    }
    if let Some(odds) = &finding.odds {
        let line = format!(
            "reckoned from: {:.1} ports given away a second, {} clients now, {} ms of downtime ({})",
            odds.assignments_per_second, odds.clients, odds.downtime_ms, odds.downtime_from
        );
        for line in wrap(&line, room) {
            writeln!(out, "{INDENT}{DIM}{line}{DIM:#}")?;
        }
    }
    advice(out, finding, width)
}

fn advice(out: &mut impl Write, finding: &Finding, width: usize) -> io::Result<()> {
    for advice in &finding.advice {
        let line = format!("{}: {}", advice.action, advice.why);
        for line in wrap(&printable(&line), width.saturating_sub(INDENT.len())) {
            writeln!(out, "{INDENT}{line}")?;
        }
        for command in &advice.commands {
            writeln!(out, "{INDENT}  {COMMAND}{}{COMMAND:#}", printable(command))?;
        }
    }
    Ok(())
}

/// One command that reserves every port at risk in portwatch's own namespace; the others have theirs in the wide form.
fn prevent(out: &mut impl Write, ports: &[&Finding]) -> io::Result<()> {
    let is_reservable = |finding: &&&Finding| {
        let is_plain = |command: &String| !command.starts_with("nsenter");
        let reserve = finding.advice.iter().find(|advice| advice.action == Action::ReservePort);
        reserve.is_some_and(|advice| advice.commands.iter().all(is_plain))
    };
    let mut wanted: Vec<(u16, u16)> = ports
        .iter()
        .filter(is_reservable)
        .filter_map(|finding| Some((finding.port?, finding.last_port?)))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(());
    }
    let name = |(first, last): &(u16, u16)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    let list: Vec<String> = wanted.iter().map(name).collect();
    writeln!(out, "prevent: {COMMAND}portwatch reserve --persist {}{COMMAND:#}", list.join(" "))
}

fn summary(out: &mut impl Write, namespace: &AuditedNamespace, width: usize) -> io::Result<()> {
    let name = match (&namespace.netns_name, namespace.own) {
        (_, true) => "here".to_owned(),
        (Some(name), _) => name.clone(),
        (None, _) => format!("netns {}", namespace.netns),
    };
    let range = match (namespace.low, namespace.high) {
        (Some(low), Some(high)) => format!("{low}-{high}, {} of them to be chosen", namespace.choosable),
        _ => "not known".to_owned(),
    };
    let protocol = |one: &crate::model::AuditedProtocol| {
        let in_use: u64 = one.in_use.values().sum();
        format!(
            "{}: {in_use} in use, {} clients, {:.1}/s",
            one.protocol, one.clients, one.assignments_per_second
        )
    };
    let protocols: Vec<_> = namespace.protocols.iter().map(protocol).collect();
    let line = format!("{name}: range {range}; {}", protocols.join("; "));
    for line in wrap(&printable(&line), width) {
        writeln!(out, "{DIM}{line}{DIM:#}")?;
    }
    Ok(())
}
