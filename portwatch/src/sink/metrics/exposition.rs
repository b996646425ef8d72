//! What is known → samples, in the order of the definitions and with every series of the closed sets.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;

use super::definition::{self as define, Definition, Kind};
use super::health::{COUNTED, Health, STAGES, TABLES};
use super::process::OwnProcess;
use super::tally::Tally;
use super::{State, TurnedAway, lock};
use crate::model::{AssignedBy, PortState, Protocol, Whom};

/// A number.
#[derive(Clone, Copy, Debug)]
enum Value {
    Whole(u64),
    Real(f64),
}

/// Label values in the order of the definition's labels, and the number.
type Sample = (Vec<String>, Value);

impl Collector for State {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out(encoder);
        let health = lock(&self.health).clone();
        of_conflicts(&mut out, &lock(&self.tally))?;
        of_ports(&mut out, &health)?;
        of_tables(&mut out, &health)?;
        let away = TurnedAway::ALL.map(|why| {
            let count = self.turned_away[why as usize].load(Ordering::Relaxed);
            (vec![why.as_str().to_owned()], Value::Whole(count))
        });
        out.family(&define::HTTP_REFUSED, away)?;
        let about = &self.about;
        out.info(&define::BACKEND, &[&about.backend, &about.kernel])?;
        out.info(&define::BUILD, &[&about.version, &about.revision])?;
        of_process(&mut out, &OwnProcess::read())
    }
}

fn of_conflicts(out: &mut Out<'_>, tally: &Tally) -> fmt::Result {
    for (definition, counts) in [(&define::CONFLICTS, &tally.conflicts), (&define::REFUSALS, &tally.refusals)]
    {
        let samples = counts.iter().map(|((protocol, operation, cause), count)| {
            (vec![protocol.to_string(), operation.to_string(), cause.to_string()], Value::Whole(*count))
        });
        out.family(definition, samples)?;
    }
    out.family(&define::UNATTRIBUTED, whole(&tally.unattributed))?;
    let last = tally.last.iter().map(|(cause, time)| (vec![cause.to_string()], Value::Real(*time)));
    out.family(&define::LAST_CONFLICT, last)?;
    out.family(&define::EXHAUSTIONS, whole(&tally.exhaustions))
}

fn of_ports(out: &mut Out<'_>, health: &Health) -> fmt::Result {
    let all = Protocol::ALL.iter().flat_map(|p| AssignedBy::ALL.iter().map(move |how| (*p, *how)));
    out.family(&define::ASSIGNMENTS, pairs(all, &health.assignments))?;
    let all = COUNTED.iter().flat_map(|p| PortState::ALL.into_iter().map(move |state| (*p, state)));
    out.family(&define::EPHEMERAL_PORTS, pairs(all, &health.ephemeral))?;
    let all = COUNTED.iter().flat_map(|p| Whom::ALL.into_iter().map(move |whom| (*p, whom)));
    out.family(&define::EPHEMERAL_UNAVAILABLE, pairs(all, &health.unavailable))?;
    out.single(&define::EPHEMERAL_RANGE, Value::Whole(health.ephemeral_range_ports))?;
    out.single(&define::LISTENERS_AT_RISK, Value::Whole(health.listeners_at_risk))
}

fn of_tables(out: &mut Out<'_>, health: &Health) -> fmt::Result {
    let mut lost: BTreeMap<&str, u64> = STAGES.into_iter().map(|stage| (stage, 0)).collect();
    for (stage, count) in &health.losses {
        *lost.entry(stage).or_default() += count;
    }
    out.family(&define::EVENTS_LOST, whole(&lost))?;
    out.single(&define::RELEASES_SKIPPED, Value::Whole(health.releases_skipped))?;
    let mut tables: BTreeMap<String, [u64; 3]> =
        TABLES.into_iter().map(|name| (name.to_owned(), [0; 3])).collect();
    for table in &health.tables {
        tables.insert(table.name.to_ascii_lowercase(), [table.entries, table.capacity, table.overflows]);
    }
    let definitions = [&define::TABLE_ENTRIES, &define::TABLE_CAPACITY, &define::TABLE_OVERFLOWS];
    for (index, definition) in definitions.into_iter().enumerate() {
        let samples = tables.iter().map(|(name, numbers)| (vec![name.clone()], Value::Whole(numbers[index])));
        out.family(definition, samples)?;
    }
    out.single(&define::STORE_ERRORS, Value::Whole(health.store_errors))?;
    let programs = || health.programs.iter();
    out.family(
        &define::BPF_RUNS,
        programs().map(|(name, runs, _)| (vec![name.clone()], Value::Whole(*runs))),
    )?;
    let seconds = programs().map(|(name, _, seconds)| (vec![name.clone()], Value::Real(*seconds)));
    out.family(&define::BPF_RUN_SECONDS, seconds)
}

fn of_process(out: &mut Out<'_>, own: &OwnProcess) -> fmt::Result {
    let (whole, real) = (|n: Option<u64>| n.map(Value::Whole), |n: Option<f64>| n.map(Value::Real));
    let values = [
        (&define::CPU, real(own.cpu_seconds)),
        (&define::RESIDENT, whole(own.resident_bytes)),
        (&define::VIRTUAL, whole(own.virtual_bytes)),
        (&define::OPEN_FDS, whole(own.open_fds)),
        (&define::MAX_FDS, whole(own.max_fds)),
        (&define::START_TIME, real(own.start_time)),
    ];
    // What /proc does not tell is no 0.
    values
        .into_iter()
        .try_for_each(|(definition, value)| value.map_or(Ok(()), |value| out.single(definition, value)))
}

/// Counts by one label.
fn whole<K: ToString>(counts: &BTreeMap<K, u64>) -> impl Iterator<Item = Sample> {
    counts.iter().map(|(label, count)| (vec![label.to_string()], Value::Whole(*count)))
}

/// Counts by two labels: all pairs, with what is known of them, and then what is known beyond.
fn pairs<B: Copy + Ord + ToString>(
    all: impl Iterator<Item = (Protocol, B)>,
    known: &[(Protocol, B, u64)],
) -> impl Iterator<Item = Sample> {
    let mut counts: BTreeMap<(Protocol, B), u64> = all.map(|pair| (pair, 0)).collect();
    for (protocol, other, count) in known {
        *counts.entry((*protocol, *other)).or_default() += count;
    }
    counts.into_iter().map(|((a, b), count)| (vec![a.to_string(), b.to_string()], Value::Whole(count)))
}

/// Where samples are written.
struct Out<'a>(DescriptorEncoder<'a>);

impl Out<'_> {
    fn single(&mut self, definition: &Definition, value: Value) -> fmt::Result {
        let unit = unit(definition);
        value.write(definition, self.begin(definition, unit.as_ref())?)
    }

    fn info(&mut self, definition: &Definition, values: &[&str]) -> fmt::Result {
        let labels: Vec<(&str, &str)> =
            definition.labels.iter().copied().zip(values.iter().copied()).collect();
        self.begin(definition, None)?.encode_info(&labels)
    }

    fn family(&mut self, definition: &Definition, samples: impl IntoIterator<Item = Sample>) -> fmt::Result {
        let unit = unit(definition);
        let mut encoder = self.begin(definition, unit.as_ref())?;
        for (values, value) in samples {
            let labels: Vec<(&str, &str)> =
                definition.labels.iter().copied().zip(values.iter().map(String::as_str)).collect();
            value.write(definition, encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn begin<'s>(
        &'s mut self,
        definition: &Definition,
        unit: Option<&'s Unit>,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        let kind = match definition.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Info => MetricType::Info,
        };
        self.0.encode_descriptor(definition.base(), definition.help, unit, kind)
    }
}

impl Value {
    fn write(self, definition: &Definition, to: MetricEncoder<'_>) -> fmt::Result {
        match (definition.kind, self) {
            (Kind::Counter, Self::Whole(n)) => ConstCounter::new(n).encode(to),
            (Kind::Counter, Self::Real(n)) => ConstCounter::new(n).encode(to),
            (Kind::Gauge | Kind::Info, Self::Whole(n)) => ConstGauge::new(n).encode(to),
            (Kind::Gauge | Kind::Info, Self::Real(n)) => ConstGauge::new(n).encode(to),
        }
    }
}

fn unit(definition: &Definition) -> Option<Unit> {
    definition.unit.map(|unit| Unit::Other(unit.to_owned()))
}
