//! The whole graph: kernel side → source → correlator, with the lookups that it needs; attached and ready to follow.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use portwatch_common::Assignment;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::Receiver;

use crate::correlate::{Correlator, PROCESS_CAPACITY, Settings, Stats};
use crate::decode::RawEvent;
use crate::exit_code::Refused;
use crate::occupancy::BoundPorts;
use crate::owner::{self, netns, now_boot_ns};
use crate::probe::{Backend, Counters, Probe, ProgramRuns, Sizes, Status, Table, Unavailable};
use crate::recording::{Header, Recorder};
use crate::source::{self, Losses};
use crate::text;

/// The attached kernel side and everything behind it.
#[derive(Debug)]
pub struct Pipeline {
    settings: Settings,
    /// Where the events come from.
    pub events: Receiver<RawEvent>,
    /// What makes conflicts of them.
    pub correlator: Correlator,
    /// What it asks about the world.
    pub lookups: owner::Live,
    /// What can be read of all that while it runs.
    pub gauge: Gauge,
}

/// The kernel side and the source, to be looked at from any thread. The hooks stay attached until the last of these is gone.
#[derive(Clone, Debug)]
pub struct Gauge {
    probe: Arc<Probe>,
    losses: Arc<Losses>,
}

impl Pipeline {
    /// Attaches the kernel side and starts draining its ring. Runs inside the runtime.
    ///
    /// # Errors
    /// [`Refused`] when this host admits no backend; anything else when the ring cannot be read.
    pub fn start(forced: Option<Backend>, sizes: Sizes) -> anyhow::Result<Self> {
        let started_ns = now_boot_ns();
        let mut probe = Probe::attach(forced, sizes).map_err(|unavailable| refused(&unavailable))?;
        let ring =
            probe.take_ring().ok_or_else(|| io::Error::other("the kernel-side object has no ring buffer"))?;
        let feed = source::spawn(ring)?;
        let settings = Settings {
            backend: probe.status().backend.name().to_owned(),
            era: probe.era(),
            own_netns: netns::own(),
            started_ns,
            has_snapshot: probe.status().no_snapshot.is_none(),
            processes: PROCESS_CAPACITY,
        };
        let lookups = owner::Live::new().with_assignments(probe.assignments());
        let gauge = Gauge { probe: Arc::new(probe), losses: feed.losses };
        let correlator = Correlator::new(settings.clone());
        Ok(Self { settings, events: feed.events, correlator, lookups, gauge })
    }

    /// Begins a recording, if there is to be one; `announced` is what was said at the start.
    ///
    /// # Errors
    /// If the file is there already, or cannot be made.
    pub fn record(&self, path: Option<&Path>, announced: &[u8]) -> anyhow::Result<Option<Recorder>> {
        let header = || Header::now(self.settings.clone(), &text::lossy(announced));
        path.map(|path| Recorder::create(path, &header())).transpose()
    }

    /// Everything that was lost, at the end; the recording, which is told of it, is closed.
    pub fn losses(&self, recorder: Option<&mut Recorder>) -> Vec<(&'static str, u64)> {
        let mut lost = self.gauge.losses(self.correlator.stats());
        if let Some(recorder) = recorder {
            recorder.finish(&lost);
            lost.push(("events_unrecorded", recorder.lost()));
        }
        lost
    }
}

impl Gauge {
    /// What runs, and what it cannot see.
    #[must_use]
    pub fn status(&self) -> &Status {
        self.probe.status()
    }

    /// The kernel side's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.probe.counters()
    }

    /// Releases that the kernel skipped the hooks for.
    #[must_use]
    pub fn skipped_releases(&self) -> u64 {
        self.probe.skipped_releases()
    }

    /// Runs of the kernel side's programs, while the kernel counts them.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramRuns> {
        self.probe.programs()
    }

    /// Size and fill of the kernel side's tables. Walks every entry: seldom, and not where somebody waits.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        self.probe.tables()
    }

    /// Of the kernel side's records of who was given which port those that are wanted. Walks the tables: seldom, and not
    /// where somebody waits.
    #[must_use]
    pub fn assignments(&self, is_wanted: &dyn Fn(&Assignment) -> bool) -> Vec<Assignment> {
        self.probe.assignments().wanted(is_wanted)
    }

    /// The TCP ports of portwatch's own network namespace that a process has bound, by the records. Walks them all, as
    /// [`Self::tables`] does.
    #[must_use]
    pub fn bound_here(&self) -> BoundPorts {
        owner::bound(&self.probe.assignments(), netns::own())
    }

    /// Everything that can be lost on the way, by the name of its counter, with the correlator's part of it.
    #[must_use]
    pub fn losses(&self, correlator: Stats) -> Vec<(&'static str, u64)> {
        let own = [
            ("channel_full", self.losses.channel.load(Ordering::Relaxed)),
            ("undecodable", self.losses.undecodable.load(Ordering::Relaxed)),
            ("foreign_holders", correlator.foreign_holders),
            ("stray_holders", correlator.stray_holders),
            ("events_skipped", self.probe.skipped_events()),
        ];
        self.probe.counters().losses().chain(own).collect()
    }
}

/// The signals that end a run in good order: Ctrl-C and the service manager's SIGTERM.
#[derive(Debug)]
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From here on the signals no longer kill the process.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn install() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the first of them.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// No backend: each one's reason and remedy, and what works all the same.
fn refused(unavailable: &Unavailable) -> Refused {
    let mut message =
        String::from("no kernel hooks could be attached, so nothing can be traced on this host");
    for declined in &unavailable.declined {
        let reason = &declined.reason;
        message.push_str(&format!("\n  {}: {}", declined.backend.name(), text::printable(&reason.what)));
        if !reason.remedy.is_empty() {
            message.push_str(&format!("\n    remedy: {}", text::printable(&reason.remedy)));
        }
    }
    message.push_str(
        "\n  without hooks: `portwatch doctor` explains; `portwatch who PORT` shows present holders, clients included",
    );
    Refused::unsupported(message)
}
