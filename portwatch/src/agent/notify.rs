//! What the service manager is told: ready, reloading, a line of status, that the loop still turns, and the end.

use crate::text;
use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// The service manager, if one started us.
#[derive(Debug)]
pub(super) struct Manager {
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    fed: Instant,
}

impl Manager {
    /// Looks at what the environment says.
    pub(super) fn new() -> Self {
        // Three signs in each period, so that a late one does no harm.
        let watchdog = sd_notify::watchdog_enabled().map(|period| period / 3);
        Self { watchdog, fed: Instant::now() }
    }

    /// A sign of life, if it is time for one. Whoever calls this is alive: the loop that everything goes through.
    pub(super) fn feed(&mut self) {
        if self.watchdog.is_some_and(|period| self.fed.elapsed() >= period) {
            self.fed = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Everything is attached and served.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] ends that.
pub(super) fn reloading() {
    let now = NotifyState::monotonic_usec_now().ok();
    tell(&[Some(NotifyState::Reloading), now].into_iter().flatten().collect::<Vec<_>>());
}

/// The end has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The line that `systemctl status` shows.
pub(super) fn status(status: &str) {
    tell(&[NotifyState::Status(&line(status))]);
}

fn line(status: &str) -> String {
    text::printable(status).into_owned()
}

/// Nobody to tell, or a manager that does not listen, is no reason to stop working.
fn tell(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}
