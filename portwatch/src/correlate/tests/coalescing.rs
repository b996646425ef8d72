//! Repeats: one conflict whose count grows, told at most once a second, and cheap.

use super::world::{NOW, SECOND, World, assignment, connected, correlator, refusal, walked};
use crate::correlate::{Correlator, Report};
use crate::decode::RawEvent;
use portwatch_common::Task;
use portwatch_common::record::how;

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
