//! Arguments of Kubernetes' programs, as their Go library takes them. Pure.

use std::ops::RangeInclusive;

/// Flags and their values, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(Vec<(String, String)>);

impl Flags {
    /// `--name=value`, `--name value`, `-name=value`; what is no flag is passed over.
    pub(super) fn of(arguments: &[String]) -> Self {
        let mut all = Vec::new();
        let mut arguments = arguments.iter().peekable();
        while let Some(argument) = arguments.next() {
            let Some(flag) = argument.strip_prefix('-') else { continue };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => {
                    let value = arguments.next_if(|next| !next.starts_with('-'));
                    (flag, value.cloned().unwrap_or_default())
                }
            };
            // Both spellings mean the same.
            all.push((name.replace('_', "-"), value));
        }
        Self(all)
    }

    /// The last one counts.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// Flags that are handed on: k3s takes `--kubelet-arg=port=10250` for its kubelet's `--port=10250`.
    pub(super) fn handed_on(&self, by: &str) -> Self {
        let pairs = self.0.iter().filter(|(name, _)| name == by).map(|(_, value)| {
            let (name, value) = value.split_once('=').unwrap_or((value, ""));
            (name.trim_start_matches('-').to_owned(), value.to_owned())
        });
        Self(pairs.collect())
    }

    /// These, and others that weigh more.
    pub(super) fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

/// `30000-32767`, `30000+2767` or a single port.
pub(super) fn node_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let text = text.trim();
    let (low, high) = match (text.split_once('-'), text.split_once('+')) {
        (Some((low, high)), _) => (low.parse::<u16>().ok()?, high.parse::<u16>().ok()?),
        (None, Some((low, more))) => {
            let low = low.parse::<u16>().ok()?;
            (low, low.checked_add(more.parse().ok()?)?)
        }
        (None, None) => (text.parse().ok()?, text.parse().ok()?),
    };
    (low != 0 && low <= high).then_some(low..=high)
}

/// `ADDRESS:PORT`, `[ADDRESS]:PORT` or an address alone.
pub(super) fn end_point(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<std::net::IpAddr>().is_ok() {
        return Some((text, None));
    }
    let (address, port) = text.rsplit_once(':')?;
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    Some((address, Some(port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flags(arguments: &[&str]) -> Flags {
        Flags::of(&arguments.iter().map(|&one| one.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn flags_have_values_in_three_forms_and_the_last_counts() {
        let all = flags(&[
            "kubelet",
            "--port=1",
            "--config",
            "/a b",
            "-v",
            "--fail_swap_on=false",
            "-port=2",
            "--x",
        ]);
        assert_eq!((all.value("port"), all.value("config")), (Some("2"), Some("/a b")));
        assert_eq!(
            (all.value("fail-swap-on"), all.value("v"), all.value("y")),
            (Some("false"), Some(""), None)
        );
        assert_eq!(all.value("x"), Some(""));
        let handed = flags(&["k3s", "server", "--kubelet-arg=port=7", "--kubelet-arg", "--read-only-port=8"]);
        // The second has its value behind a dash, which is not taken for one.
        assert_eq!(handed.handed_on("kubelet-arg").value("port"), Some("7"));
        assert_eq!(all.and(flags(&["--port=3"])).value("port"), Some("3"));
    }

    #[test]
    fn ranges_and_end_points() {
        assert_eq!(node_port_range("30000-32767"), Some(30_000..=32_767));
        assert_eq!(node_port_range("30000+100"), Some(30_000..=30_100));
        assert_eq!(node_port_range(" 30000 "), Some(30_000..=30_000));
        for wrong in ["", "0-0", "9-8", "a-b", "65000+9999", "1-", "-", "+", "70000"] {
            assert_eq!(node_port_range(wrong), None, "{wrong}");
        }
        assert_eq!(end_point("0.0.0.0:10256"), Some(("0.0.0.0", Some(10_256))));
        assert_eq!(end_point("[::1]:1"), Some(("::1", Some(1))));
        assert_eq!(end_point("::"), Some(("::", None)));
        assert_eq!(end_point(":10249"), Some(("", Some(10_249))));
        assert_eq!((end_point("x"), end_point("1.2.3.4:99999")), (None, None));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,30}", arguments in proptest::collection::vec("-{0,3}[a-c_=]{0,5}", 0..8)) {
            let _ = (node_port_range(&text), end_point(&text));
            let all = Flags::of(&arguments);
            let _ = (all.value(&text), all.handed_on("a"));
        }
    }
}
