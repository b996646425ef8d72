//! SCTP: who was recorded, who is only found in the kernel's list, and who must not be named.

use super::world::{NOW, World, assignment, conflict, connected, refusal, socket, v4, walked};
use crate::model::{AssignedBy, Cause, Evidence, UnnamedReason};
use portwatch_common::record::{Refusal, how};
use portwatch_common::{Assignment, Socket, Task};

const SCTP: u16 = 132;

fn of_sctp(socket: Socket) -> Socket {
    Socket { protocol: SCTP, ..socket }
}

fn refused(victim: Task, wanted: [u8; 16]) -> Refusal {
    let refusal = refusal(victim);
    Refusal { socket: Socket { local: wanted, ..of_sctp(refusal.socket) }, ..refusal }
}

#[test]
fn a_recorded_socket_is_named_without_a_look_at_the_list() {
    let mut world = World::default();
    let (owner, victim) = (world.start(7, "mme", "/"), world.start(8, "victim", "/"));
    let listener = of_sctp(socket(0xa, 10));
    world.opens(&owner, listener.inode);
    world.listed = vec![of_sctp(socket(0xb, 10))];
    let record = Assignment { protocol: SCTP as u8, ..assignment(owner, how::BIND, &listener) };
    let told = conflict(&mut world, &[walked(listener, Some(record))], refused(victim, v4(0, 0, 0, 0)));
    assert_eq!(told.holders.len(), 1);
    let holder = &told.holders[0];
    assert_eq!(holder.process.as_ref().map(|process| process.pid), Some(7));
    assert_eq!((holder.evidence, holder.assigned_by), (Some(Evidence::PortTable), AssignedBy::Bind));
    assert_eq!(told.cause, Cause::Listener);
}

#[test]
fn a_client_is_found_in_the_list_whichever_address_it_shows() {
    for wanted in [v4(127, 0, 0, 1), v4(127, 0, 0, 2)] {
        let mut world = World::default();
        let (owner, victim) = (world.start(7, "client", "/"), world.start(8, "victim", "/"));
        let client = Socket { address: 0, ..of_sctp(connected(0xa, 1)) };
        world.opens(&owner, client.inode);
        world.listed = vec![client];
        let told = conflict(&mut world, &[], refused(victim, wanted));
        let holder = &told.holders[0];
        assert_eq!(holder.process.as_ref().map(|process| process.pid), Some(7), "{wanted:?}");
        assert_eq!((holder.evidence, holder.ephemeral), (Some(Evidence::SocketDump), true));
        assert_eq!(told.cause, Cause::EphemeralClient);
    }
}

#[test]
fn nobody_is_guessed_among_several() {
    let mut world = World::default();
    let (owner, victim) = (world.start(7, "client", "/"), world.start(8, "victim", "/"));
    let client = |inode| Socket { address: 0, inode, ..of_sctp(connected(0xa, 1)) };
    world.opens(&owner, 0xa);
    world.opens(&owner, 0xb);
    world.listed = vec![client(0xa), client(0xb)];
    let told = conflict(&mut world, &[], refused(victim, v4(127, 0, 0, 2)));
    assert_eq!((told.holders[0].process.as_ref(), told.cause), (None, Cause::Unknown));
}

#[test]
fn neither_a_listener_elsewhere_nor_a_younger_process_is_named() {
    let mut world = World::default();
    let victim = world.start(8, "victim", "/");
    world.listed = vec![Socket { address: 0, ..of_sctp(socket(0xa, 10)) }];
    let told = conflict(&mut world, &[], refused(victim, v4(127, 0, 0, 2)));
    assert_eq!((told.holders[0].process.as_ref(), told.cause), (None, Cause::Unknown));

    let young = world.start(100_000, "young", "/");
    assert!(young.start_ns > NOW);
    world.opens(&young, 0xa);
    let told = conflict(&mut world, &[], refused(victim, v4(127, 0, 0, 1)));
    assert_eq!(told.holders[0].process, None);
    assert_eq!(told.holders[0].unnamed_reason, Some(UnnamedReason::AlreadyGone));
}

#[test]
fn a_refused_listen_does_not_meet_itself() {
    let mut world = World::default();
    let victim = world.start(8, "victim", "/");
    let refused = refused(victim, v4(127, 0, 0, 1));
    world.listed = vec![Socket { address: 0, ..refused.socket }];
    world.opens(&victim, refused.socket.inode);
    assert_eq!(conflict(&mut world, &[], refused).holders[0].process, None);
}
