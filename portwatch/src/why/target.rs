//! What is asked about: the text of the command line → what to look for. Pure.

use crate::model::Protocol;
use crate::who::PROTOCOLS;
use std::fmt;

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The last conflict there was.
    Last,
    /// A port, of one protocol or of any. A bare number may be a pid as well, which is tried afterwards.
    Port {
        /// The port.
        port: u16,
        /// Of one protocol only.
        protocol: Option<Protocol>,
    },
    /// A process id.
    Pid(u32),
    /// A systemd unit, by its full name.
    Unit(String),
    /// A conflict by its id, or a name that looks like one.
    Id(String),
    /// A process, or a unit without its ending.
    Name(String),
}

/// Endings of units that a process may run in.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".slice", ".mount"];

impl Target {
    /// Reads the argument.
    ///
    /// # Errors
    /// In one line, what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err(
                "say a port, a port with protocol (53/udp), a unit, pid:N, a process name or a conflict id"
                    .to_owned(),
            );
        }
        if let Some(pid) = text.strip_prefix("pid:") {
            return pid
                .trim()
                .parse()
                .ok()
                .filter(|pid| *pid > 0)
                .map(Self::Pid)
                .ok_or_else(|| "a process id is a whole number from 1, as in pid:4121".to_owned());
        }
        if let Some((number, name)) = text.split_once('/')
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            let known = PROTOCOLS.into_iter().find(|protocol| protocol.as_str() == name);
            let protocol = known.ok_or("the protocol after the port is tcp, udp, udplite or sctp")?;
            return Ok(Self::Port { port: port(number)?, protocol: Some(protocol) });
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::number(text);
        }
        if UNITS.iter().any(|ending| text.len() > ending.len() && text.ends_with(ending)) {
            return Ok(Self::Unit(text.to_owned()));
        }
        Ok(if is_id(text) { Self::Id(text.to_owned()) } else { Self::Name(text.to_owned()) })
    }

    /// As it would be typed; `None` for [`Self::Last`].
    pub fn spelling(&self) -> Option<String> {
        Some(match self {
            Self::Last => return None,
            Self::Port { port, protocol: Some(protocol) } => format!("{port}/{protocol}"),
            Self::Port { port, protocol: None } => port.to_string(),
            Self::Pid(pid) => format!("pid:{pid}"),
            Self::Unit(text) | Self::Id(text) | Self::Name(text) => text.clone(),
        })
    }

    fn number(text: &str) -> Result<Self, String> {
        match text.parse::<u32>() {
            Ok(number) if number > u32::from(u16::MAX) => Ok(Self::Pid(number)),
            _ => Ok(Self::Port { port: port(text)?, protocol: None }),
        }
    }
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        "a port is a number from 1 to 65535, and a process id is at most 4294967295".to_owned()
    })
}

/// Two numbers in hexadecimal, the first of which is a time: `2c3d4e5f6-1019`.
fn is_id(text: &str) -> bool {
    let is_hex = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    text.split_once('-').is_some_and(|(time, thread)| is_hex(time) && is_hex(thread))
}

/// As a sentence says it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("any port"),
            Self::Port { port, protocol: Some(protocol) } => write!(f, "{protocol} port {port}"),
            Self::Port { port, protocol: None } => write!(f, "port {port}"),
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Id(text) => write!(f, "conflict {}", crate::text::printable(text)),
            Self::Unit(text) | Self::Name(text) => f.write_str(&crate::text::printable(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_told_from_the_others() {
        let port = |port, protocol| Target::Port { port, protocol };
        for (text, target) in [
            ("50010", port(50010, None)),
            (" 80 ", port(80, None)),
            ("53/udp", port(53, Some(Protocol::Udp))),
            ("53/sctp", port(53, Some(Protocol::Sctp))),
            ("65535", port(65535, None)),
            ("65536", Target::Pid(65536)),
            ("pid:80", Target::Pid(80)),
            ("nginx", Target::Name("nginx".into())),
            ("nginx.service", Target::Unit("nginx.service".into())),
            ("session-3.scope", Target::Unit("session-3.scope".into())),
            (".service", Target::Name(".service".into())),
            ("2c3d4e5f6-1019", Target::Id("2c3d4e5f6-1019".into())),
            ("kube-proxy", Target::Name("kube-proxy".into())),
            ("a/b", Target::Name("a/b".into())),
        ] {
            assert_eq!(Target::parse(text), Ok(target.clone()), "{text}");
            let spelling = target.spelling().expect("a target");
            assert_eq!(Target::parse(&spelling), Ok(target), "{spelling}");
        }
    }

    #[test]
    fn nonsense_is_answered_with_what_is_right() {
        for (text, part) in [
            ("", "a unit, pid:N"),
            ("0", "1 to 65535"),
            ("0/tcp", "1 to 65535"),
            ("80/icmp", "tcp, udp, udplite or sctp"),
            ("70000/tcp", "1 to 65535"),
            ("99999999999", "4294967295"),
            ("pid:0", "pid:4121"),
            ("pid:x", "pid:4121"),
        ] {
            let error = Target::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
