//! Reports → the wanted ones, in the wanted form, counted; the header before them.

use super::trace::Output;
use crate::correlate::Report;
use crate::filter::Filter;
use crate::follow::{Audience, Flow};
use crate::ledger::{Ledger, Summary, counted};
use crate::probe::Status;
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::terminal::{self, Form, Terminal};
use crate::text;
use jiff::tz::TimeZone;
use std::fmt;
use std::io::{self, Write};

/// Width of lines that go into a file or a pipe.
const UNBOUNDED: usize = 200;

/// Shows what the filter admits.
pub struct Printer {
    sink: Box<dyn Sink>,
    filter: Filter,
    count: Option<u64>,
    ledger: Ledger,
}

impl Printer {
    /// Writes to standard output, colours only on a terminal that wants them.
    pub fn to_stdout(output: Output, filter: Filter, count: Option<u64>) -> Self {
        let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
        let zone = TimeZone::system();
        let sink: Box<dyn Sink> = match output {
            Output::Table => Box::new(Terminal::new(anstream::stdout(), Form::Table, width, zone)),
            Output::Wide => Box::new(Terminal::new(anstream::stdout(), Form::Wide, width, zone)),
            Output::Json => Box::new(Json::new(io::stdout())),
        };
        Self::new(sink, filter, count)
    }

    /// Shows in a sink.
    pub fn new(sink: Box<dyn Sink>, filter: Filter, count: Option<u64>) -> Self {
        Self { sink, filter, count, ledger: Ledger::default() }
    }

    /// What was shown so far.
    pub fn summary(&self) -> &Summary {
        self.ledger.summary()
    }
}

impl Audience for Printer {
    fn report(&mut self, report: Report) -> io::Result<Flow> {
        let conflict = report.conflict();
        if self.ledger.grow(conflict) {
            self.sink.repeat(conflict)?;
        } else if self.filter.admits(conflict) {
            // A repeat is new here if the filter left the first one out: another pid, say.
            self.ledger.open(conflict);
            self.sink.conflict(conflict)?;
        }
        // `--count` conflicts were shown.
        let is_enough = self.count.is_some_and(|count| self.summary().conflicts >= count);
        Ok(if is_enough { Flow::Enough } else { Flow::Continue })
    }
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer")
            .field("filter", &self.filter)
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
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
