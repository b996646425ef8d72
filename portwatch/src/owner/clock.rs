//! The kernel's boot clock as time of day.

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// How far the time of day may wander from the boot clock before that counts as the clock having been set. Small
/// corrections are left out: one process must not have two start times.
const STEP_NS: i64 = 10_000_000;

/// Now on the boot clock, in nanoseconds: what the kernel side's time stamps count in.
pub fn now_boot_ns() -> u64 {
    u64::try_from(nanoseconds(ClockId::Boottime)).unwrap_or(0)
}

/// The offset between the two clocks.
#[derive(Debug)]
pub(super) struct WallClock {
    offset_ns: i64,
}

impl WallClock {
    pub(super) fn new() -> Self {
        Self { offset_ns: offset_ns() }
    }

    pub(super) fn at(&mut self, boot_ns: u64) -> Timestamp {
        let now = offset_ns();
        if now.abs_diff(self.offset_ns) > STEP_NS.unsigned_abs() {
            self.offset_ns = now;
        }
        let since_boot = SignedDuration::from_nanos(i64::try_from(boot_ns).unwrap_or(i64::MAX));
        let booted = Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_nanos(self.offset_ns));
        booted.and_then(|booted| booted.saturating_add(since_boot)).unwrap_or(Timestamp::MAX)
    }
}

fn offset_ns() -> i64 {
    nanoseconds(ClockId::Realtime).saturating_sub(nanoseconds(ClockId::Boottime))
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn now_is_now() {
        let mut clock = WallClock::new();
        let error = clock.at(now_boot_ns()).duration_since(Timestamp::now()).abs();
        assert!(error < SignedDuration::from_millis(500), "{error:?}");
        assert_eq!(clock.at(1_000), clock.at(1_000), "a moment has one time of day");
        clock.at(u64::MAX);
    }
}
