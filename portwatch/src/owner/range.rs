//! Recorded assignments → who has most of an ephemeral range. Pure, but for the look into descriptors that is passed in.

use super::now_boot_ns;
use crate::correlate::{ProcessId, RangeHolder, WantedRange};
use crate::occupancy::BoundPorts;
use crate::probe::Assignments;
use portwatch_common::Assignment;
use portwatch_common::record::how;
use std::collections::{HashMap, HashSet};

/// Whether a record is of a port in the range. Where the number was not known yet, the kernel chose it, from there.
pub(super) fn is_within(one: &Assignment, wanted: WantedRange) -> bool {
    let known = (wanted.low..=wanted.high).contains(&one.port);
    let chosen = one.port == 0 && matches!(one.how, how::CONNECT | how::BIND0 | how::AUTOBIND | how::LISTEN);
    one.netns == wanted.netns && is_transport(one.protocol, wanted.protocol) && (known || chosen)
}

/// Multipath TCP takes its ports as TCP.
fn is_transport(recorded: u8, wanted: u16) -> bool {
    let tcp = |protocol: i32| matches!(protocol, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP);
    u16::from(recorded) == wanted || (tcp(i32::from(recorded)) && tcp(i32::from(wanted)))
}

/// How long TIME_WAIT lasts, in nanoseconds.
const TIME_WAIT_NS: u64 = 60_000_000_000;

/// The wanted records of connections that may be in TIME_WAIT now.
pub(super) fn closed(assignments: &Assignments, is_wanted: &dyn Fn(&Assignment) -> bool) -> Vec<Assignment> {
    assignments.closed(now_boot_ns().saturating_sub(TIME_WAIT_NS), is_wanted)
}

/// The TCP ports of a namespace that a process has bound: no client that leaves the choice to connect() shares one.
pub(crate) fn bound(assignments: &Assignments, netns: u32) -> BoundPorts {
    let is_bound = |one: &Assignment| is_bound(one, netns);
    let ports = |recorded: Vec<Assignment>| recorded.into_iter().map(|one| one.port).collect();
    let (open, closed) = (assignments.wanted(&is_bound), closed(assignments, &is_bound));
    BoundPorts { open: ports(open), closed: ports(closed) }
}

fn is_bound(one: &Assignment, netns: u32) -> bool {
    one.netns == netns
        && one.port != 0
        && is_transport(one.protocol, libc::IPPROTO_TCP as u16)
        && matches!(one.how, how::BIND | how::BIND0 | how::LISTEN)
}

/// Drops the records of datagram sockets that nobody has open any more: not every backend sees them close. Their life
/// ends with their last descriptor, unlike that of a TCP connection, which may linger.
pub(super) fn still_open(recorded: Vec<Assignment>, open: impl Fn(u32) -> HashSet<u64>) -> Vec<Assignment> {
    let mut seen: HashMap<u32, HashSet<u64>> = HashMap::new();
    let mut is_open = |one: &Assignment| {
        let pid = one.task.tgid;
        i32::from(one.protocol) == libc::IPPROTO_TCP
            || seen.entry(pid).or_insert_with(|| open(pid)).contains(&one.inode)
    };
    recorded.into_iter().filter(|one| is_open(one)).collect()
}

/// Counts by process, the largest first; of equals the older.
pub(super) fn tally(recorded: Vec<Assignment>) -> Vec<RangeHolder> {
    let mut by_process: HashMap<ProcessId, (RangeHolder, HashMap<u8, u32>)> = HashMap::new();
    for one in recorded {
        let fresh =
            || (RangeHolder { task: one.task, sockets: 0, how: one.how, since_ns: 0 }, HashMap::new());
        let (holder, hows) = by_process.entry(ProcessId::of(&one.task)).or_insert_with(fresh);
        holder.sockets += 1;
        if holder.since_ns == 0 || (one.assigned_ns != 0 && one.assigned_ns < holder.since_ns) {
            holder.since_ns = one.assigned_ns;
        }
        *hows.entry(one.how).or_default() += 1;
    }
    let most = |hows: &HashMap<u8, u32>| {
        hows.iter().max_by_key(|(how, count)| (**count, **how)).map(|(how, _)| *how)
    };
    let mut holders: Vec<RangeHolder> = by_process
        .into_values()
        .map(|(holder, hows)| RangeHolder { how: most(&hows).unwrap_or(holder.how), ..holder })
        .collect();
    holders.sort_by_key(|holder| (std::cmp::Reverse(holder.sockets), holder.task.start_ns, holder.task.tgid));
    holders
}

#[cfg(test)]
mod tests {
    use super::*;
    use portwatch_common::Task;

    const RANGE: WantedRange = WantedRange { netns: 7, protocol: 6, low: 42_000, high: 42_003 };

    fn record(tgid: u32, port: u16, how: u8) -> Assignment {
        let task = Task { tgid, start_ns: u64::from(tgid), ..Task::default() };
        Assignment {
            task,
            assigned_ns: 10 + u64::from(port),
            inode: port.into(),
            netns: 7,
            port,
            protocol: 6,
            how,
        }
    }

    #[test]
    fn only_ports_of_the_range_count() {
        assert!(is_within(&record(1, 42_000, how::BIND), RANGE));
        assert!(is_within(&record(1, 0, how::CONNECT), RANGE), "recorded before the kernel chose");
        assert!(!is_within(&record(1, 80, how::BIND), RANGE));
        assert!(!is_within(&record(1, 0, how::PREEXISTING), RANGE));
        assert!(!is_within(&Assignment { netns: 8, ..record(1, 42_000, how::BIND) }, RANGE));
        assert!(!is_within(&Assignment { protocol: 17, ..record(1, 42_000, how::BIND) }, RANGE));
    }

    #[test]
    fn who_has_bound_a_port_of_the_namespace_counts_as_that() {
        let all = [
            record(1, 42_000, how::BIND0),
            record(1, 42_001, how::CONNECT),
            record(1, 0, how::LISTEN),
            record(1, 80, how::BIND),
            Assignment { netns: 8, ..record(1, 42_002, how::BIND) },
            Assignment { protocol: 17, ..record(1, 42_003, how::BIND) },
        ];
        let bound = all.iter().filter(|one| is_bound(one, 7)).map(|one| one.port).collect::<Vec<_>>();
        assert_eq!(bound, [42_000, 80]);
    }

    #[test]
    fn the_largest_comes_first_with_what_it_did_most() {
        let records = [
            (1, 42_000, how::BIND),
            (2, 42_001, how::BIND),
            (2, 42_002, how::CONNECT),
            (2, 42_003, how::CONNECT),
        ];
        let tallied = tally(records.into_iter().map(|(pid, port, how)| record(pid, port, how)).collect());
        let seen: Vec<_> =
            tallied.iter().map(|one| (one.task.tgid, one.sockets, one.how, one.since_ns)).collect();
        assert_eq!(seen, [(2, 3, how::CONNECT, 42_011), (1, 1, how::BIND, 42_010)]);
    }

    #[test]
    fn a_datagram_socket_that_was_closed_unseen_does_not_count() {
        let udp = |port| Assignment { protocol: 17, ..record(1, port, how::AUTOBIND) };
        let open = |_| HashSet::from([42_001]);
        let left = still_open(vec![udp(42_000), udp(42_001), record(1, 42_002, how::CONNECT)], open);
        assert_eq!(left.iter().map(|one| one.port).collect::<Vec<_>>(), [42_001, 42_002]);
    }
}
