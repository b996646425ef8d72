//! Recordings of a made-up world: made, replayed, cut off, damaged, forged.

mod file;
mod hostile;
mod replay;
mod world;

use super::format::{HEAD, OPENING, TAIL};
use super::{ReadError, Reader, Step};
use crate::cli::{Printer, replay as command};
use crate::filter::Filter;
use crate::ledger::Summary;
use crate::sink::Sink;
use crate::sink::json::Json;
use crate::sink::terminal::{Form, Terminal};
use jiff::tz::TimeZone;
use std::io::Write;
use world::Shared;

/// All steps up to the end, or up to an error.
fn steps(recording: &[u8]) -> (Vec<Step>, Option<ReadError>) {
    let mut reader = match Reader::open(recording) {
        Ok((reader, _)) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut steps = Vec::new();
    loop {
        match reader.step() {
            Ok(step @ Step::End(_)) => {
                steps.push(step);
                return (steps, None);
            }
            Ok(step) => steps.push(step),
            Err(error) => return (steps, Some(error)),
        }
    }
}

/// What the replay shows in a form, and how it went; nothing if it is no recording at all.
fn shown(recording: &[u8], form: Option<Form>) -> (String, Option<command::Replay>, Summary) {
    let out = Shared::default();
    let sink: Box<dyn Sink> = match form {
        Some(form) => Box::new(Terminal::new(
            anstream::StripStream::new(Box::new(out.clone()) as Box<dyn Write + Send>),
            form,
            120,
            TimeZone::UTC,
        )),
        None => Box::new(Json::new(out.clone())),
    };
    let mut printer = Printer::new(sink, Filter::default(), None);
    let Ok((reader, header)) = Reader::open(recording) else { return Default::default() };
    let replay = command::replay(reader, &header, &mut printer).expect("memory takes everything");
    (String::from_utf8(out.bytes()).expect("text"), Some(replay), printer.summary().clone())
}

/// Where the frames begin and end.
fn frames(recording: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut found) = (OPENING, Vec::new());
    while at < recording.len() {
        let length = u32::from_le_bytes(recording[at + 1..at + HEAD].try_into().expect("four bytes"));
        let end = at + HEAD + usize::try_from(length).expect("fits") + TAIL;
        found.push((at, end));
        at = end;
    }
    found
}
