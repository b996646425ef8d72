//! What processes, their users and their containers are called: the living by a look, the dead from memory, and nobody
//! by what was true of another program.

use super::world::{
    World, announced, assignment, conflict, connected, correlator, refusal, socket, task, walked,
};
use crate::correlate::{ContainerNames, ProcessId, Report};
use crate::decode::RawEvent;
use crate::model::Process;
use portwatch_common::record::how;
use portwatch_common::{Socket, Task};
use std::sync::Arc;

const DOCKER: &str = "/docker/3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3";

/// Tells of the process's first port, lets `meanwhile` happen, and asks whose its TIME_WAIT socket is.
fn after(mut world: World, thief: Task, argv: &[u8], meanwhile: impl FnOnce(&mut World)) -> Process {
    let victim = world.start(10, "victim", "/");
    let mut correlator = correlator();
    correlator.accept(announced(thief, argv), &mut world);
    meanwhile(&mut world);
    holder_of(&mut correlator, &mut world, victim, thief)
}

fn holder_of(
    correlator: &mut crate::correlate::Correlator,
    world: &mut World,
    victim: Task,
    thief: Task,
) -> Process {
    let closed = Socket { inode: 0, ..connected(2, 6) };
    let record = walked(closed, Some(assignment(thief, how::CONNECT, &closed)));
    correlator.accept(RawEvent::Holder(Box::new(record)), world);
    let report = correlator.accept(RawEvent::Refusal(Box::new(refusal(victim))), world);
    let Some(Report::New(conflict)) = report else { panic!("a new conflict") };
    conflict.holders[0].process.clone().expect("named")
}

fn names(name: &str) -> Arc<ContainerNames> {
    Arc::new(ContainerNames {
        runtime: Some("docker".into()),
        name: Some(name.into()),
        pod_name: Some("pod".into()),
        ..ContainerNames::default()
    })
}

#[test]
fn user_slice_and_container_are_told() {
    let mut world = World::default();
    let victim = world.start(10, "victim", "/batch.slice/web.service");
    let owner = world.start(20, "owner", DOCKER);
    world.containers.insert(DOCKER.into(), names("shop-web-1"));
    world.opens(&owner, 2);
    let listening = socket(2, 10);
    let record = walked(listening, Some(assignment(owner, how::BIND, &listening)));
    let conflict = conflict(&mut world, &[record], refusal(victim));
    let victim = &conflict.victim;
    assert_eq!((victim.unit.as_deref(), victim.slice.as_deref()), (Some("web.service"), Some("batch.slice")));
    assert_eq!((victim.uid, victim.user.as_deref()), (Some(1000), Some("alice")));
    let owner = conflict.holders[0].process.as_ref().expect("named");
    assert_eq!(owner.container.as_deref(), Some(&DOCKER[8..]));
    assert_eq!(owner.container_runtime.as_deref(), Some("docker"));
    assert_eq!(owner.container_name.as_deref(), Some("shop-web-1"));
    assert_eq!((owner.pod_name.as_deref(), owner.uid), (Some("pod"), Some(1000)));
    assert_eq!(owner.user, None, "1000 is somebody else in the container");
}

#[test]
fn a_container_that_was_deleted_keeps_its_name() {
    let mut world = World::default();
    let thief = world.start(20, "thief", DOCKER);
    world.containers.insert(DOCKER.into(), names("shop-web-1"));
    let found = after(world, thief, b"thief\0", |world| {
        world.kill(&thief);
        world.containers.clear();
    });
    assert_eq!(found.container_name.as_deref(), Some("shop-web-1"));
    assert_eq!(
        (found.exe.as_deref(), found.cmdline.as_deref()),
        (Some("/usr/bin/thief"), Some("thief --serve"))
    );
}

#[test]
fn a_container_that_was_renamed_has_its_new_name() {
    let mut world = World::default();
    let thief = world.start(20, "thief", DOCKER);
    world.containers.insert(DOCKER.into(), names("old"));
    let found = after(world, thief, b"thief\0", |world| {
        world.containers.insert(DOCKER.into(), names("new"));
    });
    assert_eq!(found.container_name.as_deref(), Some("new"));
}

#[test]
fn one_that_became_another_program_is_called_as_it_is_now() {
    let mut world = World::default();
    let thief = world.start(20, "sh", "/a.service");
    let found = after(world, thief, b"sh\0-c\0x\0", |world| {
        world.start(20, "server", "/a.service");
    });
    assert_eq!((found.comm.as_str(), found.exe.as_deref()), ("server", Some("/usr/bin/server")));
    assert_eq!(found.cmdline.as_deref(), Some("server --serve"));
}

#[test]
fn a_dead_one_that_became_another_program_is_not_given_the_first_ones() {
    let mut world = World::default();
    let victim = world.start(10, "victim", "/");
    let shell = world.start(20, "sh", "/a.service");
    let mut correlator = correlator();
    correlator.accept(announced(shell, b"sh\0-c\0x\0"), &mut world);
    world.kill(&shell);
    // The kernel's record of the port has the name that it had by then; the start is that of the shell.
    let server = task(20, "server");
    assert_eq!(ProcessId::of(&server), ProcessId::of(&shell));
    let found = holder_of(&mut correlator, &mut world, victim, server);
    assert_eq!((found.comm.as_str(), found.exe, found.cmdline), ("server", None, None));
    assert_eq!(found.unit.as_deref(), Some("a.service"), "exec does not leave the service");
}

#[test]
fn one_that_waits_for_its_parent_keeps_what_was_seen() {
    let mut world = World::default();
    let thief = world.start(20, "thief", "/a.service");
    let found = after(world, thief, b"thief\0", |world| {
        let info = world.running.get_mut(&ProcessId::of(&thief)).expect("it was there");
        (info.exe, info.cgroup) = (None, Some("/".into()));
        info.arguments.clear();
    });
    assert_eq!(
        (found.exe.as_deref(), found.cmdline.as_deref()),
        (Some("/usr/bin/thief"), Some("thief --serve"))
    );
    assert_eq!(found.cgroup.as_deref(), Some("/a.service"));
}

#[test]
fn one_that_was_gone_at_once_keeps_the_names_of_its_cgroup() {
    let mut world = World::default();
    world.cgroups.insert(77, DOCKER.into());
    world.containers.insert(DOCKER.into(), names("job"));
    let thief = Task { cgroup: 77, ..task(20, "thief") };
    let found = after(world, thief, b"thief\0-x\0", |world| {
        world.cgroups.clear();
        world.containers.clear();
    });
    assert_eq!((found.cgroup.as_deref(), found.container_name.as_deref()), (Some(DOCKER), Some("job")));
    assert_eq!((found.comm.as_str(), found.cmdline.as_deref()), ("thief", Some("thief -x")));
}

#[test]
fn a_cut_of_the_kernels_record_is_shown() {
    let thief = task(20, "thief");
    let argv = [b'x'; portwatch_common::record::ARGV_BYTES];
    let found = after(World::default(), thief, &argv, |_| {});
    assert!(found.cmdline.expect("recorded").ends_with("x…"));
}
