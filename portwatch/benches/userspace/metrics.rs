//! Counting a conflict, and a scrape of everything that can be shown.

use crate::stopwatch::again;
use crate::store::example;
use criterion::Criterion;
use portwatch::model::{AssignedBy, PortState, Protocol, Whom};
use portwatch::sink::Told;
use portwatch::sink::metrics::{About, Format, Health, Metrics, TableFill};
use std::sync::Arc;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    let metrics = Metrics::new(&About::default());
    let told = Told { conflict: Arc::new(example()), is_new: true };
    again(&mut group, "count-conflict", || metrics.told(&told));
    metrics.set_health(health());
    again(&mut group, "scrape-openmetrics", || metrics.encode(Format::OpenMetrics));
    again(&mut group, "scrape-text", || metrics.encode(Format::Text));
    group.finish();
}

/// As of an agent whose every hook runs and whose every table has entries.
fn health() -> Health {
    let table = |name| TableFill { name, entries: 50_000, capacity: 1 << 20, overflows: 1 };
    let ports = |protocol| PortState::ALL.map(|state| (protocol, state, 12_000));
    let taken = |protocol| Whom::ALL.map(|whom| (protocol, whom, 12_000));
    let assigned = |protocol: &Protocol| {
        let protocol = *protocol;
        AssignedBy::ALL.iter().map(move |how| (protocol, *how, 3_000_000))
    };
    Health {
        losses: ["channel_full", "store", "live_tail"].map(|stage| (stage, 7)).into(),
        releases_skipped: 7,
        tables: ["PORTS", "DATAGRAMS", "LAST", "PROCESS", "ATTEMPTS", "CALLS"].map(table).into(),
        assignments: Protocol::ALL.iter().flat_map(assigned).collect(),
        ephemeral: [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(ports).collect(),
        unavailable: [Protocol::Tcp, Protocol::Udp].into_iter().flat_map(taken).collect(),
        ephemeral_range_ports: 28_232,
        listeners_at_risk: 3,
        store_errors: 0,
        programs: (0..24).map(|number| (format!("program_{number}"), 1_000_000, 0.25)).collect(),
    }
}
