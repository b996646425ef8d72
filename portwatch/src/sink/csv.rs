//! CSV for spreadsheets: quoted as RFC 4180 says, and harmless when opened in one.
//!
//! A spreadsheet runs what begins with `=`, `+`, `-` or `@`, and a process chooses its own name. Such a text gets an
//! apostrophe before it, by which spreadsheets know text.

use crate::model::{Conflict, Process, SummaryRow};
use crate::text;
use std::borrow::Cow;
use std::io::{self, Write};

/// Columns of a conflict. Later ones are only ever added at the end.
const CONFLICT: &str = "id,time,first_time,count,operation,errno,protocol,address,port,netns,cause,\
    victim,victim_pid,victim_unit,victim_container,victim_pod,\
    culprit,culprit_pid,culprit_unit,culprit_container,culprit_pod,unnamed_reason,\
    state,local,remote,assigned_by,evidence,holders,advice";
/// Columns of a summary, after the group's name.
const SUMMARY: &str = "conflicts,refusals,first,last,ports,port_count";

/// The first line, for conflicts.
///
/// # Errors
/// If it could not be written; a broken pipe among them.
pub fn header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{CONFLICT}")
}

/// One conflict on one line.
///
/// # Errors
/// As above.
pub fn conflict(out: &mut impl Write, conflict: &Conflict) -> io::Result<()> {
    let culprit = conflict.culprit();
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    let mut fields = vec![
        conflict.id.clone(),
        format!("{:.9}", conflict.time),
        format!("{:.9}", conflict.first_time),
        conflict.count.to_string(),
        conflict.operation.to_string(),
        conflict.errno.to_string(),
        conflict.protocol.to_string(),
        conflict.address.to_string(),
        conflict.port.to_string(),
        conflict.netns.to_string(),
        conflict.cause.to_string(),
    ];
    fields.extend(process(Some(&conflict.victim)));
    fields.extend(process(culprit.and_then(|holder| holder.process.as_ref())));
    fields.extend([
        or_empty(culprit.and_then(|holder| Some(holder.unnamed_reason?.to_string()))),
        or_empty(culprit.map(|holder| holder.state.to_string())),
        or_empty(culprit.and_then(|holder| Some(holder.local?.to_string()))),
        or_empty(culprit.and_then(|holder| Some(holder.remote?.to_string()))),
        or_empty(culprit.map(|holder| holder.assigned_by.to_string())),
        or_empty(culprit.and_then(|holder| Some(holder.evidence?.to_string()))),
        conflict.holders.len().to_string(),
        or_empty(conflict.advice.iter().find_map(|advice| advice.commands.first().cloned())),
    ]);
    line(out, &fields)
}

/// A summary: the group's column is called `by`.
///
/// # Errors
/// As above.
pub fn summary(out: &mut impl Write, by: &str, rows: &[SummaryRow]) -> io::Result<()> {
    writeln!(out, "{by},{SUMMARY}")?;
    for row in rows {
        let ports: Vec<_> = row.ports.iter().map(ToString::to_string).collect();
        let fields = [
            row.name.clone(),
            row.conflicts.to_string(),
            row.refusals.to_string(),
            format!("{:.9}", row.first),
            format!("{:.9}", row.last),
            ports.join(" "),
            row.port_count.to_string(),
        ];
        line(out, &fields)?;
    }
    Ok(())
}

fn process(process: Option<&Process>) -> [String; 5] {
    let Some(process) = process else { return Default::default() };
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let pod = match (&process.pod_namespace, &process.pod_name) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        (_, name) => text(name),
    };
    let [unit, container] = [&process.unit, &process.container_name].map(text);
    [process.comm.clone(), process.pid.to_string(), unit, container, pod]
}

fn line(out: &mut impl Write, fields: &[String]) -> io::Result<()> {
    let fields: Vec<_> = fields.iter().map(|text| field(text)).collect();
    writeln!(out, "{}", fields.join(","))
}

fn field(field: &str) -> Cow<'_, str> {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = text::printable(field);
    let text = if is_formula { Cow::Owned(format!("'{text}")) } else { text };
    if text.contains([',', '"', ';', '\'']) || text.starts_with(' ') || text.ends_with(' ') {
        return Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    #[test]
    fn fields_are_quoted_and_harmless() {
        for (text, expected) in [
            ("nginx", "nginx"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("-bash", "\"'-bash\""),
            ("+1", "\"'+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\\t=1\""),
            ("two\nlines", "two\\nlines"),
            ("\u{1b}[31m", "\\x1b[31m"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(field(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_column_has_a_field() {
        let mut out = Vec::new();
        header(&mut out).expect("a vector takes everything");
        conflict(&mut out, &example::client()).expect("a vector takes everything");
        let mut nobody = example::client();
        nobody.holders.clear();
        conflict(&mut out, &nobody).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(
            lines.iter().all(|line| line.matches(',').count() == lines[0].matches(',').count()),
            "{text}"
        );
        assert!(lines[1].starts_with("2c3d4e5f6-1019,2026-11-24T03:12:44.000000000Z,"), "{text}");
        assert!(
            lines[1].contains(",nginx,4121,nginx.service,,,java,2210,hdfs.service,,,,ESTABLISHED,"),
            "{text}"
        );
    }
}
