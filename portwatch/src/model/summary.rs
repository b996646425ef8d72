//! A group of conflicts of the past, as a summary shows it.

use jiff::Timestamp;
use serde::Serialize;

/// One group of a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SummaryRow {
    /// What a person calls it: the unit, the pod, the container or the program; the class. In parentheses: not nameable.
    pub name: String,
    /// Conflicts.
    pub conflicts: u64,
    /// Refused calls.
    pub refusals: u64,
    /// Ports that were refused: the most refused first, no more than [`PORTS_SHOWN`].
    pub ports: Vec<u16>,
    /// How many different ports.
    pub port_count: u64,
    /// First refusal.
    #[serde(serialize_with = "super::time::serialize")]
    pub first: Timestamp,
    /// Latest refusal.
    #[serde(serialize_with = "super::time::serialize")]
    pub last: Timestamp,
}

/// Ports listed in a row of a summary.
pub const PORTS_SHOWN: usize = 8;
