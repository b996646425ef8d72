//! The agent's socket: conflicts as they happen, and who holds a port, for people who may not load BPF themselves.
//!
//! One line of JSON asks, lines of JSON answer. `server` belongs to the agent, `client` to `trace` and `who`.

pub mod client;
pub mod server;
#[cfg(test)]
mod tests;

use crate::model::{Conflict, HeldPort};
use serde::{Deserialize, Serialize};

/// Version of the questions and answers; both sides say it.
pub const PROTOCOL: u32 = 1;

/// A question is no longer than this, in bytes.
const LONGEST_QUESTION: u64 = 16 * 1024;

/// What a client asks for: one line, the first and only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// Conflicts from now on.
    Conflicts {
        /// [`PROTOCOL`].
        protocol: u32,
    },
    /// Everybody on these ports, in every network namespace; each as `PORT` or `PORT/PROTOCOL`.
    Who {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The ports.
        ports: Vec<String>,
    },
}

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Who answers; always the first line.
    Hello(Hello),
    /// A conflict for the first time.
    New(Box<Conflict>),
    /// One that was told before has grown.
    Repeat(Box<Conflict>),
    /// This client was too slow for so many lines.
    Lost(u64),
    /// Everybody on the ports; ends the answer.
    Held(Vec<HeldPort>),
    /// Why there is no answer; ends it.
    Error(String),
}

/// The agent, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Version of the agent.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Its kernel hooks.
    pub backend: String,
    /// What these cannot see.
    pub blind: Vec<String>,
}
