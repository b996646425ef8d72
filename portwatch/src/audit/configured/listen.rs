//! What stands behind `ListenStream=` and `ListenDatagram=`, with its specifiers → address and port. Pure.

use crate::owner::cgroup::unescape;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where a socket unit listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listen {
    /// On a port; without an address on every one.
    Port(Option<IpAddr>, u16),
    /// On no port: a UNIX socket, or one of virtual machines.
    Elsewhere,
}

/// Why such text says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    #[error("it is neither a port, an address with a port nor a path")]
    Address,
    #[error("its specifier %{0} is not known to portwatch")]
    Specifier(char),
}

/// Reads an address as systemd does.
pub(super) fn listen(text: &str) -> Result<Listen, Wrong> {
    if text.starts_with(['/', '@']) || text.starts_with("vsock") {
        return Ok(Listen::Elsewhere);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Listen::Port(None, port(text)?));
    }
    // The interface stands last, or in the brackets as elsewhere.
    let plain = text.split_once('%').map_or(text, |(plain, _)| plain);
    let whole = match text.split_once(']') {
        Some((_, rest)) if !plain.contains(']') => format!("{plain}]{rest}"),
        _ => plain.to_owned(),
    };
    if let Some(rest) = whole.strip_prefix('[') {
        let (address, rest) = rest.split_once("]:").ok_or(Wrong::Address)?;
        let address: Ipv6Addr = address.parse().map_err(|_| Wrong::Address)?;
        return Ok(Listen::Port(Some(address.into()), port(rest)?));
    }
    match whole.parse() {
        Ok(SocketAddr::V4(address)) if address.port() != 0 => {
            Ok(Listen::Port(Some((*address.ip()).into()), address.port()))
        }
        _ => Err(Wrong::Address),
    }
}

fn port(text: &str) -> Result<u16, Wrong> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0).ok_or(Wrong::Address)
}

/// The name of a unit in its parts: `prefix@instance.socket`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) whole: &'a str,
    pub(super) prefix: &'a str,
    /// Empty in a template's.
    pub(super) instance: Option<&'a str>,
}

impl<'a> Name<'a> {
    pub(super) fn of(whole: &'a str) -> Self {
        let stem = whole.rsplit_once('.').map_or(whole, |(stem, _)| stem);
        let (prefix, instance) =
            stem.split_once('@').map_or((stem, None), |(prefix, rest)| (prefix, Some(rest)));
        Self { whole, prefix, instance }
    }

    /// The template that the unit is an instance of.
    pub(super) fn template(&self) -> Option<String> {
        let instance = self.instance.filter(|instance| !instance.is_empty())?;
        let kind = &self.whole[self.prefix.len() + 1 + instance.len()..];
        Some(format!("{}@{kind}", self.prefix))
    }

    /// `text` with what the name puts into it.
    pub(super) fn expand(&self, text: &str) -> Result<String, Wrong> {
        let instance = self.instance.unwrap_or_default();
        let stem = self.whole.rsplit_once('.').map_or(self.whole, |(stem, _)| stem);
        let mut out = String::with_capacity(text.len());
        let mut all = text.chars().peekable();
        while let Some(c) = all.next() {
            // Before an interface's name there is a % that is none.
            let specifier = if c == '%' { all.peek().copied() } else { None };
            match specifier {
                Some('%') => out.push('%'),
                Some('i') => out.push_str(instance),
                Some('I') => out.push_str(&unescape(instance)),
                Some('p') => out.push_str(self.prefix),
                Some('P') => out.push_str(&unescape(self.prefix)),
                Some('j') => out.push_str(last(self.prefix)),
                Some('J') => out.push_str(&unescape(last(self.prefix))),
                Some('n') => out.push_str(self.whole),
                Some('N') => out.push_str(stem),
                Some(other) if KNOWN_ELSEWHERE.contains(other) => return Err(Wrong::Specifier(other)),
                _ => {
                    out.push(c);
                    continue;
                }
            }
            all.next();
        }
        Ok(out)
    }
}

/// Specifiers that ask for the host, the user or a folder. In front of `eth0` a `%e` is systemd's as little as ours.
const KNOWN_ELSEWHERE: &str = "aAbBCdDEfgGhHlLmMoqsStTuUvVwWyY";

fn last(prefix: &str) -> &str {
    prefix.rsplit('-').next().unwrap_or(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(address: &str, port: u16) -> Result<Listen, Wrong> {
        Ok(Listen::Port(Some(address.parse().expect("an address")), port))
    }

    #[test]
    fn every_form_of_an_address() {
        assert_eq!(listen("8080"), Ok(Listen::Port(None, 8_080)));
        assert_eq!(listen("0.0.0.0:8080"), at("0.0.0.0", 8_080));
        assert_eq!(listen("10.0.0.1:80"), at("10.0.0.1", 80));
        assert_eq!(listen("10.0.0.1:80%eth0"), at("10.0.0.1", 80));
        assert_eq!(listen("[::]:65535"), at("::", 65_535));
        assert_eq!(listen("[fe80::1]:80%eth0"), at("fe80::1", 80));
        assert_eq!(listen("[fe80::1%eth0]:80"), at("fe80::1", 80));
        for elsewhere in ["/run/a:80", "@a", "vsock::80", "vsock:2:1234", "vsock-stream:2:3"] {
            assert_eq!(listen(elsewhere), Ok(Listen::Elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn what_systemd_would_not_take_is_not_taken() {
        for wrong in [
            "",
            "0",
            "65536",
            "99999999999999",
            "+80",
            "\"8080\"",
            "localhost:80",
            "10.0.0.1",
            "10.0.0.1:0",
            "[::]",
            "[::]:",
            "[::]:0",
            "[::]:+8",
            "::1:80",
            "[10.0.0.1]:80",
            "80 81",
            "]",
            "[%]:80",
            "%",
        ] {
            assert_eq!(listen(wrong), Err(Wrong::Address), "{wrong}");
        }
    }

    #[test]
    fn names_have_parts_and_put_them_into_text() {
        let plain = Name::of("a-b.socket");
        assert_eq!((plain.prefix, plain.instance, plain.template()), ("a-b", None, None));
        let instance = Name::of("web-x\\x2dy@80@8.socket");
        assert_eq!(instance.template().as_deref(), Some("web-x\\x2dy@.socket"));
        let expand = |text| instance.expand(text);
        assert_eq!(
            expand("%i|%p|%n|%N|%%|%j").as_deref(),
            Ok("80@8|web-x\\x2dy|web-x\\x2dy@80@8.socket|web-x\\x2dy@80@8|%|x\\x2dy")
        );
        assert_eq!(expand("%P").as_deref(), Ok("web-x-y"));
        assert_eq!(Name::of("a@.socket").template(), None);
        assert_eq!(Name::of("a@9000.socket").expand("127.0.0.1:%i").as_deref(), Ok("127.0.0.1:9000"));
        assert_eq!(expand("[fe80::1]:80%eth0").as_deref(), Ok("[fe80::1]:80%eth0"));
        assert_eq!(expand("%H:80"), Err(Wrong::Specifier('H')));
        assert_eq!(expand("80%").as_deref(), Ok("80%"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}", name in "\\PC{0,20}") {
            let _ = listen(&text);
            let name = Name::of(&name);
            let _ = (name.template(), name.expand(&text));
        }

        #[test]
        fn a_printed_address_is_read_back(address in any::<IpAddr>(), port in 1_u16..) {
            let text = SocketAddr::new(address, port).to_string();
            prop_assert_eq!(listen(&text), Ok(Listen::Port(Some(address), port)));
        }
    }
}
