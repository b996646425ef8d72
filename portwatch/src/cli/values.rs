//! The values of flags: text → meaning, each with the one line that a wrong one is answered with. Pure.

use crate::who::{PROTOCOLS, Query};
use std::ops::RangeInclusive;
use std::time::Duration;

/// `P` or `P-Q`.
pub(crate) fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (port(low)?, port(high)?);
    if low > high {
        return Err(format!("the range ends before it begins; write {high}-{low}"));
    }
    Ok(low..=high)
}

/// `PORT` or `PORT/PROTOCOL`.
pub(crate) fn port_query(text: &str) -> Result<Query, String> {
    let (number, name) = text.split_once('/').map_or((text, None), |(number, name)| (number, Some(name)));
    let protocol = match name {
        Some(name) => {
            let known = PROTOCOLS.into_iter().find(|protocol| protocol.as_str() == name);
            Some(known.ok_or("the protocol after the port is tcp, udp, udplite or sctp")?)
        }
        None => None,
    };
    Ok(Query { port: port(number)?, protocol })
}

fn port(text: &str) -> Result<u16, String> {
    match text.trim().parse() {
        Ok(0) | Err(_) => Err("a port is a number from 1 to 65535".to_owned()),
        Ok(port) => Ok(port),
    }
}

/// `30s`, `2m`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a duration is written like 30s, 2m or 1h30m, and longer than nothing".to_owned();
    let parsed = text.parse::<jiff::SignedDuration>().map_err(|_| wanted())?;
    Duration::try_from(parsed).ok().filter(|duration| !duration.is_zero()).ok_or_else(wanted)
}

/// A count of one or more.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a count is a whole number from 1".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// Entries of the table of ports: the kernel takes no more than fit a 32-bit number of bytes.
pub(crate) fn table_size(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(entries @ 64..=16_777_216) => Ok(entries),
        _ => Err("the table has 64 to 16777216 entries".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    #[test]
    fn ports() {
        assert_eq!(port_range("80"), Ok(80..=80));
        assert_eq!(port_range("8000-8010"), Ok(8000..=8010));
        assert_eq!(port_range("65535"), Ok(65535..=65535));
        for wrong in ["0", "70000", "-1", "", "http", "0-10", "1-70000", "1-2-3"] {
            assert_eq!(port_range(wrong), Err("a port is a number from 1 to 65535".to_owned()), "{wrong}");
        }
        assert_eq!(port_range("10-9"), Err("the range ends before it begins; write 9-10".to_owned()));
    }

    #[test]
    fn ports_with_a_protocol() {
        assert_eq!(port_query("80"), Ok(Query { port: 80, protocol: None }));
        assert_eq!(port_query("53/udp"), Ok(Query { port: 53, protocol: Some(Protocol::Udp) }));
        for (wrong, part) in
            [("0", "1 to 65535"), ("80/", "tcp, udp"), ("80/icmp", "tcp, udp"), ("/tcp", "1 to")]
        {
            assert!(port_query(wrong).expect_err(wrong).contains(part), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["", "0s", "-3s", "soon", "30"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn counts_and_sizes() {
        assert_eq!(count("3"), Ok(3));
        assert!(count("0").is_err() && count("-1").is_err() && count("x").is_err());
        assert_eq!(table_size("262144"), Ok(262_144));
        assert!(table_size("0").is_err() && table_size("99999999999").is_err());
    }
}
