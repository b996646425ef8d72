//! The whole graph: kernel side → source → correlator, with the lookups that it needs; attached and ready to follow.

use std::io;
use std::sync::atomic::Ordering;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::correlate::{Correlator, PROCESS_CAPACITY, Settings};
use crate::exit_code::Refused;
use crate::owner::{self, netns, now_boot_ns};
use crate::probe::{Backend, Probe, Sizes, Status, Unavailable};
use crate::recording::Header;
use crate::source::{self, Feed};
use crate::text;

/// The attached kernel side and everything behind it.
#[derive(Debug)]
pub struct Pipeline {
    probe: Probe,
    settings: Settings,
    /// Where the events come from.
    pub feed: Feed,
    /// What makes conflicts of them.
    pub correlator: Correlator,
    /// What it asks about the world.
    pub lookups: owner::Live,
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
        let correlator = Correlator::new(settings.clone());
        Ok(Self { probe, feed, settings, correlator, lookups })
    }

    /// What a recording of this pipeline begins with; `announced` is what was said at the start.
    #[must_use]
    pub fn recording_header(&self, announced: &str) -> Header {
        Header::now(self.settings.clone(), announced)
    }

    /// What runs, and what it cannot see.
    #[must_use]
    pub fn status(&self) -> &Status {
        self.probe.status()
    }

    /// Everything that was lost on the way, by the name of its counter; zeros are left out.
    #[must_use]
    pub fn losses(&self) -> Vec<(String, u64)> {
        let stats = self.correlator.stats();
        let own = [
            ("channel_full", self.feed.losses.channel.load(Ordering::Relaxed)),
            ("undecodable", self.feed.losses.undecodable.load(Ordering::Relaxed)),
            ("foreign_holders", stats.foreign_holders),
            ("stray_holders", stats.stray_holders),
            ("events_skipped", self.probe.skipped_events()),
        ];
        let kernel = self.probe.counters();
        kernel
            .losses()
            .chain(own.into_iter().filter(|(_, count)| *count > 0))
            .map(|(n, c)| (n.to_owned(), c))
            .collect()
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
