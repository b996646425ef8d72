//! Where conflicts are told: one trait, one file a form. Sinks see only the model.

pub mod csv;
pub mod journal;
pub mod json;
pub mod metrics;
pub mod terminal;

use crate::correlate::Report;
use crate::model::Conflict;
use std::io;
use std::sync::Arc;

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

/// A conflict on its way to sinks that run by themselves: one copy for all of them.
#[derive(Clone, Debug)]
pub struct Told {
    /// As it stands now.
    pub conflict: Arc<Conflict>,
    /// Told for the first time; else one told before has grown.
    pub is_new: bool,
}

impl Told {
    /// Tells it in a form.
    ///
    /// # Errors
    /// If it could not be written.
    pub fn to(&self, sink: &mut dyn Sink) -> io::Result<()> {
        if self.is_new { sink.conflict(&self.conflict) } else { sink.repeat(&self.conflict) }
    }
}

impl From<Report> for Told {
    fn from(report: Report) -> Self {
        let is_new = matches!(report, Report::New(_));
        let (Report::New(conflict) | Report::Repeat(conflict)) = report;
        Self { conflict: Arc::from(conflict), is_new }
    }
}
