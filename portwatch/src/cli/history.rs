//! `portwatch history`: the conflicts of the past, one by one or summed up.

use super::filters::by_name;
use super::{values, when};
use crate::exit_code::{ExitCode, Refused};
use crate::model::{Cause, Conflict, Protocol};
use crate::sink::terminal::{self, History};
use crate::sink::{csv, json};
use crate::store::{By, DEFAULT_PATH, Query, Reader, StoreError};
use crate::text;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Width of lines that go into a file or a pipe.
const UNBOUNDED: usize = 200;
/// Lines of a table, where no limit is given.
const SCREENS: u32 = 100;

/// Show refused calls of the past, and who had the port, from the agent's history
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch history --since -2h                       the last two hours, newest first
  portwatch history --since yesterday --port 8000-8999
  portwatch history --culprit java --cause time-wait
  portwatch history --by culprit --since 7d           who takes the ports of others, most often first
  portwatch history -o csv --since \"2026-11-23 03:00\" > conflicts.csv

A conflict that was repeated counts with all the time from its first to its latest refusal. A day means its beginning.
It works while the agent runs and after it has stopped. With -o json a line is one conflict, as `trace` shows it.

Exit codes: 0 looked, found or not; 1 no history, or it cannot be read; 2 wrong usage; 4 not permitted.")]
pub struct HistoryArgs {
    /// Only what was refused since: -2h, "1d 3h", yesterday, 03:12, "2026-11-23 03:00", RFC 3339
    #[arg(long, value_name = "T", allow_hyphen_values = true, value_parser = when::flag)]
    since: Option<Timestamp>,

    /// Only what was refused until then
    #[arg(long, value_name = "T", allow_hyphen_values = true, value_parser = when::flag)]
    until: Option<Timestamp>,

    /// Only conflicts about these ports
    #[arg(long, value_name = "P[,P-Q]", value_delimiter = ',', value_parser = values::port_range)]
    port: Vec<RangeInclusive<u16>>,

    /// Only this protocol
    #[arg(long, value_name = "PROTOCOL", value_parser = by_name(Protocol::ALL, Protocol::as_str))]
    protocol: Option<Protocol>,

    /// Only where this was refused: a program's name, unit, container or pod
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    victim: Option<String>,

    /// Only where this had the port: a program's name, unit, container or pod
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    culprit: Option<String>,

    /// Only conflicts of this class
    #[arg(long, value_name = "CAUSE", value_parser = by_name(Cause::ALL, Cause::as_str))]
    cause: Vec<Cause>,

    /// No more than so many, the newest; of a summary the largest [default: 100 in a table, else all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,

    /// Sum up by who had the port, who was refused, or the class
    #[arg(long, value_name = "WHAT", value_enum)]
    by: Option<Group>,

    /// Where the history is
    #[arg(long, value_name = "PATH", default_value = DEFAULT_PATH)]
    store: PathBuf,

    /// How it is shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Who had the port
    Culprit,
    /// Who was refused
    Victim,
    /// The class
    Cause,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A line a conflict
    #[default]
    Table,
    /// A JSON object a line
    Json,
    /// Comma-separated, for a spreadsheet
    Csv,
}

impl HistoryArgs {
    /// What is asked of the history.
    fn query(&self) -> Result<Query, Refused> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since > until
        {
            return Err(Refused::usage(format!(
                "--since ({}) is later than --until ({})",
                local(since),
                local(until)
            )));
        }
        Ok(Query {
            since: self.since,
            until: self.until,
            ports: self.port.clone(),
            protocol: self.protocol,
            victim: self.victim.clone(),
            culprit: self.culprit.clone(),
            cause: self.cause.clone(),
            limit: self.limit,
            ..Query::default()
        })
    }

    /// The same in words, for whoever found nothing.
    fn asked(&self) -> String {
        let mut asked = Vec::new();
        asked.extend(self.since.map(|since| format!("since {}", local(since))));
        asked.extend(self.until.map(|until| format!("until {}", local(until))));
        let ports = self.port.iter().map(|range| match (range.start(), range.end()) {
            (low, high) if low == high => low.to_string(),
            (low, high) => format!("{low}-{high}"),
        });
        let ports: Vec<_> = ports.collect();
        asked.extend((!ports.is_empty()).then(|| format!("about port {}", ports.join(", "))));
        asked.extend(self.protocol.map(|protocol| format!("of {protocol}")));
        asked.extend(self.victim.as_ref().map(|name| format!("with the victim {name}")));
        asked.extend(self.culprit.as_ref().map(|name| format!("with the culprit {name}")));
        let causes: Vec<_> = self.cause.iter().map(|cause| cause.as_str()).collect();
        asked.extend((!causes.is_empty()).then(|| format!("of the class {}", causes.join(", "))));
        asked.iter().map(|part| format!(" {part}")).collect()
    }
}

/// Runs the command.
///
/// # Errors
/// Wrong usage; no history, or one that cannot be read; an answer that could not be written.
pub fn run(args: &HistoryArgs) -> anyhow::Result<ExitCode> {
    let query = args.query()?;
    let reader = open(&args.store)?;
    if let Some(notice) = reader.notice() {
        eprintln!("portwatch: {}", text::printable(notice));
    }
    let shown = match args.by {
        Some(by) => summary(&reader, by, query, args.output)?,
        None => conflicts(&reader, query, args.output)?,
    };
    if shown == 0 {
        eprintln!("portwatch: {}", text::printable(&nothing(&reader, args)?));
    }
    if reader.unreadable() > 0 {
        eprintln!(
            "portwatch: {} conflicts could not be read and were left out; a later portwatch may have written them",
            reader.unreadable()
        );
    }
    Ok(ExitCode::Done)
}

/// Opens a history for a command.
///
/// # Errors
/// Why it cannot be read, with the exit code for it.
pub(super) fn open(path: &Path) -> anyhow::Result<Reader> {
    Reader::open(path).map_err(|error| match error {
        StoreError::Forbidden { .. } | StoreError::Newer { .. } => {
            Refused::unsupported(error.to_string()).into()
        }
        other => other.into(),
    })
}

/// Returns how many were shown.
fn conflicts(reader: &Reader, mut query: Query, output: Output) -> anyhow::Result<u64> {
    let is_cut = output == Output::Table && query.limit.is_none();
    if is_cut {
        query.limit = Some(SCREENS + 1);
    }
    let mut show = printer(output)?;
    let (mut shown, mut more, mut outcome) = (0_u64, false, Ok(()));
    reader.each(&query, |conflict| {
        more = is_cut && shown == u64::from(SCREENS);
        if more {
            return false;
        }
        outcome = show(Some(&conflict));
        shown += 1;
        outcome.is_ok()
    })?;
    outcome?;
    show(None)?;
    if more {
        eprintln!("portwatch: the newest {SCREENS} are shown; --limit N shows more, --by culprit sums up");
    }
    Ok(shown)
}

/// Shows a conflict; with none, that was the last.
type Show = Box<dyn FnMut(Option<&Conflict>) -> io::Result<()>>;

fn printer(output: Output) -> io::Result<Show> {
    let mut out = BufWriter::new(io::stdout());
    Ok(match output {
        Output::Table => {
            let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
            let mut table = History::new(anstream::stdout(), width, TimeZone::system());
            Box::new(move |conflict| conflict.map_or(Ok(()), |conflict| table.conflict(conflict)))
        }
        Output::Json => Box::new(move |conflict| match conflict {
            Some(conflict) => json::write_line(&mut out, conflict),
            None => out.flush(),
        }),
        Output::Csv => {
            csv::header(&mut out)?;
            Box::new(move |conflict| match conflict {
                Some(conflict) => csv::conflict(&mut out, conflict),
                None => out.flush(),
            })
        }
    })
}

/// Returns how many groups were shown.
fn summary(reader: &Reader, by: Group, mut query: Query, output: Output) -> anyhow::Result<u64> {
    let by = match by {
        Group::Culprit => By::Culprit,
        Group::Victim => By::Victim,
        Group::Cause => By::Cause,
    };
    if output == Output::Table {
        query.limit = query.limit.or(Some(SCREENS));
    }
    let rows = reader.summary(by, &query)?;
    let mut out = BufWriter::new(io::stdout());
    match output {
        Output::Table if rows.is_empty() => {}
        Output::Table => {
            let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
            terminal::write_summary(&mut anstream::stdout(), by.as_str(), &rows, width, &TimeZone::system())?;
        }
        Output::Json => rows.iter().try_for_each(|row| json::write_line(&mut out, row))?,
        Output::Csv => csv::summary(&mut out, by.as_str(), &rows)?,
    }
    out.flush()?;
    Ok(rows.len() as u64)
}

/// Where it was looked, and for what.
fn nothing(reader: &Reader, args: &HistoryArgs) -> Result<String, StoreError> {
    let path = args.store.display();
    let (count, oldest) = reader.extent()?;
    let Some(oldest) = oldest else {
        return Ok(format!(
            "the history at {path} is empty: no refused call was seen since the agent made it"
        ));
    };
    let conflicts = if count == 1 { "conflict" } else { "conflicts" };
    Ok(format!(
        "nothing found{}; {path} has {count} {conflicts}, the oldest of {}",
        args.asked(),
        local(oldest)
    ))
}

fn local(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}
