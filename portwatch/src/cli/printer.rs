//! Reports → the wanted ones, in the wanted form, counted; the header before them and the summary after.

use super::trace::{Options, Output};
use crate::correlate::Report;
use crate::filter::Filter;
use crate::model::{Cause, Conflict};
use crate::probe::Status;
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::terminal::{self, Form, Terminal};
use crate::text;
use jiff::tz::TimeZone;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io::{self, Write};

/// Conflicts whose repeats are recognised; as many as the correlator follows.
const REMEMBERED: usize = 4_096;
/// Width of lines that go into a file or a pipe.
const UNBOUNDED: usize = 200;

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// There is more to come.
    Continue,
    /// `--count` conflicts were shown.
    Enough,
}

/// Shows what the filter admits.
pub struct Printer {
    sink: Box<dyn Sink>,
    filter: Filter,
    count: Option<u64>,
    summary: Summary,
    /// How often each conflict was refused, by its id.
    seen: HashMap<String, u64>,
    order: VecDeque<String>,
}

impl Printer {
    /// Writes to standard output, colours only on a terminal that wants them.
    pub fn to_stdout(options: &Options) -> Self {
        let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
        let zone = TimeZone::system();
        let sink: Box<dyn Sink> = match options.output {
            Output::Table => Box::new(Terminal::new(anstream::stdout(), Form::Table, width, zone)),
            Output::Wide => Box::new(Terminal::new(anstream::stdout(), Form::Wide, width, zone)),
            Output::Json => Box::new(Json::new(io::stdout())),
        };
        Self::new(sink, options.filter.clone(), options.count)
    }

    /// Shows in a sink.
    pub fn new(sink: Box<dyn Sink>, filter: Filter, count: Option<u64>) -> Self {
        let (seen, order) = (HashMap::new(), VecDeque::new());
        Self { sink, filter, count, summary: Summary::default(), seen, order }
    }

    /// Takes a report in.
    ///
    /// # Errors
    /// If it could not be written; a broken pipe among them.
    pub fn report(&mut self, report: &Report) -> io::Result<Flow> {
        let conflict = report.conflict();
        if let Some(before) = self.seen.get_mut(&conflict.id) {
            self.summary.refusals += conflict.count.saturating_sub(*before);
            *before = conflict.count;
            self.sink.repeat(conflict)?;
        } else if self.filter.admits(conflict) {
            // A repeat is new here if the filter left the first one out: another pid, say.
            self.remember(conflict);
            self.summary.add(conflict);
            self.sink.conflict(conflict)?;
        }
        let is_enough = self.count.is_some_and(|count| self.summary.conflicts >= count);
        Ok(if is_enough { Flow::Enough } else { Flow::Continue })
    }

    /// What was shown so far.
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    fn remember(&mut self, conflict: &Conflict) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.order.push_back(conflict.id.clone());
        self.seen.insert(conflict.id.clone(), conflict.count);
    }
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer")
            .field("filter", &self.filter)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

/// What was shown, and what was lost on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Conflicts shown.
    pub conflicts: u64,
    /// Refusals that they stand for.
    pub refusals: u64,
    /// Conflicts by class.
    pub by_cause: BTreeMap<Cause, u64>,
    /// What was lost, by the counter's name; zeros are left out of the line.
    pub lost: Vec<(String, u64)>,
}

impl Summary {
    fn add(&mut self, conflict: &Conflict) {
        self.conflicts += 1;
        self.refusals += conflict.count;
        *self.by_cause.entry(conflict.cause).or_default() += 1;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "portwatch: {}, {}",
            counted(self.conflicts, "conflict"),
            counted(self.refusals, "refused call")
        )?;
        for (index, (cause, count)) in self.by_cause.iter().enumerate() {
            write!(f, "{} {count} {cause}", if index == 0 { ":" } else { "," })?;
        }
        let mut lost = self.lost.iter().filter(|(_, count)| *count > 0).peekable();
        if lost.peek().is_none() {
            return f.write_str("; nothing lost");
        }
        f.write_str("; lost:")?;
        for (index, (name, count)) in lost.enumerate() {
            write!(f, "{} {count} {}", if index == 0 { "" } else { "," }, name.replace('_', " "))?;
        }
        Ok(())
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The header: which hooks are attached, why not better ones, what they cannot see; then that everything is ready.
///
/// # Errors
/// If it could not be written.
pub fn announce(status: &Status, out: &mut impl Write) -> io::Result<()> {
    let known = counted(status.preexisting, "socket");
    writeln!(out, "portwatch: backend {}, {known} from before the start known", status.backend.name())?;
    for declined in &status.declined {
        let (backend, reason) = (declined.backend.name(), &declined.reason);
        writeln!(out, "portwatch: not {backend}: {}", text::printable(&reason.what))?;
        if !reason.remedy.is_empty() {
            writeln!(out, "portwatch:   remedy: {}", text::printable(&reason.remedy))?;
        }
    }
    if !status.blind.is_empty() {
        writeln!(out, "portwatch: not seen: {}", text::printable(&status.blind.join("; ")))?;
    }
    if let Some(reason) = &status.no_snapshot {
        writeln!(
            out,
            "portwatch: sockets from before the start are not recorded ({}); their processes are looked for in /proc",
            text::printable(&reason.what)
        )?;
    }
    writeln!(out, "portwatch: ready; waiting for refused bind() and listen() calls, Ctrl-C ends")
}
