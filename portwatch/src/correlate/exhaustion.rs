//! No port of the range is left: how full it is and with what, and who has most of it. Nobody in particular is to blame.

use super::lookups::{Lookups, ProcessId, RangeHolder, RangeUse, WantedRange, WantedUse};
use super::processes::Processes;
use super::{cause, resolve, socket};
use crate::advise::{RangeSettings, Situation};
use crate::model::{AssignedBy, Conflict, Evidence, Holder, Operation};
use crate::ports::PortList;
use portwatch_common::record::Refusal;
use std::net::{IpAddr, SocketAddr};

/// Processes listed: whoever comes after these has little to do with it.
const LISTED: usize = 5;

/// Adds to the conflict who has most of the range and how full it is, and to the situation what it can be helped with.
pub(super) fn explain(
    conflict: &mut Conflict,
    refusal: &Refusal,
    situation: &mut Situation,
    processes: &mut Processes,
    lookups: &mut dyn Lookups,
) {
    let range = WantedRange {
        netns: refusal.socket.netns,
        protocol: refusal.socket.protocol,
        low: refusal.range_low,
        high: refusal.range_high,
    };
    conflict.holders = holders(range, processes, lookups);
    let tgid = situation.door.unwrap_or(refusal.task.tgid);
    let wanted = WantedUse { range, tgid, connection: connection(conflict.operation, refusal) };
    let Some(found) = lookups.range_use(wanted) else { return };
    situation.range = Some(settings(&found));
    conflict.exhaustion = Some(found.exhaustion);
}

/// What the advice depends on.
pub(crate) fn settings(found: &RangeUse) -> RangeSettings {
    let listeners = PortList::parse(&found.listeners).unwrap_or_default();
    RangeSettings { range: found.range, listeners, timestamps: found.timestamps }
}

/// Between which ends a connection was wanted: by then the route has given it its local address.
fn connection(operation: Operation, refusal: &Refusal) -> Option<(IpAddr, SocketAddr)> {
    let socket = &refusal.socket;
    let is_known = operation == Operation::Connect && socket.remote_port != 0;
    is_known.then(|| {
        let ip = |bytes| socket::ip_addr(socket.family, bytes).to_canonical();
        (ip(socket.local), SocketAddr::new(ip(socket.remote), socket.remote_port))
    })
}

/// The processes with the most sockets on ports of the range.
fn holders(range: WantedRange, processes: &mut Processes, lookups: &mut dyn Lookups) -> Vec<Holder> {
    let found = lookups.range_holders(range);
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
