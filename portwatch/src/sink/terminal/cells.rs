//! One line of a table: cells cut and padded to their columns.

use crate::text;
use anstyle::Style;
use std::io::{self, Write};

/// Between two columns.
pub(super) const GAP: &str = "  ";

/// Writes the cells; a width of 0 is a column that there is no room for.
pub(super) fn line<const N: usize>(
    out: &mut impl Write,
    cells: &[String; N],
    widths: [usize; N],
    styles: [Style; N],
) -> io::Result<()> {
    let last = widths.iter().rposition(|width| *width > 0).unwrap_or_default();
    for (at, ((cell, width), style)) in cells.iter().zip(widths).zip(styles).enumerate() {
        if width == 0 {
            continue;
        }
        let cell = text::truncate(cell, width);
        let blank = if at == last { 0 } else { width.saturating_sub(text::width(&cell)) + GAP.len() };
        write!(out, "{style}{cell}{style:#}{:blank$}", "")?;
    }
    writeln!(out)
}
