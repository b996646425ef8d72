//! JSON, one object a line, flushed at once: a reader behind a pipe must not wait for the next conflict.

use super::Sink;
use crate::model::Conflict;
use crate::text;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// Writes to any stream.
#[derive(Debug)]
pub struct Json<W> {
    out: W,
}

impl<W: Write> Json<W> {
    /// Nothing is written until there is a conflict.
    pub const fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write> Sink for Json<W> {
    fn conflict(&mut self, conflict: &Conflict) -> io::Result<()> {
        write_line(&mut self.out, conflict)
    }

    fn repeat(&mut self, conflict: &Conflict) -> io::Result<()> {
        self.conflict(conflict)
    }
}

/// Writes one object on one line.
///
/// # Errors
/// If it could not be written; a broken pipe among them.
pub fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut line, Harmless))?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

/// Compact, and harmless on a terminal: JSON itself escapes only the controls below a blank, and leaves DEL, the C1
/// controls and bidi overrides of a hostile process name as they are.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly all text is this; JSON has escaped the controls below a blank by itself.
        if fragment.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|&(_, c)| text::acts_on_terminal(c)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    #[test]
    fn every_key_is_there_in_the_documented_order() {
        let mut sink = Json::new(Vec::new());
        sink.conflict(&example::client()).expect("a vector takes everything");
        let line = String::from_utf8(sink.out).expect("JSON is UTF-8");
        let keys = [
            "schema",
            "id",
            "time",
            "count",
            "first_time",
            "operation",
            "errno",
            "protocol",
            "address",
            "port",
            "netns",
            "backend",
            "victim",
            "holders",
            "cause",
            "range",
            "advice",
            "options",
        ];
        let mut at = 0;
        for key in keys {
            let found =
                line[at..].find(&format!("\"{key}\":")).unwrap_or_else(|| panic!("{key} in order: {line}"));
            at += found;
        }
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains(r#""schema":1,"#) && line.contains(r#""errno":"EADDRINUSE","protocol":"tcp""#));
        assert!(line.contains(r#""first_time":"2026-11-24T03:12:44.000000000Z""#), "{line}");
        assert!(line.contains(r#""creator":null"#) && line.contains(r#""evidence":"kernel-verdict""#));
        assert!(line.contains(r#""remote":"10.0.0.9:2379""#) && line.contains(r#""pod":null"#));
        assert!(line.contains(
            r#""uid":0,"user":null,"cgroup":"/system.slice/nginx.service","unit":"nginx.service","slice":"system.slice","container":null,"container_runtime":null,"container_name":null,"pod":null,"pod_name":null,"pod_namespace":null}"#
        ));
    }

    #[test]
    fn what_is_written_can_be_read_back() {
        let mut conflict = example::client();
        conflict.victim.comm = HOSTILE.into();
        conflict.holders[0].unnamed_reason = Some(crate::model::UnnamedReason::AlreadyGone);
        let mut sink = Json::new(Vec::new());
        sink.conflict(&conflict).expect("a vector takes everything");
        let back: Conflict = serde_json::from_slice(&sink.out).expect("valid JSON");
        assert_eq!(back, conflict);
    }

    #[test]
    fn what_an_earlier_version_wrote_can_be_read() {
        let mut value = serde_json::to_value(example::client()).expect("JSON");
        value.as_object_mut().expect("an object").remove("options");
        value["holders"][0].as_object_mut().expect("an object").remove("options");
        let back: Conflict = serde_json::from_value(value).expect("an older conflict");
        assert_eq!((back.options, back.holders[0].options), (None, None), "not known, which is not unset");
    }

    const HOSTILE: &str = "\u{1b}[2J\n\u{fffd}\"\u{7f}\u{9b}31m\u{202e}\u{e0001}é";

    #[test]
    fn hostile_names_stay_data() {
        let mut conflict = example::client();
        conflict.victim.comm = HOSTILE.into();
        let mut sink = Json::new(Vec::new());
        sink.conflict(&conflict).expect("a vector takes everything");
        let line = String::from_utf8(sink.out).expect("JSON is UTF-8");
        let body = line.trim_end();
        assert!(!body.chars().any(text::acts_on_terminal), "{body:?}");
        let value: serde_json::Value = serde_json::from_str(body).expect("valid JSON");
        assert_eq!(value["victim"]["comm"], HOSTILE);
    }
}
