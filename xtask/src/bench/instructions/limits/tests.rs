//! The file of limits: read, judged by and written.

use super::super::quick::SERIES;
use super::super::row::Row;
use super::super::{CONNECTION, NONE};
use super::*;

const TEXT: &str = r#"
# By hand.
[[target]]
backend = "fexit"
operation = "tcp-connection"
at-most = 50

[[target]]
backend = "fexit"
operation = "tcp-connection"
times-floor = 2.0

[[target]]
backend = "fexit"
operation = "tcp-connection"
part-of-tcptracer = 30.0

# Recorded: by a program.

[recorded."6.12".fexit]
tcp-connection = 2000
"#;

fn measured(fexit: u64, floor: u64, tracer: u64) -> Measured {
    let row = |watcher: &str, instructions| Row {
        watcher: watcher.into(),
        operation: CONNECTION.into(),
        instructions,
        spread: 0.0,
    };
    let rows =
        vec![row(NONE, 100_000), row("fexit", fexit), row("floor-fexit", floor), row("tcptracer", tracer)];
    Measured { series: "6.12".into(), release: "6.12.1".into(), rows, skips: vec![] }
}

fn limits() -> Limits {
    toml::from_str(TEXT).expect("the text is understood")
}

#[test]
fn every_kind_of_target_is_judged() {
    let met = |measured: &Measured| -> Vec<bool> {
        let verdicts = limits().targets(measured).expect("all is measured");
        verdicts.iter().map(|verdict| verdict.is_met).collect()
    };
    assert_eq!(met(&measured(100_050, 100_025, 101_500)), [true, true, true]);
    assert_eq!(met(&measured(100_051, 100_025, 101_500)), [false, false, false]);
}

#[test]
fn where_empty_programs_seem_to_take_nothing_the_floor_is_no_measure() {
    for floor in [100_000, 99_500] {
        let verdicts = limits().targets(&measured(100_020, floor, 101_500)).expect("all is measured");
        assert!(!verdicts[1].is_met, "{}", verdicts[1].measured);
    }
}

#[test]
fn a_target_that_was_not_measured_is_not_met() {
    let mut measured = measured(100_050, 100_025, 101_500);
    measured.rows.pop();
    assert!(limits().targets(&measured).is_err());
}

#[test]
fn a_twentieth_more_is_a_regression_and_so_is_what_has_no_record() {
    let regressions = |fexit| limits().regressions(&measured(fexit, 100_000, 100_000)).expect("judged").len();
    assert_eq!(regressions(102_100), 0, "a twentieth");
    assert_eq!(regressions(102_101), 1, "more than a twentieth");
    assert_eq!(regressions(99_000), 0, "cheaper");
    let mut other = measured(100_000, 100_000, 100_000);
    other.series = "6.1".into();
    assert_eq!(limits().regressions(&other).expect("judged").len(), 1, "no record");
}

#[test]
fn little_differences_of_little_rows_are_none() {
    assert!(!is_above(400, 300) && is_above(401, 300));
    assert!(!is_above(90, -10) && is_above(91, -10));
}

#[test]
fn what_is_recorded_is_read_again_and_the_rest_stays() {
    let mut limits = limits();
    limits
        .recorded
        .entry("6.1".into())
        .or_default()
        .entry("kprobe".into())
        .or_default()
        .insert("x".into(), 7);
    let written = limits.written(TEXT).expect("written");
    assert!(written.starts_with(&TEXT[..TEXT.find("[recorded").expect("it is there") - 1]), "{written}");
    let again: Limits = toml::from_str(&written).expect("the text is understood");
    assert_eq!(again.recorded, limits.recorded);
}

#[test]
fn the_committed_file_has_what_the_tests_judge_by() {
    let limits = Limits::read().expect("it is there");
    assert!(!limits.target.is_empty());
    let recorded = limits.recorded.get(SERIES).expect("the kernel of the tests is recorded");
    assert_eq!(recorded.keys().map(String::as_str).collect::<Vec<_>>(), BACKENDS);
}
