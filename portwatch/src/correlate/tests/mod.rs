//! Records and answers in, conflicts out.

mod coalescing;
mod hands;
mod names;
mod naming;
mod random;
mod sctp;
mod selection;
mod world;
