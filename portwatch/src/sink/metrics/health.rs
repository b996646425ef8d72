//! What the agent knows of itself and of the host: numbers read elsewhere, replaced as a whole, shown at the next scrape.

use crate::model::{AssignedBy, PortState, Protocol, Whom};

/// A snapshot. Counts are totals since the start, and never shrink.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// What was lost or not understood, by stage: the names of the summary of `trace`.
    pub losses: Vec<(&'static str, u64)>,
    /// Sockets whose end the kernel did not tell of.
    pub releases_skipped: u64,
    /// The kernel-side tables.
    pub tables: Vec<TableFill>,
    /// Ports given to sockets.
    pub assignments: Vec<(Protocol, AssignedBy, u64)>,
    /// Ports of the ephemeral range in use.
    pub ephemeral: Vec<(Protocol, PortState, u64)>,
    /// Ports of the ephemeral range that a client may not have.
    pub unavailable: Vec<(Protocol, Whom, u64)>,
    /// Ports of the ephemeral range that are not reserved.
    pub ephemeral_range_ports: u64,
    /// Listeners in the range on a port that is not reserved.
    pub listeners_at_risk: u64,
    /// Failures of the store.
    pub store_errors: u64,
    /// Kernel-side programs: name, runs, seconds.
    pub programs: Vec<(String, u64, f64)>,
}

/// How full a kernel-side table is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFill {
    /// Name of the map, such as `PORTS`; shown in lower case.
    pub name: &'static str,
    /// Entries now.
    pub entries: u64,
    /// Entries at most.
    pub capacity: u64,
    /// Entries that found it full, so far.
    pub overflows: u64,
}

/// Stages that are shown from the start: counters of the kernel side, those of user space, then the sinks that were too
/// slow.
pub(super) const STAGES: [&str; 20] = [
    "refusals_lost",
    "holders_lost",
    "processes_lost",
    "ports_full",
    "ports_busy",
    "closed_evicted",
    "closed_lost",
    "attempts_full",
    "walks_cut",
    "probes_missed",
    "calls_full",
    "channel_full",
    "undecodable",
    "foreign_holders",
    "stray_holders",
    "events_skipped",
    "events_unrecorded",
    "store",
    "journal",
    "live_tail",
];

/// Tables that are shown from the start.
pub(super) const TABLES: [&str; 6] = ["ports", "datagrams", "last", "process", "attempts", "calls"];

/// Protocols whose ephemeral ports are counted.
pub(super) const COUNTED: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

#[cfg(test)]
mod tests {
    use super::STAGES;
    use portwatch_common::counter;

    #[test]
    fn every_loss_of_the_kernel_side_is_a_stage() {
        const HARMLESS: [&str; 3] = ["refusals", "preexisting", "stood_in"];
        for name in counter::NAMES {
            assert_ne!(STAGES.contains(name), HARMLESS.contains(name), "{name}");
        }
    }
}
