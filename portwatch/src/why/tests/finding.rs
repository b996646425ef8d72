//! What a target finds in a history.

use super::world::{now, of_cause, present, time};
use crate::model::{Cause, Conflict, Process, Protocol};
use crate::store::Query;
use crate::why::history::History;
use crate::why::{About, EARLIER, Found, Hold, Life, Target, find, stories};
use jiff::tz::TimeZone;

/// A history that answers as the store does, as far as these tests ask.
struct Past(Vec<Conflict>);

impl History for Past {
    fn by_id(&self, id: &str) -> anyhow::Result<Option<Conflict>> {
        Ok(self.0.iter().find(|conflict| conflict.id == id).cloned())
    }

    fn newest(&self, query: &Query, most: usize) -> anyhow::Result<Vec<Conflict>> {
        Ok(self.fitting(query).into_iter().take(most).cloned().collect())
    }

    fn count(&self, query: &Query) -> anyhow::Result<usize> {
        Ok(self.fitting(query).len())
    }
}

impl Past {
    fn fitting(&self, query: &Query) -> Vec<&Conflict> {
        let is =
            |process: &Process, name: &String| process.comm == *name || process.unit.as_ref() == Some(name);
        let culprit = |conflict: &Conflict| conflict.holders[0].process.clone().unwrap_or_default();
        let anybody = |conflict: &Conflict, test: &dyn Fn(&Process) -> bool| {
            test(&conflict.victim) || (!query.only_victim && test(&culprit(conflict)))
        };
        let fits = |conflict: &&Conflict| {
            query.since.is_none_or(|since| conflict.time >= since)
                && (query.ports.is_empty() || query.ports.iter().any(|range| range.contains(&conflict.port)))
                && query.protocol.is_none_or(|protocol| conflict.protocol == protocol)
                && query.victim.as_ref().is_none_or(|name| is(&conflict.victim, name))
                && query.culprit.as_ref().is_none_or(|name| is(&culprit(conflict), name))
                && query
                    .unit
                    .as_ref()
                    .is_none_or(|unit| anybody(conflict, &|one| one.unit.as_ref() == Some(unit)))
                && query.pid.is_none_or(|pid| anybody(conflict, &|one| one.pid == pid))
        };
        let limit = query.limit.map_or(usize::MAX, |limit| limit as usize);
        self.0.iter().filter(fits).take(limit).collect()
    }
}

fn found(past: &Past, target: &str) -> Found {
    find(past, &Target::parse(target).expect("a target"), None).expect("a history")
}

fn ids(past: &Past, target: &str) -> Vec<String> {
    found(past, target).conflicts.into_iter().map(|conflict| conflict.id).collect()
}

/// The newest first.
fn past() -> Past {
    let one = |id: &str, port, pid| {
        let mut conflict = Conflict { id: id.into(), port, ..of_cause(Cause::EphemeralClient) };
        conflict.victim.pid = pid;
        conflict
    };
    let udp = Conflict { protocol: Protocol::Udp, ..one("a-1", 53, 700) };
    let mut other = one("b-2", 8080, 701);
    (other.victim.comm, other.victim.unit) = ("redis".into(), Some("redis.service".into()));
    let mut long = one("c-3", 9090, 50010);
    (long.victim.comm, long.victim.unit) = ("node-exporter-f".into(), Some("node-exporter.service".into()));
    Past(vec![udp, other, long, one("d-4", 443, 70_000)])
}

#[test]
fn every_kind_of_target_finds_its_own() {
    let past = past();
    assert_eq!(ids(&past, "8080"), ["b-2"]);
    assert_eq!(ids(&past, "53/udp"), ["a-1"]);
    assert!(ids(&past, "53/tcp").is_empty(), "and not as a pid: a protocol was said");
    assert_eq!(ids(&past, "pid:701"), ["b-2"]);
    assert_eq!(ids(&past, "70000"), ["d-4"]);
    assert_eq!(ids(&past, "c-3"), ["c-3"]);
    assert_eq!(ids(&past, "redis"), ["b-2"]);
    assert_eq!(ids(&past, "redis.service"), ["b-2"]);
    assert_eq!(ids(&past, "nginx"), ["a-1", "d-4"]);
    assert!(ids(&past, "nobody").is_empty() && ids(&past, "9").is_empty() && ids(&past, "ff-ff").is_empty());
    assert_eq!(find(&past, &Target::Last, None).expect("a history").conflicts[0].id, "a-1");
    assert!(find(&past, &Target::Last, Some(now())).expect("a history").conflicts.is_empty(), "too old");
}

#[test]
fn what_was_understood_otherwise_is_said() {
    let past = past();
    let by_pid = found(&past, "50010");
    assert_eq!(by_pid.conflicts[0].id, "c-3");
    assert!(by_pid.note.expect("a note").contains("this is about pid 50010"));
    let culprit = found(&past, "java");
    assert_eq!((culprit.conflicts.len(), culprit.filter.as_str()), (4, "--culprit java"));
    assert!(culprit.note.expect("a note").contains("java was not refused itself"));
    assert!(found(&past, "hdfs.service").note.expect("a note").contains("in the way of others"));
    assert!(found(&past, "nginx").note.is_none() && found(&past, "nobody").note.is_none());
    let cut = found(&past, "node-exporter-for-disks");
    assert_eq!(cut.conflicts[0].id, "c-3");
    assert!(cut.note.expect("a note").contains("15 characters"));
}

#[test]
fn earlier_ones_are_a_line_each_and_the_rest_is_counted() {
    let many = |count: u32| {
        let one = |n: u32| Conflict {
            id: format!("e-{n}"),
            count: u64::from(n) + 1,
            ..of_cause(Cause::EphemeralClient)
        };
        Past((0..count).map(one).collect())
    };
    let lines = |count| {
        let found = found(&many(count), "nginx");
        let story = stories(&found, &present(Life::Ended, Hold::LetGo), &TimeZone::UTC, now());
        let earlier = story.parts.iter().filter(|part| part.about == About::Earlier).cloned();
        earlier.collect::<Vec<_>>()
    };
    assert!(lines(1).is_empty());
    let three = lines(3);
    assert_eq!(three.len(), 2);
    assert_eq!(
        three[0].text,
        "03:12:44 (2 times): nginx.service wanted tcp 0.0.0.0:50010; java (hdfs.service, pid 2210) had it as the source port of a connection to 10.0.0.9:2379. Id e-1."
    );
    let nine = lines(9);
    assert_eq!(nine.len(), EARLIER + 1);
    assert_eq!(
        (nine[EARLIER].text.as_str(), nine[EARLIER].commands[0].as_str()),
        ("And 3 more:", "portwatch history --victim nginx")
    );
    assert!(lines(2_000)[EARLIER].text.starts_with("And at least 994 more"));
}

#[test]
fn a_story_without_conflicts_is_empty() {
    let story = stories(
        &Found::default(),
        &present(Life::Runs, Hold::Holds),
        &TimeZone::UTC,
        time("2026-01-01T00:00:00Z"),
    );
    assert_eq!((story.headline(), story.parts.len()), ("", 0));
}
