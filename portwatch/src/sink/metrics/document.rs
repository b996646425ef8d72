//! Tests of the whole exposition, and that `docs/metrics.md` says what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::definition::{ALL, Definition, Kind};
use super::{About, Format, Health, Metrics, TableFill, TurnedAway};
use crate::model::{AssignedBy, Cause, PortState, Protocol, UnnamedReason, example};
use crate::sink::Told;
use std::sync::Arc;

fn about() -> About {
    let text = str::to_owned;
    About { backend: text("kprobe"), kernel: text("6.1 \"x\\"), version: text("1"), revision: text("r") }
}

/// Name of a family → its samples, by their labels.
fn samples(exposition: &str) -> BTreeMap<String, Vec<(String, f64)>> {
    let mut all: BTreeMap<String, Vec<(String, f64)>> = BTreeMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let value = value.parse().expect("a number");
        all.entry(name.to_owned()).or_default().push((labels.trim_end_matches('}').to_owned(), value));
    }
    all
}

#[test]
fn every_series_of_the_closed_sets_is_there_at_0_from_the_start() {
    let metrics = Metrics::new(&about());
    let all = samples(&metrics.encode(Format::OpenMetrics));
    let count = |name: &str| all.get(name).map_or(0, Vec::len);
    for definition in ALL {
        let may_be_empty = definition.name().starts_with("portwatch_bpf_run");
        assert!(may_be_empty || count(&definition.name()) > 0, "{}", definition.name());
    }
    assert_eq!(all.len() + 2, ALL.len(), "nothing is shown that is not defined");
    assert_eq!(count("portwatch_conflicts_unattributed_total"), UnnamedReason::ALL.len());
    assert_eq!(count("portwatch_last_conflict_timestamp_seconds"), Cause::ALL.len());
    assert_eq!(count("portwatch_port_assignments_total"), Protocol::ALL.len() * AssignedBy::ALL.len());
    assert_eq!(count("portwatch_ephemeral_ports"), 2 * PortState::ALL.len());
    assert_eq!(count("portwatch_conflicts_total"), count("portwatch_refusals_total"));
    for cause in Cause::ALL {
        let label = format!("cause=\"{cause}\"");
        assert!(all["portwatch_conflicts_total"].iter().any(|(labels, _)| labels.contains(&label)));
    }
    let own = all.iter().filter(|(name, _)| name.starts_with("portwatch_") && !name.ends_with("_info"));
    for (name, samples) in own {
        assert!(samples.iter().all(|(_, value)| *value == 0.0), "{name}: {samples:?}");
    }
}

#[test]
fn what_is_counted_is_shown_once_and_the_snapshot_is_replaced_as_a_whole() {
    let metrics = Metrics::new(&about());
    metrics.told(&Told { conflict: Arc::new(example::client()), is_new: true });
    metrics.turned_away(TurnedAway::Unauthorized);
    let health = |more| Health {
        losses: vec![("channel_full", 3), ("sink_full", 4)],
        releases_skipped: 6,
        tables: vec![TableFill { name: "PORTS", entries: 5, capacity: 10, overflows: 1 }],
        assignments: vec![(Protocol::Tcp, AssignedBy::Connect, 77)],
        ephemeral: vec![(Protocol::Udp, PortState::Bound, 9)],
        listeners_at_risk: more,
        programs: vec![("hook".into(), 12, 0.25)],
        ..Health::default()
    };
    metrics.set_health(health(2));
    metrics.set_health(Health { losses: vec![("channel_full", 3), ("sink_full", 5)], ..health(1) });
    let exposition = metrics.encode(Format::OpenMetrics);
    for line in [
        "portwatch_conflicts_total{protocol=\"tcp\",operation=\"bind\",cause=\"ephemeral-client\"} 1",
        "portwatch_refusals_total{protocol=\"tcp\",operation=\"bind\",cause=\"ephemeral-client\"} 1",
        "portwatch_last_conflict_timestamp_seconds{cause=\"ephemeral-client\"} 1795489964.0",
        "portwatch_http_refused_total{reason=\"unauthorized\"} 1",
        "portwatch_events_lost_total{stage=\"channel_full\"} 3",
        "portwatch_events_lost_total{stage=\"sink_full\"} 5",
        "portwatch_releases_skipped_total 6",
        "portwatch_table_entries{table=\"ports\"} 5",
        "portwatch_table_overflows_total{table=\"ports\"} 1",
        "portwatch_port_assignments_total{protocol=\"tcp\",how=\"connect\"} 77",
        "portwatch_ephemeral_ports{protocol=\"udp\",state=\"bound\"} 9",
        "portwatch_listeners_at_risk 1",
        "portwatch_bpf_run_seconds_total{program=\"hook\"} 0.25",
        "portwatch_backend_info{backend=\"kprobe\",kernel=\"6.1 \\\"x\\\\\"} 1",
        "# UNIT portwatch_bpf_run_seconds seconds",
    ] {
        let count = exposition.lines().filter(|one| *one == line).count();
        assert_eq!(count, 1, "{line} in:\n{exposition}");
    }
    assert!(exposition.ends_with("# EOF\n"));
}

#[test]
fn both_formats_have_the_same_samples() {
    let metrics = Metrics::new(&about());
    let steady = |format| {
        let mut all = samples(&metrics.encode(format));
        all.retain(|name, _| !name.starts_with("process_"));
        all
    };
    assert_eq!(steady(Format::OpenMetrics), steady(Format::Text));
    let text = metrics.encode(Format::Text);
    for definition in ALL {
        let kind = if definition.kind == Kind::Counter { "counter" } else { "gauge" };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", definition.name())), "{}", definition.name());
        assert!(text.contains(&format!("# HELP {} {}\n", definition.name(), definition.help)));
    }
}

/// The table of the documentation.
fn table() -> String {
    let mut out = String::from("| metric | type | labels | what it is |\n|---|---|---|---|\n");
    for definition in ALL {
        let Definition { kind, help, labels, .. } = definition;
        let kind = format!("{kind:?}").to_lowercase();
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(out, "| `{}` | {kind} | {} | {help} |", definition.name(), labels.join(", ")).expect("text");
    }
    out
}

const OPEN: &str = "<!-- metrics -->\n";
const CLOSE: &str = "<!-- /metrics -->";

#[test]
fn the_documentation_is_of_these_metrics() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(&path).expect("docs/metrics.md");
    let (before, rest) = page.split_once(OPEN).expect("the beginning of the table");
    let (_, after) = rest.split_once(CLOSE).expect("the end of the table");
    let right = format!("{before}{OPEN}{}{CLOSE}{after}", table());
    if std::env::var_os("PORTWATCH_UPDATE_DOCS").is_some() {
        fs::write(&path, &right).expect("docs/metrics.md");
    } else {
        let remedy =
            "PORTWATCH_UPDATE_DOCS=1 cargo test -p portwatch --lib the_documentation_is_of_these_metrics";
        assert!(page == right, "docs/metrics.md is not of these metrics; type: {remedy}");
    }
}

#[test]
fn the_words_of_the_documentation_know_every_value_of_a_label() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let page = fs::read_to_string(path).expect("docs/metrics.md");
    let metrics = Metrics::new(&About::default());
    let mut missing = BTreeSet::new();
    for (name, samples) in samples(&metrics.encode(Format::Text)) {
        for (labels, _) in samples {
            let values = labels.split(',').filter_map(|label| label.split('"').nth(1));
            for value in values.filter(|value| !value.is_empty() && !page.contains(&format!("`{value}`"))) {
                missing.insert(format!("{name}: {value}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
