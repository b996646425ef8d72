//! Untrusted text made fit for a terminal, and cut to a width in columns.
//!
//! comm, argv, unit and container names are chosen by whoever runs the process: an escape sequence in one of them
//! must never reach the terminal, and a bidi override must not turn the table around.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A NUL-padded name as text.
pub fn lossy_comm(comm: &[u8]) -> String {
    let end = comm.iter().position(|&byte| byte == 0).unwrap_or(comm.len());
    lossy(&comm[..end])
}

/// Bytes as text for a terminal: what is not UTF-8 is shown as `\xNN`, what would act on a terminal is escaped.
pub fn printable_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// Text for a terminal: controls, bidi and invisible format characters are escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts_on_terminal) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match (c, u32::from(c)) {
            _ if !acts_on_terminal(c) => out.push(c),
            ('\n', _) => out.push_str("\\n"),
            ('\t', _) => out.push_str("\\t"),
            ('\r', _) => out.push_str("\\r"),
            (_, code @ ..0x100) => out.push_str(&format!("\\x{code:02x}")),
            (_, code) => out.push_str(&format!("\\u{{{code:x}}}")),
        }
    }
    Cow::Owned(out)
}

/// Whether a terminal would obey the character, or hide it, instead of showing it.
pub fn acts_on_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Width on the terminal, in columns.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` cut to `columns`, the cut shown by `…`.
pub fn truncate(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut used = 1; // the ellipsis
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    Cow::Owned(out)
}

/// The same, but cut at the beginning: of a pod's name the end tells it from its sisters.
pub fn truncate_start(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut used = 1; // the ellipsis
    let kept = text.char_indices().rev().take_while(|(_, c)| {
        used += c.width().unwrap_or(0);
        used <= columns
    });
    let from = kept.last().map_or(text.len(), |(at, _)| at);
    Cow::Owned(if columns > 0 { format!("…{}", &text[from..]) } else { String::new() })
}

/// `head` followed by `tail`, cut to `columns` by shortening `head` only: a pid or a port must stay whole.
pub fn truncate_head(head: &str, tail: &str, columns: usize) -> String {
    let room = columns.saturating_sub(width(tail));
    format!("{}{tail}", truncate(head, room))
}

/// `text` with blanks up to `columns`.
pub fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// Arguments as one line that a shell would split into the same arguments.
pub fn command_line<S: AsRef<str>>(arguments: &[S]) -> String {
    let quoted: Vec<_> = arguments.iter().map(|argument| quote(argument.as_ref())).collect();
    quoted.join(" ")
}

fn quote(argument: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+…\u{fffd}".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        Cow::Borrowed(argument)
    } else {
        Cow::Owned(format!("'{}'", argument.replace('\'', r"'\''")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(printable("nginx: worker"), "nginx: worker");
        assert_eq!(printable("\u{1b}[31mred\u{7}"), "\\x1b[31mred\\x07");
        assert_eq!(printable("a\nb\tc\rd"), "a\\nb\\tc\\rd");
        assert_eq!(printable("\u{9b}2J"), "\\x9b2J", "C1 CSI");
        assert_eq!(printable("abc\u{202e}cba"), "abc\\u{202e}cba", "bidi override");
        assert_eq!(printable("日本"), "日本");
        assert_eq!(printable_bytes(b"ok\xff\xfe\x1b"), "ok\\xff\\xfe\\x1b");
    }

    #[test]
    fn cuts_count_columns_not_bytes() {
        assert_eq!(truncate("abcdef", 6), "abcdef");
        assert_eq!(truncate("abcdefg", 6), "abcde…");
        assert_eq!(truncate("日本語", 5), "日本…");
        assert_eq!(truncate("日本語", 4), "日…");
        assert_eq!(truncate("abc", 0), "");
        assert_eq!(
            (truncate_start("abcdef", 6), truncate_start("abcdefg", 6)),
            ("abcdef".into(), "…cdefg".into())
        );
        assert_eq!((truncate_start("日本語", 4), truncate_start("abc", 0)), ("…語".into(), "".into()));
        assert_eq!(truncate_head("long-program-name", "[4121]", 12), "long-…[4121]");
        assert_eq!(pad("日", 4), "日  ");
    }

    #[test]
    fn command_lines_can_be_pasted() {
        assert_eq!(command_line(&["nginx", "-g", "daemon off;"]), "nginx -g 'daemon off;'");
        assert_eq!(command_line(&["a", "", "it's"]), r"a '' 'it'\''s'");
    }

    #[test]
    fn a_comm_ends_at_its_first_nul() {
        assert_eq!(lossy_comm(b"nginx\0\0\0garbage\0"), "nginx");
        assert_eq!(lossy_comm(b"sixteen-bytes-xy"), "sixteen-bytes-xy");
    }

    proptest! {
        #[test]
        fn nothing_printable_acts_on_a_terminal(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!printable_bytes(&bytes).chars().any(acts_on_terminal));
            prop_assert!(!printable(&lossy(&bytes)).chars().any(acts_on_terminal));
        }

        #[test]
        fn a_cut_never_exceeds_its_columns(text in "\\PC{0,40}", columns in 0_usize..50) {
            prop_assert!(width(&truncate(&text, columns)) <= columns.max(width(&text).min(columns)));
        }
    }
}
