//! `portwatch why`: the story of the last conflict.

use super::form::Form;
use super::{history, when};
use crate::exit_code::{ExitCode, Refused};
use crate::model::{Conflict, HeldPort, SCHEMA};
use crate::owner::Live;
use crate::sink::{journal, json, terminal};
use crate::store::{self, Reader, StoreError};
use crate::text;
use crate::why::{self, About, Found, Part, Present, Silence, Story, Target};
use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// Width of lines that go into a file or a pipe.
const UNBOUNDED: usize = 100;

/// Tell the story of the last refused port: who had it, how they got it, and what to do
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Examples:
  portwatch why                      the last conflict on this host
  portwatch why 50010                the last one about this port; 50010/udp for one protocol
  portwatch why nginx.service        of a unit, refused or in the way; also: nginx, pid:4121
  portwatch why 2c3d4e5f6-1019       the one that has this id
  portwatch why nginx --since -2h    nothing older
  portwatch why nginx.service --journal   put the answer into the unit's own log (docs/systemd.md)
  portwatch why 50010 -o json | jq -r '.story[] | .text, .commands[]'

A bare number up to 65535 is a port; if nothing is recorded about it, it is tried as a pid. A name is
looked for among the refused first, then among those in the way, then as NAME.service.

It reads what the agent has recorded, whether or not one runs now. What became of the holder, who has
the port now and the commands are always those of this moment. Without any store it tells who has the
port now, and that the past is not known.

With -o json it is one object: schema; target; conflicts, the newest first, as in `trace -o json`; more,
how many earlier ones are left out; present: {time, rebooted, process: runs|ended|unknown|unnamed,
socket: holds|holds-another|let-go|not-seen, port: as in `who -o json`} or null; story: [{about:
answer|how|wanted|clash|now|remedy|earlier|note, text, commands}]. Fields are only ever added.

Exit codes: 0 nothing is recorded; 1 failed; 2 wrong usage; 3 there was a conflict (without a store:
somebody has the port); 4 not permitted.")]
pub struct WhyArgs {
    /// A port, PORT/PROTOCOL, a systemd unit, pid:N, a process name or a conflict id; else the last conflict
    #[arg(value_name = "TARGET", value_parser = Target::parse)]
    target: Option<Target>,

    /// Nothing older: -2h, "1d 3h", yesterday, 03:12, "2026-11-23 03:00", RFC 3339
    #[arg(long, value_name = "T", value_parser = when::flag, allow_hyphen_values = true)]
    since: Option<Timestamp>,

    /// Where the agent has recorded conflicts
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,

    /// How the answer is shown
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t)]
    output: Form,

    /// Put the answer into the journal of the unit that was refused, for `journalctl -u`, and show nothing
    #[arg(long, conflicts_with = "output")]
    journal: bool,
}

/// The answer, in exactly the shape and order of its JSON.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    schema: u32,
    target: Option<String>,
    conflicts: &'a [Conflict],
    more: usize,
    present: Option<&'a Present>,
    story: &'a Story,
}

/// Runs the command.
///
/// # Errors
/// Wrong usage, a store that cannot be read, or an answer that could not be written.
pub fn run(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let target = args.target.clone().unwrap_or(Target::Last);
    if args.journal && !matches!(target, Target::Unit(_)) {
        return Err(Refused::usage("--journal wants a unit by its full name, as in nginx.service").into());
    }
    let path = args.store.as_deref().unwrap_or(Path::new(store::DEFAULT_PATH));
    let Some(history) = open(path, args.store.is_some())? else {
        return without(&target, args.since, Silence::NoStore(path), &[], args.output);
    };
    let found = why::find(&history, &target, args.since)?;
    let Some(last) = found.conflicts.first() else {
        return without(&target, args.since, Silence::NotRecorded(path), &found.gaps, args.output);
    };
    let now = Timestamp::now();
    let present = why::look(last, now, &mut Live::new());
    let story = why::stories(&found, &present, &TimeZone::system(), now);
    match target {
        Target::Unit(unit) if args.journal => return tell_unit(&unit, last, &story),
        _ => show(&target, &found, Some(&present), &story, args.output)?,
    }
    Ok(ExitCode::Found)
}

/// Puts the story into the journal of the unit. Whoever was in another's way has not failed because of that.
fn tell_unit(unit: &str, conflict: &Conflict, story: &Story) -> anyhow::Result<ExitCode> {
    if conflict.victim.unit.as_deref() != Some(unit) {
        println!("{} was refused no port", text::printable(unit));
        return Ok(ExitCode::Done);
    }
    let mut plain = anstream::StripStream::new(Vec::new());
    terminal::write_story(&mut plain, story, UNBOUNDED)?;
    let told = String::from_utf8(plain.into_inner()).context("the story is no text")?;
    journal::send_story(unit, told.trim_end()).context("the journal does not take the answer")?;
    Ok(ExitCode::Found)
}

/// What can be told though nothing is recorded.
fn without(
    target: &Target,
    since: Option<Timestamp>,
    silence: Silence<'_>,
    gaps: &[String],
    form: Form,
) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let held: Option<HeldPort> = match *target {
        Target::Port { port, protocol } => why::port(port, protocol, &mut Live::new()),
        _ => None,
    };
    let since = since.map(|since| {
        let local = since.to_zoned_datetime(TimeZone::system());
        local.strftime("%Y-%m-%d %H:%M:%S").to_string()
    });
    let mut story = why::nothing(target, since.as_deref(), silence, held.as_ref());
    story.parts.extend(gaps.iter().map(|gap| Part::text(About::Note, gap.clone())));
    let is_held = held.as_ref().is_some_and(|held| !held.holders.is_empty());
    let present = held.map(|held| Present { port: Some(held), ..Present::unseen(now) });
    show(target, &Found::default(), present.as_ref(), &story, form)?;
    let is_something = is_held && matches!(silence, Silence::NoStore(_));
    Ok(if is_something { ExitCode::Found } else { ExitCode::Done })
}

fn show(
    target: &Target,
    found: &Found,
    present: Option<&Present>,
    story: &Story,
    form: Form,
) -> io::Result<()> {
    if form == Form::Text {
        let width = terminal::width_of_stdout().unwrap_or(UNBOUNDED);
        return terminal::write_story(&mut anstream::stdout(), story, width);
    }
    let answer = Answer {
        schema: SCHEMA,
        target: target.spelling(),
        conflicts: &found.conflicts,
        more: found.more,
        present,
        story,
    };
    json::write_line(&mut io::stdout(), &answer)
}

/// The history; `None` if there is none where it usually is.
fn open(path: &Path, is_named: bool) -> anyhow::Result<Option<Reader>> {
    match history::open(path) {
        Ok(reader) => Ok(Some(reader)),
        Err(error) if !is_named && is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(StoreError::Missing(_)))
}
