//! Entry points, one file a backend. Each states the kernel prototypes it relies on and hands over at once.

mod fexit;
mod snapshot;
mod tracepoint;
