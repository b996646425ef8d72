//! No port of the range is left: who has most of them. Nobody in particular is to blame.

use super::lookups::{Lookups, ProcessId, RangeHolder, WantedRange};
use super::processes::Processes;
use super::{cause, resolve};
use crate::model::{AssignedBy, Evidence, Holder};
use portwatch_common::record::Refusal;

/// Processes listed: whoever comes after these has little to do with it.
const LISTED: usize = 5;

/// The processes with the most sockets on ports of the range.
pub(super) fn holders(
    refusal: &Refusal,
    processes: &mut Processes,
    lookups: &mut dyn Lookups,
) -> Vec<Holder> {
    let wanted = WantedRange {
        netns: refusal.socket.netns,
        protocol: refusal.socket.protocol,
        low: refusal.range_low,
        high: refusal.range_high,
    };
    let found = lookups.range_holders(wanted);
    found.iter().take(LISTED).map(|one| describe(one, processes, lookups)).collect()
}

fn describe(one: &RangeHolder, processes: &mut Processes, lookups: &mut dyn Lookups) -> Holder {
    let assigned_by = AssignedBy::from_wire(one.how);
    Holder {
        process: Some(processes.describe(&one.task, lookups)),
        unnamed_reason: None,
        assigned_by,
        ephemeral: cause::is_kernel_chosen(assigned_by),
        assigned_time: (one.since_ns != 0).then(|| lookups.wall_clock(one.since_ns)),
        alive: lookups.alive(ProcessId::of(&one.task)).unwrap_or(false),
        evidence: Some(Evidence::PortTable),
        sockets: Some(one.sockets),
        ..resolve::nobody(crate::model::UnnamedReason::AlreadyGone)
    }
}
