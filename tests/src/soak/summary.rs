//! The last line of portwatch, which tells what it has counted and what it has lost.

/// The refused calls of `portwatch: 3 conflicts, 5 refused calls: …`.
pub(super) fn refused_calls(summary: &str) -> Option<u64> {
    let (before, _) = summary.split_once(" refused call")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// What may concern a bystander only: what it costs a conflict shows as unnamed or missed. A probe is not called inside another one,
/// which is counted for all processes together; other programs must not be skipped.
fn is_of_any(what: &str, by_probes: bool) -> bool {
    what == "closed evicted" || by_probes && what == "events skipped"
}

/// The sum of `…; lost: 3 holders lost, 1 channel full`, but for what may concern a bystander only.
pub(super) fn lost(summary: &str, by_probes: bool) -> u64 {
    losses(summary).filter(|(_, what)| !is_of_any(what, by_probes)).map(|(count, _)| count).sum()
}

/// The rest: as many conflicts may be unattributed for a reason that was counted.
pub(super) fn explained(summary: &str, by_probes: bool) -> u64 {
    losses(summary).filter(|(_, what)| is_of_any(what, by_probes)).map(|(count, _)| count).sum()
}

fn losses(summary: &str) -> impl Iterator<Item = (u64, &str)> {
    let list = summary.split_once("; lost: ").map_or("", |(_, list)| list);
    list.split(", ").filter_map(|entry| {
        let (count, what) = entry.split_once(' ')?;
        Some((count.parse().ok()?, what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read() {
        let clean = "portwatch: 1 conflict, 12 refused calls: 1 listener; nothing lost";
        assert_eq!((refused_calls(clean), lost(clean, false)), (Some(12), 0));
        let lossy = "portwatch: 0 conflicts, 0 refused calls; lost: 3 holders lost, 4 channel full";
        assert_eq!((refused_calls(lossy), lost(lossy, true)), (Some(0), 7));
        let evicted =
            "portwatch: 1 conflict, 1 refused call: 1 listener; lost: 2 closed evicted, 1 channel full";
        assert_eq!((lost(evicted, false), explained(evicted, false), explained(lossy, true)), (1, 2, 0));
        let skipped = "portwatch: 0 conflicts, 0 refused calls; lost: 5 events skipped";
        assert_eq!((lost(skipped, false), explained(skipped, false)), (5, 0));
        assert_eq!((lost(skipped, true), explained(skipped, true)), (0, 5));
        assert_eq!(refused_calls("ready"), None);
    }
}
