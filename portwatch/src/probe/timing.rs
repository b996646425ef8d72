//! Where the time of a start goes.

use serde::Serialize;
use std::time::Instant;

/// Microseconds of each phase, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Reading the kernel's type information.
    pub types_us: u64,
    /// Making the tables and preparing the programs.
    pub prepare_us: u64,
    /// Loading the programs, which the verifier looks at.
    pub verify_us: u64,
    /// Attaching them.
    pub attach_us: u64,
    /// Recording the sockets that were there before.
    pub sockets_us: u64,
    /// What `verify_us` is made of; several programs are loaded side by side.
    pub programs: Vec<ProgramLoad>,
}

/// What one program took to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProgramLoad {
    /// Its name in the object.
    pub program: String,
    /// Microseconds: the verifier's, and those of the kernel's compiler.
    pub load_us: u64,
}

impl Timing {
    /// All of it, in milliseconds.
    #[must_use]
    pub const fn millis(&self) -> u64 {
        let &Self { types_us, prepare_us, verify_us, attach_us, sockets_us, programs: _ } = self;
        (types_us + prepare_us + verify_us + attach_us + sockets_us) / 1_000
    }
}

/// Does something, and adds the time that it took.
pub(super) fn timed<T>(micros: &mut u64, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let result = work();
    *micros += u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
    result
}
