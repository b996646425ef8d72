//! A recording through reader, correlator and the JSON sink: what `portwatch replay` does.

use crate::stopwatch::again;
use criterion::Criterion;
use portwatch::cli::Printer;
use portwatch::cli::replay::replay;
use portwatch::filter::Filter;
use portwatch::recording::Reader;
use portwatch::sink::json::Json;
use std::hint::black_box;
use std::io;

/// Every kind of conflict that the tests have, as one kernel told of them.
const RECORDING: &[u8] = include_bytes!("../../tests/replay/6.12-x86_64-fexit.rec");

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replay");
    again(&mut group, "recording", || {
        let (reader, header) = Reader::open(black_box(RECORDING)).expect("a recording");
        let mut printer = Printer::new(Box::new(Json::new(io::sink())), Filter::default(), None);
        let outcome = replay(reader, &header, &mut printer).expect("it can be shown");
        assert!(outcome.fault.is_none() && outcome.missing == 0 && printer.summary().conflicts > 0);
    });
    group.finish();
}
