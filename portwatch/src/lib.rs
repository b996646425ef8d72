//! portwatch: names the process that holds the port when a bind() or listen() is refused.
//!
//! One way through: `source` reads the kernel side's ring, [`decode`] makes records of bytes, [`correlate`] makes
//! conflicts of records, and each [`sink`] tells them in its own form. Sinks see only the [`model`].

pub mod advise;
pub mod agent;
pub mod audit;
pub mod cli;
pub mod config;
pub mod correlate;
pub mod decode;
pub mod demo;
pub mod exit_code;
pub mod filter;
pub mod follow;
pub mod ledger;
pub mod model;
pub mod occupancy;
pub mod owner;
pub mod pipeline;
pub mod ports;
pub mod probe;
pub mod recording;
pub mod reserve;
pub mod rule;
pub mod serve;
pub mod sink;
pub mod source;
pub mod store;
pub mod tail;
pub mod text;
pub mod who;
pub mod why;
