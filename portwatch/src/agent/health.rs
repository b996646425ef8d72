//! What cannot wait for a conflict: counters, tables and ports in use, read again and again by a thread of its own.

use super::notify;
use crate::audit::at_risk;
use crate::correlate::Stats;
use crate::ledger::Summary;
use crate::model::{AssignedBy, Protocol};
use crate::occupancy::Occupancy;
use crate::pipeline::Gauge;
use crate::probe::{ProgramRuns, Table};
use crate::sink::metrics::{Health, Metrics, TableFill};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the counters are read.
const OFTEN: Duration = Duration::from_secs(2);
/// How often the tables and the ports in use are counted, which takes a look at every entry.
const SELDOM: Duration = Duration::from_secs(15);
/// A count of a large table is followed by a rest so many times as long: no more than a percent of a processor.
const REST: u32 = 100;

/// What the loop knows, for others to read.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) stats: Stats,
    pub(super) summary: Summary,
}

/// Reads what a sink, or the socket, has lost.
pub(super) type Lost = Box<dyn Fn() -> Vec<(&'static str, u64)> + Send>;

/// What the thread reads from.
pub(super) struct Sources {
    pub(super) gauge: Gauge,
    pub(super) known: Arc<Mutex<Known>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) lost: Lost,
    pub(super) store_errors: Box<dyn Fn() -> u64 + Send>,
}

/// The thread; it ends with this.
#[derive(Debug)]
pub(super) struct Watch {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Starts it; the first numbers are there when this returns.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(super) fn start(sources: Sources) -> io::Result<Self> {
        let (end, ending) = channel();
        let mut seldom = Seldom::read(&sources.gauge);
        sources.publish(&seldom);
        let work = move || sources.watch(&mut seldom, &ending);
        let thread = thread::Builder::new().name("health".to_owned()).spawn(work)?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; and if it did, the panic has spoken.
            let _ = thread.join();
        }
    }
}

/// Numbers that take a look at every entry.
struct Seldom {
    tables: Vec<Table>,
    occupancy: Occupancy,
    listeners_at_risk: u64,
    due: Instant,
}

impl Seldom {
    fn read(gauge: &Gauge) -> Self {
        let begun = Instant::now();
        let (tables, occupancy) = (gauge.tables(), Occupancy::read(&gauge.bound_here()));
        let listeners_at_risk = at_risk::count(|is_wanted| gauge.assignments(is_wanted));
        let rest = SELDOM.max(begun.elapsed() * REST);
        Self { tables, occupancy, listeners_at_risk, due: Instant::now() + rest }
    }
}

impl Sources {
    fn watch(&self, seldom: &mut Seldom, ending: &Receiver<()>) {
        while ending.recv_timeout(OFTEN) == Err(RecvTimeoutError::Timeout) {
            if Instant::now() >= seldom.due {
                *seldom = Seldom::read(&self.gauge);
            }
            self.publish(seldom);
        }
    }

    fn publish(&self, seldom: &Seldom) {
        let (stats, summary) = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            (known.stats, known.summary.clone())
        };
        let mut losses = self.gauge.losses(stats);
        losses.extend((self.lost)());
        let backend = self.gauge.status().backend.name();
        let summary = summary.with_lost(losses.clone()).to_string();
        notify::status(&format!("backend {backend}: {}", summary.trim_start_matches("portwatch: ")));
        let counters = self.gauge.counters();
        let overflows = |table: &str| match table {
            "PORTS" => counters.get("ports_full"),
            "ATTEMPTS" => counters.get("attempts_full"),
            "CALLS" => counters.get("calls_full"),
            _ => 0,
        };
        let fill = |table: &Table| TableFill {
            name: table.name,
            entries: table.entries,
            capacity: table.capacity.into(),
            overflows: overflows(table.name),
        };
        let runs = |one: ProgramRuns| (one.name, one.runs, Duration::from_nanos(one.ns).as_secs_f64());
        let assigned = counters.assigned().filter_map(|(protocol, how, count)| {
            Some((Protocol::from_wire(protocol)?, AssignedBy::from_wire(how), count))
        });
        self.metrics.set_health(Health {
            losses,
            releases_skipped: self.gauge.skipped_releases(),
            tables: seldom.tables.iter().map(fill).collect(),
            assignments: assigned.collect(),
            ephemeral: seldom.occupancy.ephemeral.clone(),
            unavailable: seldom.occupancy.unavailable.clone(),
            ephemeral_range_ports: seldom.occupancy.range_ports,
            listeners_at_risk: seldom.listeners_at_risk,
            store_errors: (self.store_errors)(),
            programs: self.gauge.programs().into_iter().map(runs).collect(),
        });
    }
}
