//! The journal: one structured record a conflict, which `journalctl -u` shows under the victim's unit and the culprit's.

mod fields;
#[cfg(test)]
mod reader;
mod sentence;
mod units;
mod wire;

use super::Sink;
use crate::model::Conflict;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// The id of the records about conflicts: `journalctl MESSAGE_ID=…` finds them all. It never changes.
pub const CONFLICT: &str = "db3e281c394745d6be83f4ae323f2471";
/// The id of the records that tell a failed unit why.
pub const STORY: &str = "f9e63e8bad61463c9e3fc4abdb9248f5";
/// Under this name the records stand in the log.
pub const IDENTIFIER: &str = "portwatch";

/// Conflicts whose count is remembered; as many as the correlator follows.
const REMEMBERED: usize = 4_096;

/// Sends one record to this host's journal. A value may be any bytes; names are capitals, digits and `_`.
///
/// # Errors
/// If there is no journald, or it takes nothing for 5 seconds; [`io::ErrorKind::InvalidInput`] for a name that it would
/// not take.
pub fn send(fields: &[(&str, &[u8])]) -> io::Result<()> {
    wire::send(Path::new(SOCKET), fields)
}

/// Sends a text that is about a unit, to be seen under that unit: `unit` as systemctl takes it. The text may have
/// several lines; it must be printable.
///
/// # Errors
/// As [`send`].
pub fn send_story(unit: &str, text: &str) -> io::Result<()> {
    send(&[
        ("MESSAGE", text.as_bytes()),
        ("MESSAGE_ID", STORY.as_bytes()),
        ("PRIORITY", fields::WARNING.as_bytes()),
        ("SYSLOG_IDENTIFIER", IDENTIFIER.as_bytes()),
        ("OBJECT_SYSTEMD_UNIT", unit.as_bytes()),
    ])
}

/// Whether this host has a journal.
pub fn is_there() -> bool {
    Path::new(SOCKET).exists()
}

/// Writes conflicts to the journal.
///
/// A conflict is written when it is new, and again when its count passes 10, 100, 1,000 and so on: a service that is
/// restarted all night must not fill the log with one sentence. No refusal is lost by that, each record has the count.
#[derive(Debug)]
pub struct Journal {
    socket: PathBuf,
    /// The count that was written last, by the conflict's id.
    written: HashMap<String, u64>,
    order: VecDeque<String>,
}

impl Journal {
    /// To this host's journal. Nothing is opened yet.
    pub fn new() -> Self {
        Self::at(PathBuf::from(SOCKET))
    }

    fn at(socket: PathBuf) -> Self {
        Self { socket, written: HashMap::new(), order: VecDeque::new() }
    }

    fn write(&mut self, conflict: &Conflict) -> io::Result<()> {
        let fields = fields::of(conflict)?;
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_ref(), value.as_bytes())).collect();
        wire::send(&self.socket, &fields)?;
        self.remember(conflict);
        Ok(())
    }

    fn remember(&mut self, conflict: &Conflict) {
        if self.written.insert(conflict.id.clone(), conflict.count).is_some() {
            return;
        }
        self.order.push_back(conflict.id.clone());
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.written.remove(&oldest);
        }
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

impl Sink for Journal {
    fn conflict(&mut self, conflict: &Conflict) -> io::Result<()> {
        self.write(conflict)
    }

    fn repeat(&mut self, conflict: &Conflict) -> io::Result<()> {
        let magnitude = |count: u64| count.max(1).ilog10();
        // Not known: its record failed, or is so old that it is forgotten.
        let is_due = match self.written.get(&conflict.id) {
            Some(before) => magnitude(conflict.count) > magnitude(*before),
            None => true,
        };
        if is_due { self.write(conflict) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::reader::Reader;
    use super::*;
    use crate::model::example;

    #[test]
    fn repeats_are_written_at_powers_of_ten() {
        let reader = Reader::new("repeats");
        let mut journal = Journal::at(reader.path().to_path_buf());
        let mut conflict = example::client();
        journal.conflict(&conflict).unwrap();
        reader.record();
        let mut written = Vec::new();
        for count in 2..=1_200 {
            conflict.count = count;
            journal.repeat(&conflict).unwrap();
            if !reader.is_empty() {
                written.push(count);
            }
        }
        assert_eq!(written, [10, 100, 1_000]);
        // Counts come at most once a second, and so pass a power rather than meet it.
        conflict.count = 25_000;
        journal.repeat(&conflict).unwrap();
        assert!(reader.record().contains(&("PORTWATCH_COUNT".to_owned(), b"25000".to_vec())));
    }

    #[test]
    fn a_record_that_failed_is_made_up_for_by_the_next() {
        let reader = Reader::new("failed");
        let mut journal = Journal::at("/nowhere/socket".into());
        let mut conflict = example::client();
        assert!(journal.conflict(&conflict).is_err());
        journal.socket = reader.path().to_path_buf();
        conflict.count = 2;
        journal.repeat(&conflict).unwrap();
        assert!(reader.record().contains(&("PORTWATCH_COUNT".to_owned(), b"2".to_vec())));
    }

    #[test]
    fn memory_is_bounded() {
        let reader = Reader::new("bounded");
        let mut journal = Journal::at(reader.path().to_path_buf());
        let mut conflict = example::client();
        for number in 0..REMEMBERED + 50 {
            conflict.id = number.to_string();
            journal.remember(&conflict);
        }
        assert_eq!((journal.written.len(), journal.order.len()), (REMEMBERED, REMEMBERED));
    }

    #[test]
    fn message_ids_have_the_form_that_journald_wants() {
        for id in [CONFLICT, STORY] {
            assert!(id.len() == 32 && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{id}");
        }
    }
}
