//! Any records whatever: no panic, every refusal told or counted, nobody of another namespace named.

use super::world::{NETNS, PORT, World, correlator};
use crate::decode::RawEvent;
use portwatch_common::record::{Holder, Refusal, found_by, tag};
use portwatch_common::{Assignment, Process, Socket, Task};
use proptest::prelude::*;

fn any_task() -> impl Strategy<Value = Task> {
    (any::<u64>(), 0_u64..4, 0_u32..6, any::<u32>(), 0_u32..3, any::<[u8; 16]>()).prop_map(
        |(start_ns, cgroup, tgid, tid, uid, comm)| Task { start_ns, cgroup, tgid, tid, uid, pad: 0, comm },
    )
}

fn any_socket() -> impl Strategy<Value = Socket> {
    let identity = (0_u64..5, 0_u64..5, 0_u32..2, prop_oneof![Just(PORT), Just(0), any::<u16>()]);
    let addresses = (any::<bool>(), 0_u8..3, any::<[u8; 16]>(), any::<u16>());
    let rest = (0_u32..128, any::<u8>(), prop_oneof![Just(6_u16), Just(17), any::<u16>()], 0_u32..3);
    (identity, addresses, rest).prop_map(
        |((address, inode, netns, port), (is_v4, last, remote, remote_port), rest)| {
            let (flags, state, protocol, uid) = rest;
            let mut local = [0; 16];
            local[if is_v4 { 3 } else { 15 }] = last;
            Socket {
                address,
                inode,
                local,
                remote,
                netns: NETNS + netns,
                uid,
                flags,
                local_port: port,
                remote_port,
                protocol,
                family: if is_v4 { 2 } else { 10 },
                kind: 1,
                state: state % 14,
                ..Socket::default()
            }
        },
    )
}

fn any_holder() -> impl Strategy<Value = Holder> {
    let record = (0_u8..5, 0_u8..3, 0_u64..3, any_socket(), any_task());
    (record, (any::<u64>(), any::<u64>(), 0_u64..5, any::<u8>())).prop_map(
        |((found_by, has_assignment, refusal, socket, task), (assigned_ns, released_ns, inode, how))| {
            let (netns, port) = (socket.netns, socket.local_port);
            let assignment = Assignment { task, assigned_ns, inode, netns, port, protocol: 6, how: how % 10 };
            Holder {
                tag: tag::HOLDER,
                found_by,
                has_assignment,
                pad: 0,
                refusal,
                socket,
                assignment,
                released_ns,
            }
        },
    )
}

fn any_refusal() -> impl Strategy<Value = Refusal> {
    let numbers = (any::<u32>(), 0_u64..3, any::<u64>(), any::<u16>(), any::<u16>(), any::<u16>());
    (numbers, any_task(), any_socket(), any::<u8>(), any::<u8>()).prop_map(
        |((errno, id, when_ns, holders_lost, range_low, range_high), task, socket, operation, flags)| {
            Refusal {
                tag: tag::REFUSAL,
                errno,
                id,
                when_ns,
                task,
                socket,
                holders_lost,
                range_low,
                range_high,
                operation,
                flags,
                ..Refusal::default()
            }
        },
    )
}

fn any_event() -> impl Strategy<Value = RawEvent> {
    let process = (any_task(), any::<u32>(), any::<u8>()).prop_map(|(task, argv_len, byte)| {
        RawEvent::Process(Box::new(Process { tag: tag::PROCESS, argv_len, task, argv: [byte; 256] }))
    });
    prop_oneof![
        1 => process,
        6 => any_holder().prop_map(|holder| RawEvent::Holder(Box::new(holder))),
        3 => any_refusal().prop_map(|refusal| RawEvent::Refusal(Box::new(refusal))),
    ]
}

proptest! {
    #[test]
    fn any_records_are_told_or_counted(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut world = World::default();
        for tgid in 0..4 {
            let task = world.start(tgid, "p", "/a.service");
            world.opens(&task, u64::from(tgid));
        }
        let mut correlator = correlator();
        let (mut told, mut refusals) = (std::collections::HashMap::new(), 0_u64);
        let mut reports = Vec::new();
        for event in events {
            refusals += u64::from(matches!(event, RawEvent::Refusal(_)));
            reports.extend(correlator.accept(event, &mut world));
        }
        reports.extend(correlator.tick(u64::MAX));
        reports.extend(correlator.finish());
        for report in &reports {
            let conflict = report.conflict();
            prop_assert!(serde_json::to_string(conflict).is_ok());
            prop_assert!(conflict.holders.is_empty() == (conflict.port == 0));
            for holder in &conflict.holders {
                prop_assert!(holder.process.is_some() != holder.unnamed_reason.is_some());
                prop_assert!(holder.local.is_none_or(|local| local.port() == conflict.port));
            }
            let count: &mut u64 = told.entry(conflict.id.clone()).or_default();
            *count = (*count).max(conflict.count);
        }
        let stats = correlator.stats();
        prop_assert_eq!(stats.refusals, refusals);
        // Two refusals of one thread in one nanosecond share an id; there are none in life, but some in here.
        prop_assert!(told.values().sum::<u64>() + stats.other_protocols <= refusals);
    }

    #[test]
    fn any_found_by_but_the_known_three_is_ignored(kind in 4_u8..) {
        let mut world = World::default();
        let mut correlator = correlator();
        let socket = super::world::socket(2, 10);
        let holder = super::world::met(kind, socket, None);
        prop_assert!(![found_by::VERDICT, found_by::WALK, found_by::LAST].contains(&kind));
        correlator.accept(RawEvent::Holder(Box::new(holder)), &mut world);
        let refusal = super::world::refusal(super::world::task(1, "v"));
        let report = correlator.accept(RawEvent::Refusal(Box::new(refusal)), &mut world);
        prop_assert!(report.is_some_and(|report| report.conflict().holders[0].process.is_none()));
    }
}
