//! What user space does, routine by routine: `cargo xtask bench --part userspace` measures all of it.
//!
//! `cargo bench -p portwatch --bench userspace -- correlate` measures one group by the clock. Only what a user of the
//! library has is measured, so nothing of the product is public for this alone.

mod correlate;
mod decode;
mod history;
mod lookups;
mod metrics;
mod reference;
mod replay;
mod rule;
mod show;
mod start;
mod stopwatch;
mod store;
mod world;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    all,
    reference::measure,
    decode::measure,
    rule::measure,
    correlate::measure,
    lookups::measure,
    replay::measure,
    show::measure,
    metrics::measure,
    store::measure,
    history::measure,
    start::measure
);
criterion_main!(all);
