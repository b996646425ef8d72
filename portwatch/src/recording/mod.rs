//! Record and replay: what the correlator was given, in a file, and the same again from it.
//!
//! The correlator is pure, so a run is: its settings, the events in their order, the answer to every question that it
//! asked meanwhile, and the ticks between. `docs/recording.md` is the format, and what is promised of it.

mod exchange;
mod format;
mod header;
mod layout;
mod lookups;
mod raw;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use exchange::Exchange;
pub use format::{MAX_FRAME, VERSION};
pub use header::{ClockPair, End, Header};
pub use layout::LAYOUT;
pub use lookups::{Asking, Replayed};
pub use reader::{ReadError, Reader, Step};
pub use writer::Recorder;
