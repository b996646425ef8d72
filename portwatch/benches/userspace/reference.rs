//! A computation that is not portwatch's: what the others take as a multiple of it can be compared between machines.
//!
//! It reads a report's JSON, which is what user space mostly does: bytes, branches and small pieces of memory.

use crate::stopwatch::again;
use crate::store::EXAMPLE;
use criterion::Criterion;
use serde_json::Value;
use std::hint::black_box;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reference");
    again(&mut group, "parse-json", || serde_json::from_str::<Value>(black_box(EXAMPLE)));
    group.finish();
}
