//! Points in time as people write them: `-2h`, `yesterday`, `03:12`, `2026-11-23 03:00`. Pure; now is an argument.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, ZonedDateTime};

/// The value of a flag, seen from now and here.
pub(super) fn flag(text: &str) -> Result<Timestamp, String> {
    when(text, &ZonedDateTime::now())
}

/// What `text` means at `now`, in the time zone of `now`. A day is its beginning; a time alone is one of today.
pub(super) fn when(text: &str, now: &ZonedDateTime) -> Result<Timestamp, String> {
    let text = text.trim();
    let (day, rest) = text.split_once(' ').unwrap_or((text, ""));
    let today = now.date();
    let date = match day.to_ascii_lowercase().as_str() {
        "now" if rest.is_empty() => return Ok(now.timestamp()),
        "today" => Some(today),
        "yesterday" => Some(today.yesterday().map_err(|_| wrong(text))?),
        _ => None,
    };
    if let Some(date) = date {
        return match rest.trim() {
            "" => at(date.to_datetime(Time::midnight()), now, text),
            time => at(date.to_datetime(time_of_day(time).ok_or_else(|| wrong(text))?), now, text),
        };
    }
    if let Some(ago) = ago(text, now) {
        return ago.ok_or_else(|| format!("{text:?} is too long ago"));
    }
    if let Some(time) = time_of_day(text) {
        return at(today.to_datetime(time), now, text);
    }
    // What names its own offset must not be read as a time of here.
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let civil = text.parse::<DateTime>().ok();
    let civil = civil.or_else(|| Some(text.parse::<Date>().ok()?.to_datetime(Time::midnight())));
    at(civil.ok_or_else(|| wrong(text))?, now, text)
}

/// `2h`, `-2h`, `2h ago`, `1d 3h`. The inner `None`: longer ago than there is a calendar.
fn ago(text: &str, now: &ZonedDateTime) -> Option<Option<Timestamp>> {
    let text = text.strip_suffix("ago").unwrap_or(text).trim();
    let text = text.strip_prefix('-').unwrap_or(text).trim();
    // Every part of a span ends in its unit.
    if !text.starts_with(|c: char| c.is_ascii_digit()) || !text.ends_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let span = text.parse::<Span>().ok().filter(|span| !span.is_negative())?;
    Some(now.checked_sub(span).ok().map(|then| then.timestamp()))
}

/// `3:12`, `03:12`, `03:12:44`.
fn time_of_day(text: &str) -> Option<Time> {
    // Of a date and a time the parser would take the time, and leave out the day.
    let is_clock = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    let is_short = text.find(':') == Some(1);
    let whole = if is_short { format!("0{text}") } else { text.to_owned() };
    (is_clock && whole.contains(':')).then(|| whole.parse().ok())?
}

/// A time that the clock leaves out, or shows twice, in the night of the change is the one after, or the first.
fn at(civil: DateTime, now: &ZonedDateTime, text: &str) -> Result<Timestamp, String> {
    let zoned = civil.to_zoned_datetime(now.time_zone().clone()).map_err(|_| wrong(text))?;
    Ok(zoned.timestamp())
}

fn wrong(text: &str) -> String {
    let hint = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("; {text} of what? {text}m, {text}h or {text}d")
    } else {
        String::new()
    };
    format!(
        "a time is written like -2h, \"1d 3h\", yesterday, 03:12, \"2026-11-23 03:00\" or 2026-11-23T03:00:00Z{hint}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::{Offset, TimeZone};

    /// 14:30 of the 24th, two hours east of Greenwich.
    fn meaning(text: &str) -> Result<String, String> {
        let zone = TimeZone::fixed(Offset::from_seconds(7_200).expect("an offset"));
        let now = ZonedDateTime::new("2026-11-24T12:30:00Z".parse().expect("a time"), zone);
        when(text, &now).map(|time| time.to_string())
    }

    #[test]
    fn every_documented_form() {
        for (text, expected) in [
            ("now", "2026-11-24T12:30:00Z"),
            ("-2h", "2026-11-24T10:30:00Z"),
            ("2h", "2026-11-24T10:30:00Z"),
            ("2h ago", "2026-11-24T10:30:00Z"),
            ("90 minutes", "2026-11-24T11:00:00Z"),
            ("1d 3h", "2026-11-23T09:30:00Z"),
            ("-1d 3h", "2026-11-23T09:30:00Z"),
            ("1h30m", "2026-11-24T11:00:00Z"),
            ("2w", "2026-11-10T12:30:00Z"),
            ("today", "2026-11-23T22:00:00Z"),
            ("yesterday", "2026-11-22T22:00:00Z"),
            ("Yesterday 23:15", "2026-11-23T21:15:00Z"),
            ("03:12", "2026-11-24T01:12:00Z"),
            ("3:12", "2026-11-24T01:12:00Z"),
            ("03:12:44.5", "2026-11-24T01:12:44.5Z"),
            ("2026-11-23", "2026-11-22T22:00:00Z"),
            ("2026-11-23 03:00", "2026-11-23T01:00:00Z"),
            ("2026-11-23T03:00:00", "2026-11-23T01:00:00Z"),
            ("2026-11-23T03:00:00Z", "2026-11-23T03:00:00Z"),
            ("2026-11-23T03:00:00.000000001+05:30", "2026-11-22T21:30:00.000000001Z"),
            (" 2026-11-23 03:00 ", "2026-11-23T01:00:00Z"),
        ] {
            assert_eq!(meaning(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn everything_else_is_told_how_to_write_it() {
        for text in [
            "",
            "-",
            "soon",
            "2x",
            "--2h",
            "25:00",
            "03:60",
            "2026-13-01",
            "2026-02-30",
            "yesterday noon",
            "now 3",
            "+2h",
            "2h 3",
            "1;2",
            "\u{1b}[2J",
            "é",
            "-3:12",
        ] {
            let answer = meaning(text).expect_err(text);
            assert!(answer.starts_with("a time is written like -2h"), "{text}: {answer}");
        }
        assert!(meaning("30").expect_err("no unit").ends_with("30 of what? 30m, 30h or 30d"));
        assert!(meaning("19000y").expect_err("no calendar").contains("too long ago"));
    }

    #[test]
    fn the_night_of_the_change_of_clocks_has_an_answer() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let now = ZonedDateTime::new("2026-11-24T12:00:00Z".parse().expect("a time"), zone);
        let at = |text| when(text, &now).map(|time| time.to_string());
        assert_eq!(at("2026-03-29 02:30").as_deref(), Ok("2026-03-29T01:30:00Z"), "left out");
        assert_eq!(at("2026-10-25 02:30").as_deref(), Ok("2026-10-25T00:30:00Z"), "the first of two");
    }
}
