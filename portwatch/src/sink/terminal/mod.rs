//! For people: the table and the wide form. The only place that knows ANSI; the stream given to it strips the colours
//! where they are not wanted.

mod audit;
mod cells;
mod held;
mod history;
mod reserved;
mod story;
mod table;
#[cfg(test)]
mod tests;
mod wide;
mod words;

pub use audit::write as write_audit;
pub use held::write as write_held;
pub use history::{History, write_summary};
pub use reserved::write as write_reserved;
pub use story::write as write_story;

use super::Sink;
use crate::model::Conflict;
use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use std::io::{self, Write};
use table::Columns;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const CULPRIT: Style = AnsiColor::Red.on_default().bold();
const COMMAND: Style = AnsiColor::Green.on_default();

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line a conflict.
    Table,
    /// A paragraph a conflict.
    Wide,
}

/// Writes for a terminal.
#[derive(Debug)]
pub struct Terminal<W> {
    out: W,
    form: Form,
    width: usize,
    zone: TimeZone,
    has_header: bool,
}

impl<W: Write> Terminal<W> {
    /// Writes to `out` lines fit for `width` columns, with times of `zone`.
    pub const fn new(out: W, form: Form, width: usize, zone: TimeZone) -> Self {
        Self { out, form, width, zone, has_header: false }
    }
}

impl<W: Write> Sink for Terminal<W> {
    fn conflict(&mut self, conflict: &Conflict) -> io::Result<()> {
        if self.form == Form::Wide {
            wide::paragraph(&mut self.out, conflict, &self.zone, self.width)?;
            return self.out.flush();
        }
        let columns = Columns::for_width(self.width);
        if !self.has_header {
            table::header(&mut self.out, columns)?;
            self.has_header = true;
        }
        table::row(&mut self.out, conflict, columns, &self.zone)?;
        self.out.flush()
    }

    fn repeat(&mut self, conflict: &Conflict) -> io::Result<()> {
        table::repeat(&mut self.out, conflict, Columns::for_width(self.width), &self.zone)?;
        self.out.flush()
    }
}

/// Width of the terminal that standard output is; `None` if it is none. `COLUMNS` goes first.
pub fn width_of_stdout() -> Option<usize> {
    let told =
        std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|&columns| columns > 0);
    told.or_else(|| {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        (size.ws_col > 0).then_some(usize::from(size.ws_col))
    })
}
