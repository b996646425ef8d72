//! Sockets and processes that are no longer where they were: shared, handed on, in another namespace.

use super::world::{
    NETNS, NOW, SECOND, World, assignment, conflict, conflict_under, connected, refusal, settings, socket,
    walked,
};
use crate::correlate::{ProcessId, Settings};
use crate::model::{AssignedBy, Cause, Conflict, UnnamedReason};
use portwatch_common::record::{flag, how};
use portwatch_common::{Assignment, Socket};

/// A listener whose maker handed it on and ended, the heir being gone too by the time of the look.
fn handed_on(ended_ns: u64) -> Conflict {
    let mut world = World::default();
    let (victim, maker) = (world.start(10, "victim", "/"), world.start(20, "maker", "/"));
    world.kill(&maker);
    world.ended.insert(ProcessId::of(&maker), ended_ns);
    let listener = socket(2, 10);
    conflict(&mut world, &[walked(listener, Some(assignment(maker, how::BIND, &listener)))], refusal(victim))
}

#[test]
fn who_was_dead_before_the_refusal_was_not_in_its_way() {
    let conflict = handed_on(NOW - SECOND);
    let holder = &conflict.holders[0];
    assert!(holder.process.is_none(), "{holder:?}");
    assert_eq!(holder.unnamed_reason, Some(UnnamedReason::AlreadyGone));
    assert_eq!(holder.creator.as_ref().map(|made| made.pid), Some(20));
    assert_eq!(conflict.cause, Cause::Inherited);
}

#[test]
fn who_died_after_the_refusal_was_in_its_way() {
    let conflict = handed_on(NOW + 1);
    assert_eq!(conflict.holders[0].process.as_ref().map(|process| process.pid), Some(20));
    assert_eq!(conflict.cause, Cause::Listener);
}

#[test]
fn a_socket_of_the_kernel_takes_no_record_over_from_an_earlier_one_at_its_address() {
    let mut world = World::default();
    let (victim, other) = (world.start(10, "victim", "/"), world.start(20, "other", "/"));
    let earlier = socket(2, 7);
    let tunnel = Socket { inode: 0, flags: flag::KERNEL | flag::ORPHAN, ..earlier };
    let stale = Assignment { port: 0, ..assignment(other, how::AUTOBIND, &earlier) };
    let conflict = conflict(&mut world, &[walked(tunnel, Some(stale))], refusal(victim));
    let holder = &conflict.holders[0];
    assert_eq!(conflict.cause, Cause::KernelSocket);
    assert!(holder.process.is_none() && holder.creator.is_none(), "{holder:?}");
    assert_eq!(holder.assigned_by, AssignedBy::Unknown);
}

#[test]
fn a_record_of_another_protocol_is_another_socket_s() {
    let mut world = World::default();
    let (victim, other) = (world.start(10, "victim", "/"), world.start(20, "other", "/"));
    let closing = Socket { inode: 0, flags: flag::ORPHAN, ..connected(2, 5) };
    let stale = Assignment { protocol: 17, port: 0, ..assignment(other, how::AUTOBIND, &closing) };
    let conflict = conflict(&mut world, &[walked(closing, Some(stale))], refusal(victim));
    assert!(conflict.holders[0].process.is_none(), "{:?}", conflict.holders[0]);
}

#[test]
fn a_bound_socket_that_is_being_closed_is_gone_and_not_waiting_to_be_accepted() {
    let mut world = World::default();
    let victim = world.start(10, "victim", "/");
    let going = Socket { inode: 0, flags: flag::ORPHAN, ..socket(2, 7) };
    let conflict = conflict(&mut world, &[walked(going, None)], refusal(victim));
    assert_eq!(conflict.holders[0].unnamed_reason, Some(UnnamedReason::AlreadyGone));
}

#[test]
fn who_shares_a_listener_is_told_once_a_program() {
    let mut world = World::default();
    let (victim, manager) = (world.start(10, "victim", "/"), world.start(20, "manager", "/init.scope"));
    let listener = socket(2, 10);
    for (tgid, comm) in [(30, "web"), (31, "web"), (32, "leaked")] {
        let sharer = world.start(tgid, comm, "/system.slice/web.service");
        world.opens(&sharer, listener.inode);
    }
    world.opens(&manager, listener.inode);
    let record = walked(listener, Some(assignment(manager, how::BIND, &listener)));
    let conflict = conflict(&mut world, &[record], refusal(victim));
    let pids = |conflict: &Conflict| -> Vec<_> {
        conflict.holders.iter().filter_map(|h| h.process.as_ref()).map(|process| process.pid).collect()
    };
    assert_eq!((conflict.cause, pids(&conflict)), (Cause::Listener, vec![20, 30, 32]));
    let creators = conflict.holders.iter().map(|holder| holder.creator.as_ref().map(|made| made.pid));
    assert_eq!(creators.collect::<Vec<_>>(), [None, Some(20), Some(20)]);
}

#[test]
fn commands_enter_the_namespace_through_who_is_there() {
    let away = Settings { own_netns: NETNS + 1, ..settings() };
    for (moved, door) in [(vec![], 20), (vec![20], 10), (vec![20, 10], 10)] {
        let mut world = World { moved, ..World::default() };
        let (victim, thief) = (world.start(10, "victim", "/"), world.start(20, "thief", "/"));
        let connection = connected(2, 1);
        world.opens(&thief, connection.inode);
        let record = walked(connection, Some(assignment(thief, how::CONNECT, &connection)));
        let conflict = conflict_under(away.clone(), &mut world, &[record], refusal(victim));
        let entry = format!("nsenter --net=/proc/{door}/ns/net ");
        let command = &conflict.advice[0].commands[0];
        assert!(command.starts_with(&entry), "{:?}: {command}", world.moved);
    }
}

#[test]
fn a_crowd_of_sockets_of_one_process_costs_the_looks_of_one() {
    let told = |connections: u64| {
        let mut world = World::default();
        let (victim, client) = (world.start(10, "victim", "/"), world.start(20, "client", "/"));
        let record = |address| {
            let socket = connected(address, 1);
            walked(socket, Some(assignment(client, how::CONNECT, &socket)))
        };
        let records: Vec<_> = (2..2 + connections).map(record).collect();
        records.iter().for_each(|record| world.opens(&client, record.socket.inode));
        let conflict = conflict(&mut world, &records, refusal(victim));
        (conflict.holders, world.looks)
    };
    let (one, looks) = told(1);
    assert_eq!(one.len(), 1);
    assert_eq!(told(100), (one, looks));
    assert_eq!(looks, 1, "at the victim: the holder was seen when its sockets were looked for");
}
