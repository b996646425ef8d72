//! Values of keys: text → meaning, each with the one line that a wrong one is answered with, and back. Pure.

use super::Journal;
use crate::probe::Backend;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const OFF: &str = "off";
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// Younger than that, a conflict of last night would be gone in the morning.
const YOUNGEST: Duration = Duration::from_secs(HOUR);
/// An empty history has some 60 KiB.
const SMALLEST: u64 = 1 << 20;

pub(super) fn backend(text: &str) -> Result<Option<Backend>, String> {
    if text == "auto" {
        return Ok(None);
    }
    let found = Backend::ALL.iter().copied().find(|backend| backend.name() == text);
    found.map(Some).ok_or_else(|| "it is auto, fexit, kprobe or tracepoint".to_owned())
}

pub(super) fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == OFF {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| "an address and a port, like 127.0.0.1:9737 or [::1]:9737; or off".to_owned())
}

pub(super) fn path(text: &str) -> Result<Option<PathBuf>, String> {
    match text {
        OFF => Ok(None),
        path if path.starts_with('/') => Ok(Some(PathBuf::from(path))),
        _ => Err("a path from the root, like /var/lib/portwatch/history.db; or off".to_owned()),
    }
}

pub(super) fn shown(path: Option<&Path>) -> String {
    path.map_or_else(|| OFF.to_owned(), |path| path.display().to_string())
}

/// `30d`, `12h`, `2w 1d`: days have 24 hours here.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    let wanted = || "an age is written like 12h, 30d or 8w, and is an hour at least".to_owned();
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wanted());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wanted)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.chars().next().ok_or_else(wanted)?;
        let seconds = match unit {
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            'w' => 7 * DAY,
            'y' => 365 * DAY,
            _ => return Err(wanted()),
        };
        let number: u64 = number.parse().map_err(|_| wanted())?;
        total = number.checked_mul(seconds).and_then(|part| total.checked_add(part)).ok_or_else(wanted)?;
        rest = after[unit.len_utf8()..].trim_start();
    }
    let age = Duration::from_secs(total);
    if age < YOUNGEST || total > 1000 * 365 * DAY { Err(wanted()) } else { Ok(age) }
}

pub(super) fn shown_age(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [(DAY, 'd'), (HOUR, 'h')];
    let fitting = units.into_iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, letter) = fitting.unwrap_or((MINUTE, 'm'));
    format!("{}{letter}", seconds / unit)
}

const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("", 1),
];

pub(super) fn size(text: &str) -> Result<u64, String> {
    let wanted = || "a size is written like 256MiB or 1GiB, and is 1MiB at least".to_owned();
    let (number, unit) = text.trim().split_at(text.trim().trim_end_matches(char::is_alphabetic).len());
    let (_, factor) = SIZES.into_iter().find(|(name, _)| *name == unit).ok_or_else(wanted)?;
    let number: u64 = number.trim().parse().map_err(|_| wanted())?;
    number.checked_mul(factor).filter(|bytes| *bytes >= SMALLEST).ok_or_else(wanted)
}

pub(super) fn shown_size(bytes: u64) -> String {
    let fitting = [2, 1, 0].into_iter().map(|at| SIZES[at]).find(|(_, factor)| bytes.is_multiple_of(*factor));
    let (name, factor) = fitting.unwrap_or(("", 1));
    format!("{}{name}", bytes / factor)
}

pub(super) fn journal(text: &str) -> Result<Journal, String> {
    match text {
        "auto" => Ok(Journal::Auto),
        "on" | "true" => Ok(Journal::On),
        OFF | "false" => Ok(Journal::Off),
        _ => Err("it is auto, on or off".to_owned()),
    }
}

pub(super) const fn shown_journal(journal: Journal) -> &'static str {
    match journal {
        Journal::Auto => "auto",
        Journal::On => "on",
        Journal::Off => OFF,
    }
}

pub(super) fn group(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    is_name.then(|| text.to_owned()).ok_or_else(|| "the name of a group".to_owned())
}
