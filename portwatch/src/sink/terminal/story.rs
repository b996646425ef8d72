//! A story for the terminal: the answer first and in full width, the rest behind its labels.

use super::wide::wrap;
use super::{BOLD, COMMAND, DIM};
use crate::text::printable;
use crate::why::{About, Story};
use std::io::{self, Write};

/// Room for the labels at the left.
const LABEL: usize = 9;
/// Longer lines are hard to read, shorter ones hard to write.
const WIDTHS: (usize, usize) = (60, 100);

/// Writes a story in lines fit for `columns`. Commands are never broken: they are there to be copied.
///
/// # Errors
/// If it could not be written; a broken pipe among them.
pub fn write(out: &mut impl Write, story: &Story, columns: usize) -> io::Result<()> {
    let columns = columns.clamp(WIDTHS.0, WIDTHS.1);
    let mut last = None;
    for part in &story.parts {
        if part.about == About::Answer {
            for line in wrap(&part.text, columns) {
                writeln!(out, "{BOLD}{line}{BOLD:#}")?;
            }
            continue;
        }
        let is_new = last != Some(part.about);
        if is_new {
            writeln!(out)?;
        }
        for (index, line) in wrap(&part.text, columns - LABEL).iter().enumerate() {
            let title = if is_new && index == 0 { label(part.about) } else { "" };
            writeln!(out, "{DIM}{title:LABEL$}{DIM:#}{line}")?;
        }
        for command in &part.commands {
            writeln!(out, "{:LABEL$}  {COMMAND}{}{COMMAND:#}", "", printable(command))?;
        }
        last = Some(part.about);
    }
    out.flush()
}

const fn label(about: About) -> &'static str {
    match about {
        About::Answer => "",
        About::How => "How",
        About::Wanted => "Wanted",
        About::Clash => "Clash",
        About::Now => "Now",
        About::Remedy => "To do",
        About::Earlier => "Earlier",
        About::Note => "Note",
    }
}
