//! A person's own list of ports: a line is `PORT[-PORT][/PROTOCOL][ NAME]`, and `#` begins a comment.

use super::Configured;
use crate::cli::values;
use crate::exit_code::Refused;
use crate::model::{ConfiguredBy, Protocol};
use crate::owner::rooted::{Unreadable, regular};
use crate::text;
use crate::who::PROTOCOLS;
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// A longer list is refused.
const MOST: usize = 4 << 20;
/// The name of the standard input.
const STDIN: &str = "-";

/// The ports in a list.
///
/// # Errors
/// Wrong usage: it cannot be read, or a line is none of a list; with the line's number.
pub(super) fn read(path: &Path) -> Result<Vec<Configured>, Refused> {
    let is_stdin = path.as_os_str() == STDIN;
    let shown = match is_stdin {
        true => "standard input".to_owned(),
        false => text::printable_bytes(path.as_os_str().as_encoded_bytes()),
    };
    let bytes = if is_stdin { from(io::stdin()) } else { open(path) };
    let bytes = bytes.map_err(|why| {
        let hint = match why {
            Unreadable::NotRegular => "; pipe it in and give - as the file",
            _ => "",
        };
        Refused::usage(format!("the list of ports {shown} could not be read: {why}{hint}"))
    })?;
    let lines = parse(&bytes).map_err(|(line, why)| Refused::usage(format!("{shown}:{line}: {why}")))?;
    let port = |one: Line| Configured {
        path: (!is_stdin).then(|| PathBuf::from(path)),
        line: Some(one.number),
        ..Configured::new(
            one.ports,
            one.protocol,
            ConfiguredBy::File,
            one.name.unwrap_or_else(|| format!("{shown}:{}", one.number)),
        )
    };
    Ok(lines.into_iter().map(port).collect())
}

fn open(path: &Path) -> Result<Vec<u8>, Unreadable> {
    // NONBLOCK: opening a pipe must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    regular(openat(CWD, path, flags, Mode::empty()).map_err(io::Error::from)?, MOST)
}

fn from(input: impl io::Read) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    input.take(MOST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MOST { Err(Unreadable::TooLarge(MOST)) } else { Ok(bytes) }
}

/// A line that names ports.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    ports: RangeInclusive<u16>,
    protocol: Protocol,
    name: Option<String>,
    number: u32,
}

/// Reads the whole list, or says which line is wrong and why. Pure.
fn parse(bytes: &[u8]) -> Result<Vec<Line>, (u32, String)> {
    let mut all = Vec::new();
    for (line, number) in bytes.split(|&byte| byte == b'\n').zip(1_u32..) {
        let line = std::str::from_utf8(line).map_err(|_| (number, "it is not text (UTF-8)".to_owned()))?;
        let line = line.strip_prefix('\u{feff}').filter(|_| number == 1).unwrap_or(line);
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let (ports, name) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let (ports, protocol) = ports_of(ports).map_err(|why| {
            let shown = text::printable(line);
            (number, format!("`{}`: {why}", text::truncate(&shown, 60)))
        })?;
        let name = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
        all.push(Line { ports, protocol, name, number });
    }
    Ok(all)
}

fn ports_of(text: &str) -> Result<(RangeInclusive<u16>, Protocol), String> {
    let (ports, name) = text.split_once('/').map_or((text, None), |(ports, name)| (ports, Some(name)));
    let protocol = match name {
        Some(name) => PROTOCOLS.into_iter().find(|protocol| protocol.as_str() == name),
        None => Some(Protocol::Tcp),
    };
    let wanted = "a line is PORT[-PORT][/PROTOCOL][ NAME]";
    let ports = values::port_range(ports).map_err(|why| format!("{why}; {wanted}"))?;
    Ok((ports, protocol.ok_or("the protocol after the port is tcp, udp, udplite or sctp")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::owner::scratch::Scratch;
    use proptest::prelude::*;
    use rustix::fs::{FileType, mknodat};

    #[test]
    fn a_list_has_ports_ranges_protocols_names_and_comments() {
        let text = "# our ports\r\n50051/tcp  grpc of shop # x\n\n60000-60010/udp\n 8080\n";
        let line = |ports, protocol, name: Option<&str>, number| Line {
            ports,
            protocol,
            name: name.map(str::to_owned),
            number,
        };
        assert_eq!(
            parse(text.as_bytes()).expect("a list"),
            [
                line(50_051..=50_051, Protocol::Tcp, Some("grpc of shop"), 2),
                line(60_000..=60_010, Protocol::Udp, None, 4),
                line(8_080..=8_080, Protocol::Tcp, None, 5)
            ]
        );
        assert_eq!(parse(b"\xef\xbb\xbf# x\n"), Ok(vec![]));
    }

    #[test]
    fn a_wrong_line_is_told_by_its_number() {
        for (text, line, part) in [
            ("80\nhttp\n", 2, "`http`: a port is a number"),
            ("0", 1, "1 to 65535"),
            ("9-8", 1, "write 8-9"),
            ("80/icmp", 1, "tcp, udp"),
            ("80/", 1, "tcp, udp"),
            ("\u{1b}[2J", 1, "\\x1b"),
            ("80,81", 1, "a line is PORT"),
        ] {
            let (number, why) = parse(text.as_bytes()).expect_err(text);
            assert!(number == line && why.contains(part) && !why.contains('\u{1b}'), "{number} {why}");
        }
        assert_eq!(parse(b"80\n\xff\n").expect_err("no text").0, 2);
    }

    #[test]
    fn what_cannot_be_read_is_wrong_usage_and_nothing_hangs() {
        let scratch = Scratch::new("list");
        scratch.write("list", "50051 grpc\n60000\n");
        scratch.write("wrong", "50051\n\nx\n");
        scratch.write("huge", &"#".repeat(MOST + 1));
        let file = |name: &str| scratch.path().join(name);
        mknodat(CWD, file("pipe"), FileType::Fifo, Mode::RUSR, 0).expect("a pipe");
        std::os::unix::fs::symlink("circle", file("circle")).expect("a link");
        let found = read(&file("list")).expect("a list");
        assert_eq!((found[0].name.as_str(), found[0].line), ("grpc", Some(1)));
        assert!(found[1].name.ends_with("/list:2") && found[1].path == Some(file("list")), "{found:?}");
        for (name, part) in [
            ("wrong", "wrong:3: `x`"),
            ("none", "no such file"),
            ("", "not a regular file"),
            ("pipe", "give - as the file"),
            ("huge", "larger than"),
            ("circle", "could not be read"),
        ] {
            let error = read(&file(name)).expect_err(name);
            assert_eq!(error.code, ExitCode::Usage);
            assert!(error.message.contains(part), "{error}");
        }
    }

    #[test]
    fn an_endless_input_is_refused() {
        assert!(matches!(from(io::repeat(b'#')), Err(Unreadable::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_list_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn lists_are_read(text in "([0-9]{0,6}-?[0-9]{0,6}/?(tcp|udp)?[ #a]{0,3}\n?){0,10}") {
            if let Ok(all) = parse(text.as_bytes()) {
                prop_assert!(all.iter().all(|line| *line.ports.start() != 0 && line.ports.start() <= line.ports.end()));
            }
        }
    }
}
