//! The kernel's rule for two sockets that want one port.

use crate::stopwatch::again;
use crate::world;
use criterion::Criterion;
use portwatch::rule::{Endpoint, conflicts};
use portwatch_common::Socket;
use std::hint::black_box;

/// As many sockets on one port as a server with that many connections has.
const BUCKET: u32 = 96;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rule");
    let binder = Endpoint::from(&world::refusal(world::task(4121, "nginx")).socket);
    let bucket: Vec<Socket> =
        (1..=BUCKET).map(|number| world::holder(number, world::task(2210, "java")).socket).collect();
    let endpoint = Endpoint::from(&bucket[0]);
    again(&mut group, "pair", || conflicts(black_box(&binder), black_box(&endpoint), world::ERA));
    again(&mut group, "bucket-96", || {
        let holders = black_box(&bucket).iter().map(Endpoint::from);
        holders.filter(|holder| conflicts(black_box(&binder), holder, world::ERA)).count()
    });
    group.finish();
}
