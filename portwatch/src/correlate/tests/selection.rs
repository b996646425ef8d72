//! Which socket is blamed: the verdict, the walk by the rule, the last owner; never a foreign one.

use super::world::{
    NETNS, NOW, PORT, SECOND, World, assignment, conflict, connected, met, refusal, socket, task, v4, walked,
};
use crate::correlate::{Correlator, RangeHolder, RangeUse, WantedRange, WantedUse};
use crate::decode::RawEvent;
use crate::model::{AssignedBy, Cause, Evidence, Exhaustion, State, UnnamedReason};
use portwatch_common::record::{Holder, flag, found_by, how, operation, refusal_flag};
use portwatch_common::{Socket, Task};

fn pids(conflict: &crate::model::Conflict) -> Vec<Option<u32>> {
    conflict.holders.iter().map(|holder| holder.process.as_ref().map(|process| process.pid)).collect()
}

#[test]
fn the_kernels_verdict_goes_before_what_the_walk_met() {
    let mut world = World::default();
    let (thief, other) = (world.start(20, "thief", "/"), world.start(21, "other", "/"));
    let (first, second) = (connected(2, 1), socket(3, 10));
    world.opens(&thief, 2);
    world.opens(&other, 3);
    let records = [
        walked(second, Some(assignment(other, how::BIND, &second))),
        walked(first, Some(assignment(thief, how::CONNECT, &first))),
        met(found_by::VERDICT, first, Some(assignment(thief, how::CONNECT, &first))),
    ];
    let conflict = conflict(&mut world, &records, refusal(task(10, "victim")));
    assert_eq!(pids(&conflict), [Some(20), Some(21)], "the first named once, the other after it");
    assert_eq!(conflict.holders[0].evidence, Some(Evidence::KernelVerdict));
    assert_eq!(conflict.holders[1].evidence, Some(Evidence::PortTable));
    assert_eq!(conflict.cause, Cause::EphemeralClient);
}

#[test]
fn options_are_told_of_sockets_that_were_met_and_of_no_others() {
    let mut world = World::default();
    let owner = world.start(20, "server", "/");
    let holder = Socket { flags: flag::REUSE | flag::V6ONLY, ..socket(2, 10) };
    let mut wanted = refusal(task(10, "victim"));
    wanted.socket.flags = flag::REUSEPORT;
    let record = walked(holder, Some(assignment(owner, how::BIND, &holder)));
    let told = conflict(&mut world, &[record], wanted);
    let victim = told.options.expect("the victim's own");
    assert_eq!((victim.reuse_address, victim.reuse_port, victim.v6_only), (false, true, false));
    let first = told.holders[0].options.expect("the holder's");
    assert_eq!((first.reuse_address, first.reuse_port, first.v6_only), (true, false, true));

    let gone = Socket { address: 0, inode: 0, ..connected(2, 6) };
    let last = Holder {
        released_ns: NOW,
        ..met(found_by::LAST, gone, Some(assignment(owner, how::CONNECT, &gone)))
    };
    let told = conflict(&mut World::default(), &[last], wanted);
    assert_eq!(told.holders[0].evidence, Some(Evidence::LastOwner));
    assert_eq!(told.holders[0].options, None, "a record of who let go has no options");
}

#[test]
fn without_a_verdict_listeners_come_first_and_time_wait_last() {
    let mut world = World::default();
    let owner = world.start(20, "server", "/");
    let sockets = [connected(2, 6), connected(3, 1), socket(4, 10)];
    let records = sockets.map(|s| walked(s, Some(assignment(owner, how::BIND, &s))));
    let conflict = conflict(&mut world, &records, refusal(task(10, "victim")));
    let states: Vec<_> = conflict.holders.iter().map(|holder| holder.state).collect();
    assert_eq!(states, [State::Listen, State::Established, State::TimeWait]);
}

#[test]
fn what_does_not_conflict_by_the_rule_is_not_blamed() {
    let mut world = World::default();
    let owner = world.start(20, "innocent", "/");
    let elsewhere = Socket { local: v4(127, 0, 0, 2), ..socket(2, 10) };
    let mut wanted = refusal(task(10, "victim"));
    wanted.socket.local = v4(127, 0, 0, 1);
    let record = walked(elsewhere, Some(assignment(owner, how::BIND, &elsewhere)));
    let conflict = conflict(&mut world, &[record], wanted);
    assert_eq!(pids(&conflict), [None]);
    assert_eq!(conflict.holders[0].unnamed_reason, Some(UnnamedReason::ReleasedMeanwhile));
    assert_eq!((conflict.cause, conflict.holders[0].evidence), (Cause::Unknown, None));
}

#[test]
fn other_namespaces_ports_and_protocols_are_dropped_and_counted() {
    let mut world = World::default();
    let owner = world.start(20, "innocent", "/");
    let own = socket(2, 10);
    let foreign = [
        Socket { netns: NETNS + 1, ..own },
        Socket { local_port: PORT + 1, ..own },
        Socket { protocol: 17, ..own },
    ];
    let mut correlator = super::world::correlator();
    for by in [found_by::VERDICT, found_by::WALK, found_by::LAST] {
        for socket in foreign {
            let record = met(by, socket, Some(assignment(owner, how::BIND, &socket)));
            correlator.accept(RawEvent::Holder(Box::new(record)), &mut world);
        }
    }
    let report = correlator.accept(RawEvent::Refusal(Box::new(refusal(task(10, "victim")))), &mut world);
    assert_eq!(pids(report.expect("a report").conflict()), [None]);
    assert_eq!(correlator.stats().foreign_holders, 9);
}

#[test]
fn a_refused_listen_does_not_blame_its_own_socket() {
    let mut world = World::default();
    let victim = world.start(10, "victim", "/");
    let wanted = refusal(victim);
    let own = Socket { state: 7, ..wanted.socket };
    let conflict = conflict(&mut world, &[walked(own, Some(assignment(victim, how::BIND, &own)))], wanted);
    assert_eq!(pids(&conflict), [None]);
}

#[test]
fn the_last_owner_counts_only_if_it_let_go_after_the_attempt_began() {
    let let_go = |released_ns| {
        let mut world = World::default();
        let owner = task(20, "gone");
        let closed = Socket { address: 0, inode: 0, ..connected(2, 7) };
        let mut record = met(found_by::LAST, closed, Some(assignment(owner, how::CONNECT, &closed)));
        record.released_ns = released_ns;
        conflict(&mut world, &[record], refusal(task(10, "victim")))
    };
    let after = let_go(NOW - 1_000);
    assert_eq!((pids(&after), after.holders[0].evidence), (vec![Some(20)], Some(Evidence::LastOwner)));
    assert!(!after.holders[0].alive && after.holders[0].ephemeral);
    assert_eq!(after.cause, Cause::EphemeralClient);
    assert_eq!(pids(&let_go(NOW - SECOND)), [None], "that one had been free again");
}

#[test]
fn a_time_wait_is_named_by_the_record_of_its_own_connection_only() {
    let named_by = |change: fn(Socket) -> Socket| {
        let mut world = World::default();
        let owner = task(20, "gone");
        let closed = Socket { inode: 0, uid: 0, ..connected(2, 6) };
        let last = change(Socket { address: 0, ..closed });
        let mut record = met(found_by::LAST, last, Some(assignment(owner, how::CONNECT, &last)));
        record.released_ns = NOW - 30 * SECOND;
        conflict(&mut world, &[walked(closed, None), record], refusal(task(10, "victim")))
    };
    let same = named_by(|socket| socket);
    assert_eq!((pids(&same), same.cause), (vec![Some(20)], Cause::TimeWait));
    assert_eq!(same.holders[0].evidence, Some(Evidence::LastOwner));
    let other = named_by(|socket| Socket { remote_port: 80, ..socket });
    assert_eq!((pids(&other), other.cause), (vec![None], Cause::TimeWait));
    assert_eq!(other.holders[0].unnamed_reason, Some(UnnamedReason::NotRecorded));
}

#[test]
fn a_record_of_an_earlier_socket_at_the_same_address_names_nobody() {
    let mut world = World::default();
    let old = task(20, "old");
    let new = connected(2, 1);
    let stale = assignment(old, how::CONNECT, &Socket { inode: 99, ..new });
    let conflict = conflict(&mut world, &[walked(new, Some(stale))], refusal(task(10, "victim")));
    assert_eq!(pids(&conflict), [None]);
    assert_eq!(conflict.holders[0].unnamed_reason, Some(UnnamedReason::AlreadyGone));
}

#[test]
fn a_busy_server_is_a_listener_even_if_the_kernel_met_one_of_its_connections_first() {
    let mut world = World::default();
    let (victim, server) = (world.start(10, "victim", "/"), world.start(20, "server", "/"));
    let (listener, accepted) = (socket(2, 10), connected(3, 1));
    world.opens(&server, listener.inode);
    world.opens(&server, accepted.inode);
    let verdict = Holder { found_by: found_by::VERDICT, ..walked(accepted, None) };
    let bound = walked(listener, Some(assignment(server, how::BIND, &listener)));
    let told = conflict(&mut world, &[bound, verdict], refusal(victim));
    let by: Vec<_> = told.holders.iter().map(|holder| (holder.state, holder.assigned_by)).collect();
    assert_eq!(told.cause, Cause::Listener);
    assert_eq!(by, [(State::Listen, AssignedBy::Bind), (State::Established, AssignedBy::Accept)]);
    let alone = conflict(&mut world, &[verdict], refusal(victim));
    assert_eq!(
        alone.holders[0].evidence,
        Some(Evidence::SocketDump),
        "without a listener the verdict stands"
    );
}

#[test]
fn a_connection_that_outlived_its_listener_was_accepted() {
    let mut world = World::default();
    let (victim, server) = (world.start(10, "victim", "/"), world.start(20, "server", "/"));
    let accepted = Socket { local_port: 80, ..connected(3, 1) };
    world.opens(&server, accepted.inode);
    let mut wanted = refusal(victim);
    wanted.socket.local_port = 80;
    let record = Holder { found_by: found_by::VERDICT, ..walked(accepted, None) };
    let told = conflict(&mut world, &[record], wanted);
    assert_eq!((told.cause, told.holders[0].assigned_by), (Cause::ExplicitBind, AssignedBy::Accept));
}

#[test]
fn why_nobody_was_met_is_said() {
    let reason = |change: fn(&mut portwatch_common::Refusal)| {
        let mut wanted = refusal(task(10, "victim"));
        change(&mut wanted);
        conflict(&mut World::default(), &[], wanted).holders[0].unnamed_reason
    };
    assert_eq!(reason(|r| r.holders_lost = 1), Some(UnnamedReason::RecordLost));
    assert_eq!(reason(|r| r.holders = 1), Some(UnnamedReason::RecordLost), "one was sent, and did not come");
    assert_eq!(reason(|r| r.flags = refusal_flag::WALK_CUT), Some(UnnamedReason::WalkCut));
    assert_eq!(reason(|r| r.flags = refusal_flag::NO_WALK), Some(UnnamedReason::NoWalk));
    assert_eq!(reason(|_| ()), Some(UnnamedReason::ReleasedMeanwhile));
}

#[test]
fn the_kernels_search_for_a_privileged_port_is_nobodys_conflict() {
    let mut correlator = super::world::correlator();
    let mut refused = |port, flags| {
        let mut wanted = refusal(task(10, "mount.nfs"));
        (wanted.socket.local_port, wanted.socket.flags) = (port, flags);
        correlator.accept(RawEvent::Refusal(Box::new(wanted)), &mut World::default()).is_some()
    };
    assert!(!refused(1_023, flag::KERNEL));
    assert!(refused(4_789, flag::KERNEL), "a tunnel wants this port and no other");
    assert!(refused(1_023, 0), "a program");
    assert_eq!(correlator.stats().kernel_searches, 1);
}

#[test]
fn port_0_is_exhaustion_and_nobodys_fault() {
    let mut wanted = refusal(task(10, "victim"));
    wanted.socket.local_port = 0;
    let told = conflict(&mut World::default(), &[], wanted);
    assert_eq!((told.cause, told.holders.len(), told.range.in_range), (Cause::Exhausted, 0, false));
}

#[test]
fn an_exhausted_range_lists_who_has_most_of_it() {
    let mut wanted = refusal(task(10, "victim"));
    wanted.socket.local_port = 0;
    let mut world = World::default();
    let hoarder = world.start(11, "hoarder", "/");
    let one = |task, sockets| RangeHolder { task, sockets, how: how::CONNECT, since_ns: NOW };
    world.hoarders = (0..9).map(|nth| one(Task { tgid: hoarder.tgid + nth, ..hoarder }, 100 - nth)).collect();
    let told = conflict(&mut world, &[], wanted);
    let seen: Vec<_> = told.holders.iter().filter_map(|holder| holder.sockets).collect();
    assert_eq!(seen, [100, 99, 98, 97, 96], "the five that matter");
    assert_eq!((told.cause, told.holders[0].assigned_by), (Cause::Exhausted, AssignedBy::Connect));
    assert!(told.holders[0].alive && !told.holders[1].alive);
    assert_eq!(told.holders[0].process.as_ref().map(|one| one.comm.as_str()), Some("hoarder"));
}

#[test]
fn a_refused_connection_is_asked_about_with_its_ends_and_told_how_full_the_range_is() {
    let mut wanted = refusal(task(10, "victim"));
    wanted.socket = Socket { local_port: 0, ..connected(0xf00, 7) };
    wanted.operation = operation::CONNECT;
    let full =
        Exhaustion { low: 32_768, high: 60_999, ports: 28_232, unavailable: 28_232, ..Exhaustion::default() };
    let range_use = RangeUse { exhaustion: full.clone(), ..RangeUse::default() };
    let mut world = World { range_use: Some(range_use), ..World::default() };
    let told = conflict(&mut world, &[], wanted);
    assert_eq!(told.exhaustion, Some(full));
    let ends = ("127.0.0.1".parse().expect("an address"), "10.0.0.9:2379".parse().expect("an address"));
    let range = WantedRange { netns: NETNS, protocol: 6, low: 32_768, high: 60_999 };
    assert_eq!(world.uses_asked, [WantedUse { range, tgid: 10, connection: Some(ends) }]);
    let mut bind = wanted;
    bind.operation = operation::BIND;
    world.uses_asked.clear();
    conflict(&mut world, &[], bind);
    assert_eq!(world.uses_asked.first().map(|asked| asked.connection), Some(None), "bind() goes nowhere");
    let other = conflict(&mut world, &[], refusal(task(10, "victim")));
    assert_eq!((other.exhaustion, world.uses_asked.len()), (None, 1), "another cause");
}

#[test]
fn holders_without_a_refusal_are_bounded_and_counted() {
    let mut correlator: Correlator = super::world::correlator();
    let mut world = World::default();
    for id in 0..5_000 {
        let record = Holder { refusal: id, ..walked(socket(2, 10), None) };
        correlator.accept(RawEvent::Holder(Box::new(record)), &mut world);
    }
    assert_eq!(correlator.stats().stray_holders, 5_000);
}
