//! Lists of ports as sets: together, without, in common. Pure, and quick for the longest lists.

use crate::ports::PortList;

/// The ports of either list.
pub(super) fn plus(a: &PortList, b: &PortList) -> PortList {
    combine(a, b, |in_a, in_b| in_a || in_b)
}

/// The ports of `a` that are not in `b`.
pub(super) fn minus(a: &PortList, b: &PortList) -> PortList {
    combine(a, b, |in_a, in_b| in_a && !in_b)
}

/// The ports of both lists.
pub(super) fn both(a: &PortList, b: &PortList) -> PortList {
    combine(a, b, |in_a, in_b| in_a && in_b)
}

/// A list of one range.
pub(super) fn range((low, high): (u16, u16)) -> PortList {
    let mut list = PortList::default();
    list.insert(low, high);
    list
}

/// Between two ends of ranges nothing changes: one port there speaks for all.
fn combine(a: &PortList, b: &PortList, keep: impl Fn(bool, bool) -> bool) -> PortList {
    let all = a.ranges().iter().chain(b.ranges());
    let mut ends: Vec<u32> = all.flat_map(|&(low, high)| [u32::from(low), u32::from(high) + 1]).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut list = PortList::default();
    let mut open = None;
    for end in ends {
        // Behind 65535 nothing is kept.
        let is_kept = u16::try_from(end).is_ok_and(|port| keep(has(a, port), has(b, port)));
        match (is_kept, open) {
            (true, None) => open = Some(end),
            (false, Some(low)) => {
                // Ends are below 65,537, and this one is not the first.
                list.insert(
                    u16::try_from(low).unwrap_or(u16::MAX),
                    u16::try_from(end - 1).unwrap_or(u16::MAX),
                );
                open = None;
            }
            _ => {}
        }
    }
    list
}

fn has(list: &PortList, port: u16) -> bool {
    let ranges = list.ranges();
    let after = ranges.partition_point(|&(low, _)| low <= port);
    after.checked_sub(1).is_some_and(|at| port <= ranges[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(text: &str) -> PortList {
        PortList::parse(text).expect("a list")
    }

    #[test]
    fn the_ends_are_ports_like_others() {
        assert_eq!(plus(&list("0-3,65535"), &list("4,65534")).to_string(), "0-4,65534-65535");
        assert_eq!(minus(&list("0-65535"), &list("0,65535")).to_string(), "1-65534");
        assert_eq!(both(&list("1-10,20"), &list("5-30")).to_string(), "5-10,20");
        assert_eq!(minus(&list("80"), &list("80")).to_string(), "");
    }

    fn any_list() -> impl Strategy<Value = PortList> {
        proptest::collection::vec((any::<u16>(), 0_u16..3000), 0..12).prop_map(|ranges| {
            let mut list = PortList::default();
            for (low, span) in ranges {
                list.insert(low, low.saturating_add(span));
            }
            list
        })
    }

    proptest! {
        #[test]
        fn every_port_is_where_it_belongs(a in any_list(), b in any_list(), port in any::<u16>()) {
            let (in_a, in_b) = (a.contains(port), b.contains(port));
            prop_assert_eq!(plus(&a, &b).contains(port), in_a || in_b);
            prop_assert_eq!(minus(&a, &b).contains(port), in_a && !in_b);
            prop_assert_eq!(both(&a, &b).contains(port), in_a && in_b);
            prop_assert_eq!(minus(&plus(&a, &b), &minus(&b, &a)), a);
        }
    }
}
