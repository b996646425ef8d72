//! A conflict and what there is of it now → the story. Pure: the present, the zone and the time are arguments.

use super::present::Present;
use super::words::{self, Clock};
use super::{because, clash, how, now, remedy};
use crate::model::Conflict;
use crate::text::printable;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::fmt;

/// What a part of the story is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The answer in one sentence.
    Answer,
    /// How and when the holder came to the port, and how that is known.
    How,
    /// When the victim wanted it, and how often it tried.
    Wanted,
    /// Why the two clash.
    Clash,
    /// Whether the holder still has it.
    Now,
    /// What to do.
    Remedy,
    /// Earlier conflicts, one line each.
    Earlier,
    /// What else has to be known: where it comes from, what could not be seen.
    Note,
}

/// A paragraph. Its text is printable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is about.
    pub about: About,
    /// Sentences.
    pub text: String,
    /// Exactly what to type; not escaped.
    pub commands: Vec<String>,
}

impl Part {
    /// A paragraph without commands.
    pub fn text(about: About, text: impl Into<String>) -> Self {
        Self { about, text: text.into(), commands: Vec::new() }
    }
}

/// A story: the answer first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Story {
    /// The paragraphs, in the order of reading.
    pub parts: Vec<Part>,
}

impl Story {
    /// The answer in one sentence.
    pub fn headline(&self) -> &str {
        self.parts.first().map_or("", |part| &part.text)
    }
}

/// For the journal and the like: a line a paragraph, commands indented below it.
impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            f.write_str(&part.text)?;
            for command in &part.commands {
                write!(f, "\n    {}", printable(command))?;
            }
        }
        Ok(())
    }
}

/// The story of one conflict, with times of `zone`, as told at the time `now`.
pub fn story(conflict: &Conflict, present: &Present, zone: &TimeZone, now: Timestamp) -> Story {
    let clock = Clock { zone, now };
    let is_elsewhere = conflict.netns != present.situation.own_netns;
    let mut parts = vec![
        Part::text(About::Answer, because::headline(conflict, &clock)),
        Part::text(About::How, how::acquired(conflict, &clock)),
        Part::text(About::Wanted, how::wanted(conflict, &clock, is_elsewhere)),
        Part::text(About::Clash, clash::explain(conflict)),
        Part::text(About::Now, now::standing(conflict, present)),
    ];
    parts.extend(remedy::remedies(conflict, present));
    parts.push(Part::text(About::Note, source(conflict, &clock)));
    parts.retain(|part| !part.text.is_empty());
    Story { parts }
}

/// Where it comes from.
fn source(conflict: &Conflict, clock: &Clock<'_>) -> String {
    format!(
        "Conflict {}, cause {}, seen with the {} hooks. Times are {}.",
        printable(&conflict.id),
        conflict.cause,
        printable(&conflict.backend),
        clock.zone_name(conflict.time)
    )
}

/// One line about an earlier conflict.
pub(super) fn line(conflict: &Conflict, zone: &TimeZone, now: Timestamp) -> String {
    let clock = Clock { zone, now };
    let times = if conflict.count > 1 { format!(" ({} times)", conflict.count) } else { String::new() };
    format!(
        "{}{times}: {} wanted {}; {}. Id {}.",
        clock.time(conflict.first_time),
        words::called(&conflict.victim),
        wanted(conflict),
        because::because(conflict),
        printable(&conflict.id)
    )
}

fn wanted(conflict: &Conflict) -> String {
    match conflict.port {
        0 => format!("any {} port", conflict.protocol),
        _ => format!("{} {}", conflict.protocol, conflict.wanted()),
    }
}
