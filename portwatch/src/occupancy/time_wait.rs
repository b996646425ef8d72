//! Which connections in TIME_WAIT do not keep their port from a new one, by `tcp_twsk_unique` of the kernel.

use crate::model::State;
use crate::owner::socket_tables::Entry;
use std::fs;

/// Milliseconds that TIME_WAIT has left when it is old enough to be taken over: it lasts 60 s, and must be older than one.
const OLD_ENOUGH: u32 = 59_000;

/// What the namespace of the calling thread has set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TimeWait {
    /// `tcp_tw_reuse`: 0 never, 1 everywhere, 2 on the loopback.
    pub(super) reuse: Option<u8>,
    /// `tcp_timestamps`, without which nothing is taken over.
    pub(super) timestamps: Option<bool>,
}

impl TimeWait {
    pub(super) fn read() -> Self {
        let number = |name| {
            let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
            text.trim().parse::<u8>().ok()
        };
        Self { reuse: number("tcp_tw_reuse"), timestamps: number("tcp_timestamps").map(|set| set != 0) }
    }

    /// Whether a connect() between the same ends would be given the port.
    pub(super) fn gives_away(self, entry: &Entry) -> bool {
        let is_old = entry.ends_in_ms.is_some_and(|left| left < OLD_ENOUGH);
        if entry.state != State::TimeWait || !is_old || self.timestamps == Some(false) {
            return false;
        }
        let ends = [entry.local, entry.remote].into_iter().flatten();
        match self.reuse {
            Some(1) => true,
            Some(2) => ends.map(|end| end.ip().to_canonical()).any(|ip| ip.is_loopback()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    #[test]
    fn as_the_kernel_has_it() {
        let entry = |remote: &str, left| Entry {
            protocol: Protocol::Tcp,
            state: State::TimeWait,
            local: "10.0.0.1:40000".parse().ok(),
            remote: remote.parse().ok(),
            uid: None,
            inode: 0,
            ends_in_ms: Some(left),
        };
        let set = |reuse, timestamps| TimeWait { reuse: Some(reuse), timestamps: Some(timestamps) };
        let far = entry("10.0.0.2:80", 30_000);
        assert!(
            set(1, true).gives_away(&far) && !set(2, true).gives_away(&far) && !set(0, true).gives_away(&far)
        );
        assert!(!set(1, false).gives_away(&far), "without time stamps never");
        assert!(set(2, true).gives_away(&entry("[::ffff:127.0.0.1]:80", 30_000)));
        assert!(!set(1, true).gives_away(&entry("10.0.0.2:80", 59_500)), "too young");
        assert!(!set(1, true).gives_away(&Entry { state: State::Established, ..far }));
    }
}
