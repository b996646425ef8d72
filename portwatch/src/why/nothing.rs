//! What is told where nothing is recorded: who has the port now, and how to have it remembered from now on. Pure.

use super::now;
use super::story::{About, Part, Story};
use super::target::Target;
use super::words;
use crate::model::{HeldPort, HeldSocket};
use crate::text::printable;
use std::path::Path;

/// Sockets that are told one by one.
const SHOWN: usize = 5;

/// Why nothing is known of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence<'a> {
    /// There is no store: no agent ever ran here.
    NoStore(&'a Path),
    /// There is one, with nothing about the target in it.
    NotRecorded(&'a Path),
}

/// The answer, from who has the port now, if it is about a port. `since` is the time before which nothing was wanted.
pub fn nothing(target: &Target, since: Option<&str>, silence: Silence<'_>, held: Option<&HeldPort>) -> Story {
    let mut parts = vec![Part::text(About::Answer, headline(target, since, held))];
    if let Some(held) = held {
        parts.extend(also(held).map(|text| Part::text(About::Now, text)));
        parts.extend(held.advice.iter().map(|advice| Part {
            about: About::Remedy,
            text: printable(&format!("Reserve the port: {}.", advice.why)).into_owned(),
            commands: advice.commands.clone(),
        }));
    }
    parts.push(past(silence));
    if let Some(held) = held {
        parts.extend(held.unseen.iter().map(|note| Part::text(About::Note, format!("{}.", printable(note)))));
    }
    Story { parts }
}

fn headline(target: &Target, since: Option<&str>, held: Option<&HeldPort>) -> String {
    let about = match target {
        Target::Last => "on this host".to_owned(),
        _ => format!("about {target}"),
    };
    let since = since.map_or_else(String::new, |since| format!(" since {since}"));
    let nothing = format!("No conflict is recorded {about}{since}");
    match held.map(|held| held.holders.as_slice()) {
        None => format!("{nothing}."),
        Some([]) => format!("{nothing}, and nobody has the port now."),
        Some([first, ..]) => format!("{nothing}. The port is now held by {}.", has(first)),
    }
}

/// A holder, as the end of that sentence.
fn has(held: &HeldSocket) -> String {
    format!("{} ({})", now::holds(held), held.protocol)
}

/// The others on the port.
fn also(held: &HeldPort) -> Option<String> {
    let others = held.holders.get(1..).filter(|others| !others.is_empty())?;
    let mut told: Vec<String> = Vec::new();
    for text in others.iter().map(has) {
        if !told.contains(&text) {
            told.push(text);
        }
    }
    let more = told.len().saturating_sub(SHOWN);
    told.truncate(SHOWN);
    if more > 0 {
        told.push(format!("{more} more (portwatch who {})", held.port));
    }
    Some(format!("Also on the port: {}.", words::listed(&told)))
}

fn past(silence: Silence<'_>) -> Part {
    let shown = |path: &Path| printable(&path.to_string_lossy()).into_owned();
    match silence {
        Silence::NoStore(path) => Part {
            about: About::Note,
            text: format!(
                "The past is not known: no portwatch agent has run here, there is no store at {}. To have refused ports remembered from now on, start the agent (without systemd: `portwatch agent`):",
                shown(path)
            ),
            commands: vec!["systemctl enable --now portwatch".to_owned()],
        },
        Silence::NotRecorded(path) => Part::text(
            About::Note,
            format!(
                "The store {} has no such conflict. What happened while no agent ran is not in it: `portwatch doctor` says whether one runs, `portwatch history` what there is.",
                shown(path)
            ),
        ),
    }
}
