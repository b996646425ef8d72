//! A list of ports as the kernel writes it in `ip_local_reserved_ports`: `80,8080-8090`.

use std::fmt;

/// Ports as ascending ranges that neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortList(Vec<(u16, u16)>);

/// Not such a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is neither a port (0 to 65535) nor a range of ports like 8000-8010")]
pub struct PortListError {
    part: String,
}

impl PortList {
    /// Reads the kernel's text; empty text is the empty list.
    ///
    /// # Errors
    /// If a part is no port and no range.
    pub fn parse(text: &str) -> Result<Self, PortListError> {
        let mut list = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            match (low.trim().parse(), high.trim().parse()) {
                (Ok(low), Ok(high)) if low <= high => list.insert(low, high),
                _ => return Err(PortListError { part: part.to_owned() }),
            }
        }
        Ok(list)
    }

    /// Adds the ports from `low` to `high`.
    pub fn insert(&mut self, low: u16, high: u16) {
        // The kernel's text ascends: the longest has 32,768 ranges, which must not each be compared with all others.
        if self.0.last().is_none_or(|&(_, last)| u32::from(last) + 1 < u32::from(low)) {
            self.0.push((low, high));
            return;
        }
        let (mut low, mut high) = (low, high);
        // Touching ranges become one; the arithmetic must not wrap at 65535.
        self.0.retain(|&(l, h)| {
            let apart = u32::from(h) + 1 < u32::from(low) || u32::from(high) + 1 < u32::from(l);
            if !apart {
                low = low.min(l);
                high = high.max(h);
            }
            apart
        });
        let at = self.0.partition_point(|&(l, _)| l < low);
        self.0.insert(at, (low, high));
    }

    /// Takes the ports from `low` to `high` out.
    pub fn remove(&mut self, low: u16, high: u16) {
        let parts = |(l, h): (u16, u16)| {
            let below = (l < low).then(|| (l, h.min(low - 1)));
            let above = (h > high).then(|| (l.max(high + 1), h));
            below.into_iter().chain(above)
        };
        let parts_of = |(l, h)| if h < low || high < l { vec![(l, h)] } else { parts((l, h)).collect() };
        self.0 = std::mem::take(&mut self.0).into_iter().flat_map(parts_of).collect();
    }

    /// How many ports are listed.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|&(low, high)| u32::from(high - low) + 1).sum()
    }

    /// Whether the port is listed.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|&(low, high)| (low..=high).contains(&port))
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

impl fmt::Display for PortList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match low == high {
                true => write!(f, "{comma}{low}")?,
                false => write!(f, "{comma}{low}-{high}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_are_merged_as_the_kernel_prints_them() {
        let merged = |text: &str, port: u16| {
            let mut list = PortList::parse(text).expect("a list");
            list.insert(port, port);
            list.to_string()
        };
        assert_eq!(merged("", 50010), "50010");
        assert_eq!(merged("\n", 50010), "50010");
        assert_eq!(merged("8080,9000-9010\n", 50010), "8080,9000-9010,50010");
        assert_eq!(merged("8080,8082", 8081), "8080-8082");
        assert_eq!(merged("9000-9010", 9005), "9000-9010");
        assert_eq!(merged("65534", 65535), "65534-65535");
    }

    #[test]
    fn ports_are_taken_out_of_the_middle_and_the_ends() {
        let without = |text: &str, low, high| {
            let mut list = PortList::parse(text).expect("a list");
            list.remove(low, high);
            (list.to_string(), list.count())
        };
        assert_eq!(without("8000-8010", 8005, 8005), ("8000-8004,8006-8010".to_owned(), 10));
        assert_eq!(without("8000-8010", 7000, 8000), ("8001-8010".to_owned(), 10));
        assert_eq!(without("80,8000-8010,65535", 8000, 65535), ("80".to_owned(), 1));
        assert_eq!(without("0-65535", 1, 65534), ("0,65535".to_owned(), 2));
        assert_eq!(without("80", 81, 90), ("80".to_owned(), 1));
    }

    #[test]
    fn the_kernel_also_lists_port_0() {
        assert_eq!(PortList::parse("0-3").map(|list| list.to_string()), Ok("0-3".to_owned()));
    }

    #[test]
    fn nonsense_is_named() {
        for text in ["a", "70000", "9-8", "1-", "-", "1-2-3"] {
            let error = PortList::parse(text).expect_err(text).to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_list_holds_what_was_put_in_and_survives_printing(
            ranges in proptest::collection::vec((1_u16.., 0_u16..500), 0..20),
            probe in any::<u16>(),
        ) {
            let mut list = PortList::default();
            let mut expected = false;
            for (low, span) in ranges {
                let high = low.saturating_add(span);
                list.insert(low, high);
                expected |= (low..=high).contains(&probe);
            }
            prop_assert_eq!(list.contains(probe), expected);
            prop_assert!(list.ranges().windows(2).all(|w| u32::from(w[0].1) + 1 < u32::from(w[1].0)));
            prop_assert_eq!(PortList::parse(&list.to_string()), Ok(list.clone()));
            list.remove(probe, probe);
            prop_assert!(!list.contains(probe));
            prop_assert_eq!(list.count(), (0..=u16::MAX).filter(|port| list.contains(*port)).count() as u32);
        }

        #[test]
        fn any_text_is_a_list_or_an_error(text in "\\PC{0,40}") {
            let _ = PortList::parse(&text);
        }
    }
}
