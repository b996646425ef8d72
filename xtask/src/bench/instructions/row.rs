//! A line of the measurement.

/// What an operation takes under a watcher.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) watcher: String,
    pub(super) operation: String,
    pub(super) instructions: u64,
    /// Width of the middle half of the rounds, in percent of the median.
    pub(super) spread: f64,
}

/// A watcher that the kernel does not admit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Skip {
    pub(super) watcher: String,
    /// In its own words.
    pub(super) reason: String,
}

impl Row {
    /// `BENCH watcher=fexit op=tcp-connection instructions=132937 spread=0.010`
    pub(super) fn parse(line: &str) -> Option<Self> {
        let fields = line.strip_prefix("BENCH ")?;
        let field = |name: &str| {
            fields
                .split(' ')
                .find_map(|field| field.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
        };
        Some(Self {
            watcher: field("watcher")?.to_owned(),
            operation: field("op")?.to_owned(),
            instructions: field("instructions")?.parse().ok()?,
            spread: field("spread")?.parse().ok()?,
        })
    }
}

impl Skip {
    /// `BENCH-SKIP watcher=bindsnoop reason=exit status: 1: failed to attach`
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (watcher, reason) = line.strip_prefix("BENCH-SKIP watcher=")?.split_once(" reason=")?;
        Some(Self { watcher: watcher.to_owned(), reason: reason.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_is_read() {
        let row = Row::parse("BENCH watcher=fexit op=tcp-connection instructions=132937 spread=0.010");
        let row = row.expect("a whole line");
        assert_eq!((row.watcher.as_str(), row.instructions, row.spread), ("fexit", 132_937, 0.01));
        assert_eq!(Row::parse("BENCH watcher=fexit"), None);
        assert_eq!(Row::parse("something else"), None);
    }

    #[test]
    fn a_watcher_that_does_not_run_is_read_with_its_words() {
        let skip = Skip::parse("BENCH-SKIP watcher=bindsnoop reason=exit status: 1: no such probe");
        assert_eq!(skip.map(|skip| skip.reason).as_deref(), Some("exit status: 1: no such probe"));
    }
}
