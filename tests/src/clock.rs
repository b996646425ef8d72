//! Wall-clock times in nanoseconds since 1970: of this moment, of a process's start, and out of a report's RFC 3339 text.

use std::fs;

use anyhow::{Context, Result};
use rustix::time::{ClockId, Timespec, clock_gettime};
use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000_000_000;

/// Nanoseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Wall(pub(crate) i64);

/// When something happened, as far as an observer outside the kernel can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: Wall,
    pub(crate) to: Wall,
}

impl Window {
    /// Whether the time lies in the window, give or take the difference between two readings of two clocks.
    pub(crate) fn admits(self, time: Wall) -> bool {
        const SLACK: i64 = SECOND / 2;
        (self.from.0 - SLACK..=self.to.0 + SLACK).contains(&time.0)
    }
}

/// This moment.
pub(crate) fn now() -> Wall {
    Wall(nanoseconds(clock_gettime(ClockId::Realtime)))
}

/// Start of a process, to the kernel's tick of 10 ms.
pub(crate) fn process_start(pid: u32) -> Result<Wall> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read(&path).with_context(|| format!("reading {path}"))?;
    let ticks = start_ticks(&stat).with_context(|| format!("no start time in {path}"))?;
    let tick = SECOND / i64::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(Wall(boot() + ticks * tick))
}

/// When the boot clock was 0. Somebody who is scheduled away between the two readings gets too early a time, so the
/// latest of several is the best.
fn boot() -> i64 {
    let reading =
        || nanoseconds(clock_gettime(ClockId::Realtime)) - nanoseconds(clock_gettime(ClockId::Boottime));
    (0..4).map(|_| reading()).max().unwrap_or(0)
}

/// Field 22 of `/proc/PID/stat`. The name in field 2 may hold anything, closing brackets too: count from the last one.
fn start_ticks(stat: &[u8]) -> Option<i64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec * SECOND + time.tv_nsec
}

/// Reads `2026-11-23T03:00:00.123456789Z`, or the same with an offset from UTC.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Wall> {
    let (date, time) = text.split_once('T')?;
    let (time, offset) = split_offset(time)?;
    let date: Vec<i64> = date.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let clock: Vec<i64> = clock.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let ([year, month, day], [hour, minute, second]) =
        (date[..].try_into().ok()?, clock[..].try_into().ok()?);
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    Some(Wall(seconds * SECOND + fraction))
}

/// Splits `03:00:00Z` or `03:00:00+01:00` into the time and the offset in seconds.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (hours, minutes) = time[at + 1..].split_once(':')?;
    let seconds = hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60;
    Some((&time[..at], if time[at..].starts_with('-') { -seconds } else { seconds }))
}

/// Days of the proleptic Gregorian calendar, counted in years that begin in March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_read_to_the_nanosecond() {
        assert_eq!(parse_rfc3339("1970-01-01T00:00:00Z"), Some(Wall(0)));
        assert_eq!(parse_rfc3339("2026-11-23T03:00:00.000000001Z"), Some(Wall(1_795_402_800 * SECOND + 1)));
        assert_eq!(
            parse_rfc3339("2024-02-29T12:00:00.5+01:00"),
            Some(Wall(1_709_204_400 * SECOND + SECOND / 2))
        );
        assert_eq!(parse_rfc3339("2024-02-29T10:30:00-00:30"), parse_rfc3339("2024-02-29T11:00:00Z"));
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T03:00Z",
            "2026-11-23T03:00:00",
            "2026-11-23T03:00:00.xZ",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_full_of_brackets_does_not_hide_the_start_time() {
        let stat = b"42 (a) R 1 (b)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        assert_eq!(start_ticks(stat), Some(777));
    }

    #[test]
    fn this_process_started_a_moment_ago() {
        let start = process_start(std::process::id()).unwrap();
        assert!(start <= now() && now().0 - start.0 < 600 * SECOND);
    }
}
