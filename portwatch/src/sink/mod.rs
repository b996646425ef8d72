//! Where conflicts are told: one trait, one file a form. Sinks see only the model.

pub mod json;
pub mod terminal;

use crate::model::Conflict;
use std::io;

/// A form of telling.
pub trait Sink {
    /// Tells a conflict for the first time.
    ///
    /// # Errors
    /// If it could not be written; a broken pipe among them.
    fn conflict(&mut self, conflict: &Conflict) -> io::Result<()>;

    /// Tells that a conflict told before has grown: the same id, a larger count.
    ///
    /// # Errors
    /// As above.
    fn repeat(&mut self, conflict: &Conflict) -> io::Result<()>;
}
