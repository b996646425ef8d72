//! Entry points, one file a backend. Each states the kernel prototypes it relies on and hands over at once.
#![expect(clippy::needless_pass_by_value, reason = "aya's macros hand the context over by value")]

mod fexit;
mod fexit_stand_in;
mod kprobe;
mod process;
mod registers;
mod snapshot;
mod states;
mod tracepoint;
