//! A conflict → what a person or a program reads.

use crate::stopwatch::again;
use crate::store::example;
use criterion::Criterion;
use jiff::tz::TimeZone;
use portwatch::model::Conflict;
use portwatch::sink::Sink;
use portwatch::sink::csv;
use portwatch::sink::json::Json;
use portwatch::sink::terminal::{Form, History, Terminal};
use std::hint::black_box;
use std::io::sink;

/// A terminal of today.
const WIDTH: usize = 160;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("show");
    let conflict = &example();
    let zone = TimeZone::UTC;
    let mut json = Json::new(sink());
    again(&mut group, "json", || json.conflict(black_box(conflict)));
    let mut table = Terminal::new(sink(), Form::Table, WIDTH, zone.clone());
    again(&mut group, "table", || table.conflict(black_box(conflict)));
    let mut wide = Terminal::new(sink(), Form::Wide, WIDTH, zone.clone());
    again(&mut group, "wide", || wide.conflict(black_box(conflict)));
    let mut history = History::new(sink(), WIDTH, zone);
    again(&mut group, "history-line", || history.conflict(black_box(conflict)));
    again(&mut group, "csv", || csv::conflict(&mut sink(), black_box(conflict)));
    let text = serde_json::to_string(conflict).expect("JSON");
    again(&mut group, "read-json", || serde_json::from_str::<Conflict>(black_box(&text)));
    group.finish();
}
