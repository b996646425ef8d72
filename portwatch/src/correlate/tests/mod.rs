//! Records and answers in, conflicts out.

mod coalescing;
mod naming;
mod random;
mod selection;
mod world;
