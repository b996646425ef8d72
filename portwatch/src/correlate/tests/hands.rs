//! Sockets and processes that are no longer where they were: shared, handed on, in another namespace.

use super::world::{
    NETNS, World, assignment, conflict, conflict_under, connected, refusal, settings, socket, walked,
};
use crate::correlate::Settings;
use crate::model::{Cause, Conflict};
use portwatch_common::record::how;

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
