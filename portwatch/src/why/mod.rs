//! The morning after: a conflict of the past, told in plain words. [`find()`] looks for it, [`look()`] for what there is of
//! it now, and [`story()`] puts both into sentences; only `look` touches the host.

mod because;
mod clash;
mod find;
mod history;
mod how;
mod look;
mod nothing;
mod now;
mod present;
mod remedy;
mod story;
mod target;
#[cfg(test)]
mod tests;
mod words;

pub use find::{EARLIER, Found, find};
pub use history::History;
pub use look::{look, port};
pub use nothing::{Silence, nothing};
pub use present::{Hold, Life, Present};
pub use story::{About, Part, Story, story};
pub use target::Target;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The story of everything that was found: the last conflict in full, the earlier ones in one line each.
pub fn stories(found: &Found, present: &Present, zone: &TimeZone, now: Timestamp) -> Story {
    let Some((last, earlier)) = found.conflicts.split_first() else { return Story::default() };
    let mut told = story(last, present, zone, now);
    let mut parts: Vec<Part> =
        earlier.iter().map(|one| Part::text(About::Earlier, story::line(one, zone, now))).collect();
    if found.more > 0 {
        let least = if found.is_cut { "at least " } else { "" };
        let commands = vec![format!("portwatch history {}", found.filter).trim_end().to_owned()];
        parts.push(Part {
            about: About::Earlier,
            text: format!("And {least}{} more:", found.more),
            commands,
        });
    }
    parts.extend(found.note.iter().chain(&found.gaps).map(|note| Part::text(About::Note, note.clone())));
    // Before the notes, which are small print.
    let at = told.parts.iter().position(|part| part.about == About::Note).unwrap_or(told.parts.len());
    told.parts.splice(at..at, parts);
    told
}
