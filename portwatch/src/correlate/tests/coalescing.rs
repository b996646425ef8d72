//! Repeats: one conflict whose count grows, told at most once a second, and cheap.

use super::world::{NOW, SECOND, World, assignment, connected, correlator, refusal, walked};
use crate::correlate::{ContainerNames, Correlator, Report};
use crate::decode::RawEvent;
use portwatch_common::Task;
use portwatch_common::record::how;
use std::sync::Arc;

/// One more refusal of `victim` because of `thief`, at `when_ns`.
fn again(
    correlator: &mut Correlator,
    world: &mut World,
    victim: Task,
    thief: Task,
    when_ns: u64,
) -> Option<Report> {
    let held = connected(2, 1);
    let record = walked(held, Some(assignment(thief, how::CONNECT, &held)));
    correlator.accept(RawEvent::Holder(Box::new(record)), world);
    let refusal = portwatch_common::Refusal { when_ns, ..refusal(victim) };
    correlator.accept(RawEvent::Refusal(Box::new(refusal)), world)
}

fn world() -> (World, Task, Task) {
    let mut world = World::default();
    let (victim, thief) = (world.start(10, "victim", "/"), world.start(20, "thief", "/"));
    world.opens(&thief, 2);
    (world, victim, thief)
}

#[test]
fn a_restart_loop_is_one_conflict() {
    let (mut world, _, thief) = world();
    let mut correlator = correlator();
    let mut ids = Vec::new();
    for turn in 0..20_u32 {
        let victim = world.start(100 + turn, "web", "/system.slice/web.service");
        let when = NOW + u64::from(turn) * SECOND / 10;
        if let Some(report) = again(&mut correlator, &mut world, victim, thief, when) {
            ids.push((
                report.conflict().id.clone(),
                report.conflict().count,
                matches!(report, Report::New(_)),
            ));
        }
    }
    ids.extend(correlator.finish().iter().map(|r| (r.conflict().id.clone(), r.conflict().count, false)));
    let id = format!("{NOW:x}-64");
    assert_eq!(ids, [(id.clone(), 1, true), (id.clone(), 11, false), (id, 20, false)]);
    assert!(correlator.finish().is_empty());
}

#[test]
fn a_restart_loop_is_one_conflict_even_if_some_died_too_soon_to_be_read() {
    for dead in [[true, false, true], [false, true, true], [false, true, false], [true, true, false]] {
        let (mut world, _, thief) = world();
        let mut correlator = correlator();
        let mut fresh = 0;
        for (turn, is_dead) in (0_u32..).zip(dead) {
            let victim = world.start(100 + turn, "web", "/");
            if is_dead {
                world.kill(&victim);
            }
            let when = NOW + u64::from(turn) * SECOND / 10;
            let report = again(&mut correlator, &mut world, victim, thief, when);
            fresh += usize::from(matches!(report, Some(Report::New(_))));
        }
        let last = correlator.finish().pop().map(|report| report.conflict().count);
        assert_eq!((fresh, last), (1, Some(3)), "{dead:?}");
    }
}

#[test]
fn two_programs_of_one_session_are_two_victims() {
    let (mut world, _, thief) = world();
    let mut correlator = correlator();
    let fresh = [(100, "nginx"), (101, "apache")].map(|(pid, comm)| {
        let victim = world.start(pid, comm, "/user.slice/user-0.slice/session-77.scope");
        again(&mut correlator, &mut world, victim, thief, NOW)
    });
    assert!(fresh.iter().all(|report| matches!(report, Some(Report::New(_)))), "{fresh:?}");
}

#[test]
fn a_container_is_told_from_others_by_its_name_and_else_by_its_id() {
    let conflicts = |names: [Option<&str>; 2]| {
        let (mut world, _, thief) = world();
        let mut correlator = correlator();
        for (turn, name) in (0_u32..).zip(names) {
            let path = format!("/docker/{}", turn.to_string().repeat(64));
            if let Some(name) = name {
                let names = ContainerNames { name: Some(name.into()), ..ContainerNames::default() };
                world.containers.insert(path.clone(), Arc::new(names));
            }
            let victim = world.start(100 + turn, "web", &path);
            again(&mut correlator, &mut world, victim, thief, NOW + u64::from(turn));
        }
        correlator.finish().len()
    };
    assert_eq!(conflicts([Some("web"), Some("web")]), 1, "one repeat: docker run --rm, again");
    assert_eq!(conflicts([Some("web"), Some("shop")]), 0, "two conflicts, nothing repeated");
    assert_eq!(conflicts([None, None]), 0);
}

#[test]
fn repeats_that_nothing_follows_are_told_by_the_tick() {
    let (mut world, victim, thief) = world();
    let mut correlator = correlator();
    assert!(matches!(again(&mut correlator, &mut world, victim, thief, NOW), Some(Report::New(_))));
    assert_eq!(again(&mut correlator, &mut world, victim, thief, NOW + 5), None);
    assert!(correlator.tick(NOW + SECOND / 2).is_empty());
    let due = correlator.tick(NOW + SECOND);
    assert_eq!(due.len(), 1);
    assert!(matches!(&due[0], Report::Repeat(conflict) if conflict.count == 2));
    assert!(due[0].conflict().time > due[0].conflict().first_time);
    assert!(correlator.tick(NOW + 9 * SECOND).is_empty());
}

#[test]
fn a_storm_of_one_process_asks_proc_once_a_second() {
    let (mut world, victim, thief) = world();
    let mut correlator = correlator();
    for turn in 0..10_000 {
        again(&mut correlator, &mut world, victim, thief, NOW + turn * 200_000);
    }
    assert_eq!(world.questions, 2, "two seconds of storm");
    assert_eq!(correlator.finish()[0].conflict().count, 10_000);
}

#[test]
fn a_storm_of_a_service_s_processes_asks_proc_once_a_second() {
    let (mut world, _, thief) = world();
    let mut correlator = correlator();
    for turn in 0..1_000_u32 {
        let victim = world.start(100 + turn, "web", "/system.slice/web.service");
        let victim = Task { cgroup: 4711, ..victim };
        again(&mut correlator, &mut world, victim, thief, NOW + u64::from(turn) * 2_000_000);
    }
    assert_eq!(world.questions, 2, "two seconds of storm");
    assert_eq!(correlator.finish()[0].conflict().count, 1_000);
    let other = Task { cgroup: 4711, ..world.start(9_000, "shop", "/system.slice/web.service") };
    again(&mut correlator, &mut world, other, thief, NOW + 2 * SECOND);
    assert_eq!(world.questions, 3, "another program");
}

#[test]
fn another_culprit_or_a_long_silence_is_another_conflict() {
    let (mut world, victim, thief) = world();
    let mut correlator = correlator();
    assert!(matches!(again(&mut correlator, &mut world, victim, thief, NOW), Some(Report::New(_))));
    let other = world.start(21, "other", "/");
    world.open.clear();
    world.opens(&other, 2);
    assert!(matches!(again(&mut correlator, &mut world, victim, other, NOW + 5), Some(Report::New(_))));
    let later = NOW + 3_600 * SECOND;
    assert!(matches!(again(&mut correlator, &mut world, victim, other, later), Some(Report::New(_))));
}

#[test]
fn a_victim_that_has_ended_but_is_not_reaped_is_still_the_same() {
    let (mut world, victim, thief) = world();
    let mut correlator = correlator();
    let first = again(&mut correlator, &mut world, victim, thief, NOW).expect("a report");
    world.end_unreaped(&victim);
    let second = again(&mut correlator, &mut world, victim, thief, NOW + 2 * SECOND).expect("a report");
    assert!(matches!(second, Report::Repeat(_)), "{second:?}");
    let (first, second) = (first.conflict(), second.conflict());
    assert_eq!((&second.id, second.count), (&first.id, 2));
    assert_eq!((&second.victim.exe, &second.victim.cmdline), (&first.victim.exe, &first.victim.cmdline));
    assert!(second.victim.exe.is_some() && second.victim.cmdline.is_some());
}

#[test]
fn a_storm_that_is_told_late_is_still_looked_up_once() {
    let (mut world, victim, thief) = world();
    let mut correlator = correlator();
    again(&mut correlator, &mut world, victim, thief, NOW);
    for turn in 1..20 {
        // The records of one moment, read a minute later.
        correlator.tick(NOW + (60 + turn) * SECOND);
        again(&mut correlator, &mut world, victim, thief, NOW + turn);
    }
    assert_eq!(world.questions, 1);
    again(&mut correlator, &mut world, victim, thief, NOW + 2 * SECOND);
    assert_eq!(world.questions, 2, "a later refusal is looked up again");
}
