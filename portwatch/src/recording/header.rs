//! What stands at the beginning of a recording and what at its end, as JSON.

use super::exchange::time;
use super::{LAYOUT, VERSION};
use crate::correlate::Settings;
use crate::owner::now_boot_ns;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The first frame: who recorded, where, and what the correlator was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the portwatch that recorded.
    pub portwatch: String,
    /// Release of the kernel.
    pub kernel: String,
    /// Architecture of the machine.
    pub machine: String,
    /// Version of the ring records' layout.
    pub layout: u16,
    /// What the correlator was told.
    pub settings: Settings,
    /// Two clocks at one moment.
    pub clock: ClockPair,
    /// The lines that portwatch said at its start.
    pub announced: Vec<String>,
}

impl Header {
    /// Of a recording that begins now, on this machine.
    pub fn now(settings: Settings, announced: &str) -> Self {
        let uname = rustix::system::uname();
        Self {
            portwatch: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            layout: LAYOUT,
            settings,
            clock: ClockPair { boot_ns: now_boot_ns(), wall: Timestamp::now() },
            announced: announced.lines().map(str::to_owned).collect(),
        }
    }

    /// In one line: who recorded what, where.
    pub fn describe(&self) -> String {
        format!(
            "recorded by portwatch {} on Linux {} {} with the backend {}, format {VERSION}",
            self.portwatch, self.kernel, self.machine, self.settings.backend
        )
    }
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockPair {
    /// On the boot clock, in nanoseconds.
    pub boot_ns: u64,
    /// As time of day.
    #[serde(with = "time")]
    pub wall: Timestamp,
}

impl ClockPair {
    /// Another time on the boot clock as time of day, by this pair.
    pub fn wall_clock(self, boot_ns: u64) -> Timestamp {
        let since = i128::from(boot_ns) - i128::from(self.boot_ns);
        let since = SignedDuration::from_nanos(i64::try_from(since).unwrap_or(i64::MAX));
        self.wall.saturating_add(since).unwrap_or(Timestamp::MAX)
    }
}

/// The last frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// What was lost on the way to the correlator, by the counter's name.
    pub lost: Vec<(String, u64)>,
}

impl End {
    /// With the counters of a run.
    pub fn new(lost: &[(&'static str, u64)]) -> Self {
        Self { lost: lost.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect() }
    }
}
