//! `why` and `history` on a large history, which is made once: `cargo xtask bench --part userspace` does it.

use crate::stopwatch::again;
use criterion::Criterion;
use criterion::SamplingMode;
use jiff::tz::TimeZone;
use portwatch::model::Cause;
use portwatch::store::{By, Query, Reader};
use portwatch::why::{self, Present, Target};
use std::path::PathBuf;

/// Where the large history is.
const VARIABLE: &str = "PORTWATCH_BENCH_HISTORY";

pub(crate) fn measure(criterion: &mut Criterion) {
    let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        eprintln!("history and why: skipped, {VARIABLE} does not name a history (examples/fill_history.rs)");
        return;
    };
    let reader = Reader::open(&path).expect("the history can be read");
    histories(criterion, &reader);
    stories(criterion, &path);
}

fn histories(criterion: &mut Criterion, reader: &Reader) {
    let mut group = criterion.benchmark_group("history");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let limit = |limit| Query { limit: Some(limit), ..Query::default() };
    let queries = [
        ("newest-100", limit(100)),
        ("port", Query { ports: vec![8_080..=8_080], ..limit(100) }),
        ("culprit", Query { culprit: Some("client-0".into()), ..limit(100) }),
        ("cause", Query { cause: vec![Cause::TimeWait], ..limit(100) }),
    ];
    for (name, query) in &queries {
        again(&mut group, name, || reader.conflicts(query).expect("an answer"));
    }
    for by in [By::Culprit, By::Victim, By::Cause] {
        let name = format!("by-{}", by.as_str());
        again(&mut group, &name, || reader.summary(by, &Query::default()).expect("an answer"));
    }
    group.finish();
}

/// From opening the history to the sentences; what is asked of the host meanwhile is not measured.
fn stories(criterion: &mut Criterion, path: &std::path::Path) {
    let mut group = criterion.benchmark_group("why");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for (name, word) in [
        ("last", None),
        ("port", Some("8080")),
        ("unit", Some("server-0.service")),
        ("pid", Some("pid:4121")),
    ] {
        let target = word.map_or(Target::Last, |word| Target::parse(word).expect("a target"));
        again(&mut group, name, || {
            let reader = Reader::open(path).expect("the history can be read");
            let found = why::find(&reader, &target, None).expect("an answer");
            let now = found.conflicts.first().expect("a conflict").time;
            why::stories(&found, &Present::unseen(now), &TimeZone::UTC, now)
        });
    }
    group.finish();
}
