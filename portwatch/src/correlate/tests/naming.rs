//! Whose the blamed socket is, and what class that makes.

use super::world::{
    NOW, SECOND, World, announced, assignment, conflict, conflict_under, connected, correlator, refusal,
    settings, socket, task, v4, walked,
};
use crate::correlate::{Report, Settings};
use crate::decode::RawEvent;
use crate::model::{AssignedBy, Cause, Conflict, Evidence, UnnamedReason};
use portwatch_common::record::{flag, how};
use portwatch_common::{Socket, Task};

/// The conflict with one socket, assigned to `owner`, who has it open.
fn held(world: &mut World, victim: Task, owner: Task, by: u8, socket: Socket) -> Conflict {
    world.opens(&owner, socket.inode);
    conflict(world, &[walked(socket, Some(assignment(owner, by, &socket)))], refusal(victim))
}

fn culprit(conflict: &Conflict) -> Option<u32> {
    conflict.holders[0].process.as_ref().map(|process| process.pid)
}

#[test]
fn a_process_is_described_in_full() {
    let mut world = World::default();
    let (victim, thief) =
        (world.start(10, "victim", "/system.slice/web.service"), world.start(20, "thief", "/"));
    let conflict = held(&mut world, victim, thief, how::CONNECT, connected(2, 1));
    let holder = &conflict.holders[0];
    let process = holder.process.as_ref().expect("named");
    assert_eq!(
        (process.pid, process.comm.as_str(), process.exe.as_deref()),
        (20, "thief", Some("/usr/bin/thief"))
    );
    assert_eq!(process.cmdline.as_deref(), Some("thief --serve"));
    assert_eq!(conflict.victim.unit.as_deref(), Some("web.service"));
    assert_eq!((holder.creator.as_ref(), holder.alive, holder.inode), (None, true, Some(2)));
    assert_eq!(holder.local, Some("127.0.0.1:50010".parse().expect("an address")));
    assert_eq!(holder.remote, Some("10.0.0.9:2379".parse().expect("an address")));
    assert_eq!(conflict.time.duration_since(holder.assigned_time.expect("recorded")).as_secs(), 40);
    let reserve = "sysctl -w net.ipv4.ip_local_reserved_ports=8080,50010";
    assert_eq!(conflict.advice[0].commands[0], reserve, "merged with what is reserved");
    assert_eq!(conflict.id, format!("{NOW:x}-a"));
}

#[test]
fn the_call_decides_the_class() {
    for (by, state, cause, ephemeral) in [
        (how::CONNECT, 1, Cause::EphemeralClient, true),
        (how::AUTOBIND, 7, Cause::EphemeralClient, true),
        (how::BIND0, 7, Cause::EphemeralBind, true),
        (how::LISTEN, 10, Cause::EphemeralBind, true),
        (how::BIND, 10, Cause::Listener, false),
        (how::BIND, 7, Cause::ExplicitBind, false),
        (how::ACCEPT, 1, Cause::ExplicitBind, false),
    ] {
        let mut world = World::default();
        let (victim, owner) = (world.start(10, "victim", "/"), world.start(20, "owner", "/"));
        let conflict = held(&mut world, victim, owner, by, socket(2, state));
        assert_eq!((conflict.cause, conflict.holders[0].ephemeral), (cause, ephemeral), "{by}");
    }
}

#[test]
fn a_dead_owner_keeps_the_name_from_its_first_port() {
    let mut world = World::default();
    let (victim, thief) =
        (world.start(10, "victim", "/"), world.start(20, "thief", "/system.slice/a.service"));
    let mut correlator = correlator();
    correlator.accept(announced(thief, b"/usr/bin/thief\0-x\0"), &mut world);
    world.kill(&thief);
    let closed = Socket { inode: 0, ..connected(2, 6) };
    let record = walked(closed, Some(assignment(thief, how::CONNECT, &closed)));
    correlator.accept(RawEvent::Holder(Box::new(record)), &mut world);
    let report = correlator.accept(RawEvent::Refusal(Box::new(refusal(victim))), &mut world);
    let Some(Report::New(conflict)) = report else { panic!("a new conflict") };
    let holder = &conflict.holders[0];
    let process = holder.process.as_ref().expect("named");
    assert_eq!(
        (process.exe.as_deref(), process.unit.as_deref()),
        (Some("/usr/bin/thief"), Some("a.service"))
    );
    assert_eq!((conflict.cause, holder.alive, holder.inode), (Cause::TimeWait, false, None));
}

#[test]
fn arguments_come_from_the_record_if_the_process_was_gone_at_once() {
    let mut world = World::default();
    let (victim, thief) = (world.start(10, "victim", "/"), task(20, "thief"));
    world.cgroups.insert(77, "/docker/x".into());
    let thief = Task { cgroup: 77, ..thief };
    let mut correlator = correlator();
    correlator.accept(announced(thief, b"thief\0two words\0"), &mut world);
    let closed = Socket { inode: 0, ..connected(2, 6) };
    let record = walked(closed, Some(assignment(thief, how::CONNECT, &closed)));
    correlator.accept(RawEvent::Holder(Box::new(record)), &mut world);
    let report = correlator.accept(RawEvent::Refusal(Box::new(refusal(victim))), &mut world);
    let conflict = report.expect("a report").conflict().clone();
    let process = conflict.holders[0].process.clone().expect("named");
    assert_eq!(process.cmdline.as_deref(), Some("thief 'two words'"));
    assert_eq!((process.exe, process.cgroup.as_deref()), (None, Some("/docker/x")));
}

#[test]
fn a_reused_pid_is_somebody_else() {
    let mut world = World::default();
    let victim = world.start(10, "victim", "/");
    let thief = task(20, "thief");
    let mut later = world.start(20, "innocent", "/");
    world.running.clear();
    later.start_ns += SECOND;
    let id = crate::correlate::ProcessId::of(&later);
    let mut other = World::default();
    other.start(20, "innocent", "/");
    let info = other.running.into_values().next().expect("one");
    world.running.insert(id, crate::correlate::ProcessInfo { id, ..info });
    let closed = Socket { inode: 0, ..connected(2, 6) };
    let record = walked(closed, Some(assignment(thief, how::CONNECT, &closed)));
    let conflict = conflict(&mut world, &[record], refusal(victim));
    let process = conflict.holders[0].process.as_ref().expect("named");
    assert_eq!((process.comm.as_str(), process.exe.as_ref()), ("thief", None));
    assert!(!conflict.holders[0].alive);
}

#[test]
fn who_has_it_now_is_named_and_who_got_it_is_told() {
    let mut world = World::default();
    let victim = world.start(10, "victim", "/");
    let (parent, child) = (world.start(20, "parent", "/"), world.start(21, "child", "/"));
    world.kill(&parent);
    world.opens(&child, 2);
    let listening = socket(2, 10);
    let record = walked(listening, Some(assignment(parent, how::BIND, &listening)));
    let conflict = conflict(&mut world, &[record], refusal(victim));
    assert_eq!((culprit(&conflict), conflict.cause), (Some(21), Cause::Inherited));
    let creator = conflict.holders[0].creator.as_ref().expect("told");
    assert_eq!((creator.pid, creator.comm.as_str()), (20, "parent"));
    assert!(conflict.holders[0].alive);
}

#[test]
fn the_victims_own_socket_is_its_own() {
    let mut world = World::default();
    let victim = world.start(10, "victim", "/");
    let conflict = held(&mut world, victim, victim, how::BIND, socket(2, 10));
    assert_eq!((culprit(&conflict), conflict.cause), (Some(10), Cause::OwnSocket));
}

#[test]
fn the_same_service_is_an_earlier_instance_only_if_it_asked_by_number() {
    let cause = |by, victims: &str, owners: &str| {
        let mut world = World::default();
        let (victim, owner) = (world.start(10, "web", victims), world.start(20, "web", owners));
        held(&mut world, victim, owner, by, socket(2, 10)).cause
    };
    let unit = "/system.slice/web.service";
    assert_eq!(cause(how::BIND, unit, unit), Cause::PreviousInstance);
    assert_eq!(cause(how::BIND, unit, "/system.slice/other.service"), Cause::Listener);
    assert_eq!(cause(how::LISTEN, unit, unit), Cause::EphemeralBind);
    assert_eq!(
        cause(how::BIND, "/user.slice/session-1.scope", "/user.slice/session-1.scope"),
        Cause::Listener
    );
}

#[test]
fn another_users_reuseport_group_is_a_mismatch() {
    let mut world = World::default();
    let (victim, owner) = (world.start(10, "victim", "/"), world.start(20, "owner", "/"));
    world.opens(&owner, 2);
    let shared = Socket { flags: flag::REUSEPORT, uid: 0, ..socket(2, 10) };
    let mut wanted = refusal(victim);
    wanted.socket.flags = flag::REUSEPORT;
    let record = walked(shared, Some(assignment(owner, how::BIND, &shared)));
    let conflict = conflict(&mut world, &[record], wanted);
    assert_eq!(conflict.cause, Cause::ReuseportMismatch);
    assert!(conflict.advice[0].why.contains("alice") && conflict.advice[0].why.contains("root"));
}

#[test]
fn the_kernels_own_sockets_have_no_process() {
    let mut world = World::default();
    let (victim, mount) = (world.start(10, "victim", "/"), world.start(20, "mount.nfs", "/"));
    let kernel = Socket { flags: flag::KERNEL, inode: 0, ..connected(2, 1) };
    let record = walked(kernel, Some(assignment(mount, how::CONNECT, &kernel)));
    let conflict = conflict(&mut world, &[record], refusal(victim));
    assert_eq!((culprit(&conflict), conflict.cause), (None, Cause::KernelSocket));
    assert_eq!(conflict.holders[0].unnamed_reason, Some(UnnamedReason::KernelSocket));
    assert_eq!(conflict.holders[0].creator.as_ref().map(|creator| creator.pid), Some(20));
}

#[test]
fn what_was_there_before_is_inferred_and_says_so() {
    let infer = |socket: Socket| {
        let mut world = World::default();
        let (victim, owner) = (world.start(10, "victim", "/"), world.start(20, "owner", "/"));
        let conflict = held(&mut world, victim, owner, how::PREEXISTING, socket);
        assert_eq!(conflict.holders[0].assigned_by, AssignedBy::Preexisting);
        assert_eq!((culprit(&conflict), conflict.holders[0].assigned_time), (Some(20), None));
        (conflict.cause, conflict.holders[0].ephemeral)
    };
    let locked = |socket| Socket { flags: flag::PORT_LOCKED, ..socket };
    assert_eq!(infer(connected(2, 1)), (Cause::EphemeralClient, true));
    assert_eq!(infer(socket(2, 7)), (Cause::EphemeralBind, true));
    assert_eq!(infer(socket(2, 10)), (Cause::EphemeralBind, true));
    assert_eq!(infer(locked(socket(2, 10))), (Cause::Listener, false));
    assert_eq!(infer(locked(socket(2, 7))), (Cause::ExplicitBind, false));
    assert_eq!(infer(locked(connected(2, 1))), (Cause::ExplicitBind, false));
}

#[test]
fn an_unrecorded_socket_is_looked_for_and_the_evidence_says_so() {
    let mut world = World::default();
    let (victim, mut owner) = (world.start(10, "victim", "/"), task(20, "owner"));
    owner.start_ns = NOW - 3_000 * SECOND;
    let id = crate::correlate::ProcessId::of(&owner);
    let info = world.running.values().next().cloned().expect("one");
    world.running.insert(id, crate::correlate::ProcessInfo { id, ..info });
    world.opens(&owner, 2);
    let found = conflict(&mut world, &[walked(connected(2, 1), None)], refusal(victim));
    let holder = &found.holders[0];
    assert_eq!((culprit(&found), holder.evidence), (Some(20), Some(Evidence::SocketDump)));
    assert_eq!((holder.assigned_by, found.cause), (AssignedBy::Preexisting, Cause::EphemeralClient));

    // What was open at the start would have a record: this one was missed later, and nothing is claimed of its past.
    let settings = Settings { has_snapshot: true, ..settings() };
    let missed = conflict_under(settings, &mut world, &[walked(connected(2, 1), None)], refusal(victim));
    assert_eq!((culprit(&missed), missed.holders[0].assigned_by), (Some(20), AssignedBy::Unknown));

    world.open.clear();
    let gone = conflict(&mut world, &[walked(connected(2, 1), None)], refusal(victim));
    assert_eq!(gone.holders[0].unnamed_reason, Some(UnnamedReason::AlreadyGone));
    world.blind = Some(UnnamedReason::NoPermission);
    let hidden = conflict(&mut world, &[walked(connected(2, 1), None)], refusal(victim));
    assert_eq!(hidden.holders[0].unnamed_reason, Some(UnnamedReason::NoPermission));
}

#[test]
fn a_listeners_connections_are_one_entry() {
    let mut world = World::default();
    let (victim, server) = (world.start(10, "victim", "/"), world.start(20, "server", "/"));
    let listening = socket(2, 10);
    let mut records = vec![walked(listening, Some(assignment(server, how::BIND, &listening)))];
    world.opens(&server, 2);
    for address in 3..40 {
        world.opens(&server, address);
        let child = Socket { remote: v4(10, 0, 0, 9), ..connected(address, 1) };
        records.push(walked(child, None));
    }
    let unaccepted = Socket { inode: 0, flags: flag::ORPHAN, ..connected(50, 1) };
    records.push(walked(unaccepted, None));
    let conflict = conflict(&mut world, &records, refusal(victim));
    let by: Vec<_> = conflict.holders.iter().map(|holder| holder.assigned_by).collect();
    assert_eq!(by, [AssignedBy::Bind, AssignedBy::Accept, AssignedBy::Accept]);
    assert_eq!(conflict.holders[2].unnamed_reason, Some(UnnamedReason::NotAccepted));
    assert_eq!((conflict.cause, world.questions), (Cause::Listener, 1));
}

#[test]
fn an_orphan_on_its_way_out_is_closing() {
    let mut world = World::default();
    let (victim, owner) = (world.start(10, "victim", "/"), task(20, "gone"));
    let orphan = Socket { inode: 0, flags: flag::ORPHAN, ..connected(2, 4) };
    let record = walked(orphan, Some(assignment(owner, how::CONNECT, &orphan)));
    let conflict = conflict(&mut world, &[record], refusal(victim));
    assert_eq!((culprit(&conflict), conflict.cause), (Some(20), Cause::Closing));
}
