//! The last line of portwatch, which tells what it has counted and what it has lost.

/// The refused calls of `portwatch: 3 conflicts, 5 refused calls: …`.
pub(super) fn refused_calls(summary: &str) -> Option<u64> {
    let (before, _) = summary.split_once(" refused call")?;
    before.rsplit(' ').next()?.parse().ok()
}

/// The sum of `…; lost: 3 holders lost, 1 channel full`.
pub(super) fn lost(summary: &str) -> u64 {
    let list = summary.split_once("; lost: ").map_or("", |(_, list)| list);
    list.split(", ").filter_map(|entry| entry.split(' ').next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read() {
        let clean = "portwatch: 1 conflict, 12 refused calls: 1 listener; nothing lost";
        assert_eq!((refused_calls(clean), lost(clean)), (Some(12), 0));
        let lossy = "portwatch: 0 conflicts, 0 refused calls; lost: 3 holders lost, 4 channel full";
        assert_eq!((refused_calls(lossy), lost(lossy)), (Some(0), 7));
        assert_eq!(refused_calls("ready"), None);
    }
}
