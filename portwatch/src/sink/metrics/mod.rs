//! Everything as numbers for Prometheus. The only place that knows the library: others see [`Metrics`].
//!
//! `definition` says what there is, `tally` counts what is told, `health` is what the agent hands over, `process` is
//! portwatch itself, `exposition` puts all of it into a scrape and `text` converts that to the older format.

mod definition;
#[cfg(test)]
mod document;
mod exposition;
mod health;
mod process;
mod tally;
mod text;

pub use health::{Health, TableFill};

use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Told;
use tally::Tally;

/// What runs where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The kernel hooks in use.
    pub backend: String,
    /// `uname -r`.
    pub kernel: String,
    /// Of portwatch.
    pub version: String,
    /// What it was built from.
    pub revision: String,
}

/// A form of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus's own text format, 0.0.4.
    Text,
}

impl Format {
    /// The media type, for the header of an answer.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Why the endpoint turned somebody away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum TurnedAway {
    /// There were too many connections.
    ConnectionLimit,
    /// A connection or a request could not be taken: descriptors ran out, no valid TLS, no valid HTTP, too slow.
    Connection,
    /// No password, or a wrong one.
    Unauthorized,
    /// The file that says who may come in is broken.
    WebConfig,
}

impl TurnedAway {
    const ALL: [Self; 4] = [Self::ConnectionLimit, Self::Connection, Self::Unauthorized, Self::WebConfig];

    const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionLimit => "connection-limit",
            Self::Connection => "connection",
            Self::Unauthorized => "unauthorized",
            Self::WebConfig => "web-config",
        }
    }
}

/// The numbers, shared by those who count and those who show.
#[derive(Debug)]
pub struct Metrics {
    state: Arc<State>,
    registry: Registry,
}

/// What is known.
#[derive(Debug)]
struct State {
    about: About,
    tally: Mutex<Tally>,
    health: Mutex<Arc<Health>>,
    turned_away: [AtomicU64; TurnedAway::ALL.len()],
}

impl Metrics {
    /// Everything at 0.
    #[must_use]
    pub fn new(about: &About) -> Arc<Self> {
        let state = Arc::new(State {
            about: about.clone(),
            tally: Mutex::new(Tally::new()),
            health: Mutex::default(),
            turned_away: Default::default(),
        });
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(&state)));
        Arc::new(Self { state, registry })
    }

    /// Counts a conflict, or that one told before has grown.
    pub fn told(&self, told: &Told) {
        lock(&self.state.tally).told(told);
    }

    /// Replaces the snapshot that the next scrape shows.
    pub fn set_health(&self, health: Health) {
        *lock(&self.state.health) = Arc::new(health);
    }

    /// Counts somebody whom the endpoint turned away.
    pub fn turned_away(&self, why: TurnedAway) {
        self.state.turned_away[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All of it, as it is now.
    #[must_use]
    pub fn encode(&self, format: Format) -> String {
        let mut exposition = String::new();
        // Writing to a string cannot fail, and the collector hands out no error of its own.
        let _ = prometheus_client::encoding::text::encode(&mut exposition, &self.registry);
        match format {
            Format::OpenMetrics => exposition,
            Format::Text => text::from_openmetrics(&exposition),
        }
    }
}

/// A count is whole at any time, so that one whose counter panicked is good to use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
