//! The text of a systemd unit file or drop-in → its assignments, as systemd's own parser takes them. Pure.

use crate::text;

/// `Key=value` below a `[Section]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub(super) section: String,
    pub(super) key: String,
    /// Without blanks around it; quotes are part of it, since they mean nothing to the keys that are read here.
    pub(super) value: String,
    /// Where it begins, from 1.
    pub(super) line: u32,
}

/// Reads all of it; what is neither section nor assignment says nothing.
pub(super) fn assignments(bytes: &[u8]) -> Vec<Assignment> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut all = Vec::new();
    let mut section = String::new();
    let mut begun: Option<(u32, String)> = None;
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1_u32..) {
        let line = text::lossy(line.strip_suffix(b"\r").unwrap_or(line));
        let line = line.trim_start_matches(BLANKS);
        // Also in the midst of a continued line.
        if line.starts_with(['#', ';']) {
            continue;
        }
        let (first, mut whole) = begun.take().unwrap_or((number, String::new()));
        let backslashes = line.len() - line.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            whole.push_str(&line[..line.len() - 1]);
            whole.push(' ');
            begun = Some((first, whole));
            continue;
        }
        whole.push_str(line);
        take(&whole, first, &mut section, &mut all);
    }
    if let Some((first, whole)) = begun {
        take(&whole, first, &mut section, &mut all);
    }
    all
}

const BLANKS: [char; 3] = [' ', '\t', '\r'];

fn take(line: &str, number: u32, section: &mut String, all: &mut Vec<Assignment>) {
    let line = line.trim_matches(BLANKS);
    if let Some(rest) = line.strip_prefix('[') {
        *section = rest.strip_suffix(']').unwrap_or_default().to_owned();
    } else if let Some((key, value)) = line.split_once('=') {
        all.push(Assignment {
            section: section.clone(),
            key: key.trim_matches(BLANKS).to_owned(),
            value: value.trim_matches(BLANKS).to_owned(),
            line: number,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Vec<(String, String, String, u32)> {
        let all = assignments(text.as_bytes()).into_iter();
        all.map(|one| (one.section, one.key, one.value, one.line)).collect()
    }

    fn one(section: &str, key: &str, value: &str, line: u32) -> (String, String, String, u32) {
        (section.into(), key.into(), value.into(), line)
    }

    #[test]
    fn sections_comments_and_blanks() {
        let text = "\u{feff}# x\n[Unit]\nA=1\n\n ; y=2\n[Socket]\r\n  ListenStream =  80 \r\nB=\n[broken\nC=3\nnonsense\n";
        assert_eq!(
            read(text),
            [
                one("Unit", "A", "1", 3),
                one("Socket", "ListenStream", "80", 7),
                one("Socket", "B", "", 8),
                one("", "C", "3", 10),
            ]
        );
    }

    #[test]
    fn a_line_goes_on_after_a_backslash_and_comments_in_it_are_passed_over() {
        let text = "[S]\nA=one \\\n# not this\n  two\\\nthree\nB=c\\\\\nD=\"q\"\nE=end\\";
        assert_eq!(
            read(text),
            [
                one("S", "A", "one  two three", 2),
                one("S", "B", "c\\\\", 6),
                one("S", "D", "\"q\"", 7),
                one("S", "E", "end", 8)
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = assignments(&bytes);
        }

        #[test]
        fn text_that_looks_like_a_unit_is_read(text in "[\\[\\]A-c= \\\\\n\r#;0-9:]{0,200}") {
            let lines = text.split('\n').count();
            prop_assert!(assignments(text.as_bytes()).len() <= lines);
        }
    }
}
