//! Lines for a person and for `cargo xtask test`. A reader that has gone (`| head`) is no reason for a panic, but for an
//! early end: through the usual way out, which takes down what stands.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

static HAS_READER: AtomicBool = AtomicBool::new(true);

/// Prints a line.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    note(&writeln!(io::stdout(), "{text}"));
}

/// Whether anybody reads what is printed. A run that ends because nobody does has proven nothing.
pub(crate) fn is_read() -> bool {
    HAS_READER.load(Ordering::Relaxed)
}

fn note(printed: &io::Result<()>) {
    if printed.is_err() {
        HAS_READER.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_nobody_takes_is_remembered() {
        note(&Ok(()));
        assert!(is_read());
        note(&Err(io::ErrorKind::BrokenPipe.into()));
        assert!(!is_read());
    }
}
