//! Ports of /etc/services, of the services that are asked for by name.

use super::Configured;
use crate::exit_code::Refused;
use crate::model::{ConfiguredBy, Protocol};
use crate::owner::rooted::Root;
use crate::text;
use std::collections::BTreeSet;
use std::path::PathBuf;

const SERVICES: &str = "/etc/services";
/// A longer file is not read.
const MOST: usize = 16 << 20;
/// Asks for all of them.
const ALL: &str = "all";
/// Names that are suggested instead of one that is unknown.
const SUGGESTED: usize = 3;
/// Longer names are not compared letter by letter.
const LONGEST: usize = 64;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service<'a> {
    /// The name, then its aliases.
    names: Vec<&'a str>,
    port: u16,
    protocol: Protocol,
    line: u32,
}

/// The ports of these services.
///
/// # Errors
/// If one is unknown, or there is no file to look it up in.
pub(super) fn read(root: &Root, wanted: &[String]) -> Result<Vec<Configured>, Refused> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = root.load(SERVICES, MOST).map_err(|why| {
        Refused::usage(format!(
            "services are looked up in {SERVICES}, which could not be read: {why}\n  remedy: install it (Debian: apt install netbase), or give the ports as numbers"
        ))
    })?;
    let content = text::lossy(&bytes);
    let all = parse(&content);
    let mut found = Vec::new();
    for name in wanted {
        let fitting = all.iter().filter(|service| name == ALL || service.names.contains(&name.as_str()));
        let before = found.len();
        found.extend(fitting.map(|service| Configured {
            path: Some(PathBuf::from(SERVICES)),
            line: Some(service.line),
            ..Configured::new(
                service.port..=service.port,
                service.protocol,
                ConfiguredBy::Services,
                if name == ALL { service.names[0] } else { name.as_str() },
            )
        }));
        if found.len() == before && name != ALL {
            return Err(unknown(name, &all));
        }
    }
    Ok(found)
}

/// Lines that name a port of a protocol that has ports here; the others are no concern of ours.
fn parse(content: &str) -> Vec<Service<'_>> {
    content.split('\n').zip(1..).filter_map(|(line, number)| service(line, number)).collect()
}

fn service(line: &str, number: u32) -> Option<Service<'_>> {
    let mut words = line.split('#').next()?.split_ascii_whitespace();
    let name = words.next()?;
    let (port, protocol) = words.next()?.split_once('/')?;
    let protocol = protocol.parse().ok()?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some(Service { names: std::iter::once(name).chain(words).collect(), port, protocol, line: number })
}

fn unknown(name: &str, all: &[Service<'_>]) -> Refused {
    let shown = text::printable(name);
    let names: BTreeSet<&str> = all.iter().flat_map(|service| service.names.iter().copied()).collect();
    let mut near: Vec<(usize, &str)> =
        names.into_iter().filter_map(|known| Some((distance(name, known)?, known))).collect();
    near.sort_unstable();
    let near: Vec<_> = near.into_iter().take(SUGGESTED).map(|(_, known)| text::printable(known)).collect();
    let hint = match near.is_empty() {
        true => {
            format!("`grep -i {} {SERVICES}` may find it under another name", text::command_line(&[&shown]))
        }
        false => format!("did you mean {}?", near.join(", ")),
    };
    Refused::usage(format!("{SERVICES} has no service called {shown}; {hint}"))
}

/// How many letters two names differ in, if few: a name within the other is as near as one wrong letter.
fn distance(wanted: &str, known: &str) -> Option<usize> {
    let (wanted, known) = (wanted.to_lowercase(), known.to_lowercase());
    if wanted.len() > LONGEST || known.len() > LONGEST || wanted.is_empty() {
        return None;
    }
    if wanted.len() >= 3 && (known.starts_with(&wanted) || wanted.starts_with(&known) && known.len() >= 3) {
        return Some(1);
    }
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in wanted.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in known.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    // Of a short name two wrong letters leave nothing.
    row.last().copied().filter(|&letters| letters <= 2 && letters * 2 < wanted.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::owner::scratch::Scratch;
    use proptest::prelude::*;

    const TEXT: &str = "# services\ntcpmux\t\t1/tcp\t# comment\n\npostgresql 5432/tcp postgres # x\npostgresql\t5432/udp postgres\n\
        mysql 3306/tcp\nodd 99999/tcp\nodd zero/tcp\nodd 0/tcp\nodd 7/ddp\nodd\nm3ua 2905/sctp\n\u{1b}[2J 77/tcp\n";

    fn ask(wanted: &[&str]) -> Result<Vec<(u16, Protocol, String, u32)>, Refused> {
        let scratch = Scratch::new(&format!("services-{:?}", std::thread::current().id()));
        scratch.write("etc/services", TEXT);
        let root = Root::open(scratch.path()).expect("a folder");
        let wanted: Vec<_> = wanted.iter().map(|&name| name.to_owned()).collect();
        let row =
            |one: Configured| (*one.ports.start(), one.protocol, one.name, one.line.unwrap_or_default());
        Ok(read(&root, &wanted)?.into_iter().map(row).collect())
    }

    #[test]
    fn services_are_found_by_name_and_alias_and_all_at_once() {
        let row = |port, protocol, name: &str, line| (port, protocol, name.to_owned(), line);
        let found = ask(&["postgres", "mysql"]).expect("known");
        assert_eq!(
            found,
            [
                row(5_432, Protocol::Tcp, "postgres", 4),
                row(5_432, Protocol::Udp, "postgres", 5),
                row(3_306, Protocol::Tcp, "mysql", 6)
            ]
        );
        let all = ask(&["all"]).expect("known");
        assert_eq!(all.iter().map(|row| row.0).collect::<Vec<_>>(), [1, 5_432, 5_432, 3_306, 2_905, 77]);
        assert_eq!(all[4].1, Protocol::Sctp);
        assert_eq!(ask(&[]).expect("nothing asked"), []);
    }

    #[test]
    fn an_unknown_name_is_refused_with_near_ones() {
        let error = ask(&["mysql", "postgersql"]).expect_err("unknown");
        assert_eq!(error.code, ExitCode::Usage);
        assert!(error.message.contains("postgersql; did you mean postgresql?"), "{error}");
        let error = ask(&["postg"]).expect_err("unknown");
        assert!(error.message.contains("did you mean postgres, postgresql?"), "{error}");
        let error = ask(&["nothing\u{1b}[2J"]).expect_err("unknown");
        assert!(!error.message.contains('\u{1b}') && error.message.contains("grep -i"), "{error}");
    }

    #[test]
    fn without_the_file_nothing_can_be_looked_up() {
        let scratch = Scratch::new("services-none");
        let root = Root::open(scratch.path()).expect("a folder");
        let error = read(&root, &["all".to_owned()]).expect_err("no file");
        assert!(error.message.contains("there is no such file"), "{error}");
        assert_eq!(read(&root, &[]).expect("nothing asked"), []);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,100}", other in "\\PC{0,20}") {
            let all = parse(&text);
            let _ = (unknown(&other, &all), distance(&text, &other), distance(&other, &text));
        }

        #[test]
        fn lines_of_services_are_read(text in "([a-c]{0,3}[ \t]?[0-9]{0,6}/?(tcp|udp|sctp)? ?#?\n?){0,20}") {
            prop_assert!(parse(&text).iter().all(|service| service.port != 0 && !service.names.is_empty()));
        }
    }
}
