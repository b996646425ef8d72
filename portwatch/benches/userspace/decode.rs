//! The bytes of the ring → events.

use crate::stopwatch::again;
use crate::world;
use criterion::Criterion;
use portwatch::decode::{RawEvent, decode};
use std::hint::black_box;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let victim = world::task(4121, "nginx");
    let events = [
        ("process", world::announced(victim, b"/usr/sbin/nginx\0-g\0daemon off;\0")),
        ("holder", RawEvent::Holder(Box::new(world::holder(1, world::task(2210, "java"))))),
        ("refusal", RawEvent::Refusal(Box::new(world::refusal(victim)))),
    ];
    for (name, event) in &events {
        let bytes = event.bytes().to_vec();
        again(&mut group, name, || decode(black_box(&bytes)));
    }
    group.finish();
}
