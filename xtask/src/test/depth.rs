//! How deep a run goes: what the default takes of the kernels in virtual machines, and what only `--full` does.

use crate::kernels::Arch;

/// How much of the matrix is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Every kernel and every backend, with the scenarios in which they differ.
    Default,
    /// Everything.
    Full,
}

/// Scenarios in which kernels or backends take different ways: another hook, another structure of the kernel, another form of the
/// rule. Most of the others differ in what user space makes of the same records, which this machine's own kernel shows.
const DIFFERENT: [&str; 44] = [
    // The snapshot at the start, and what it cannot see.
    "preexisting-tcp4-client",
    "preexisting-udp4-client",
    "preexisting-time-wait",
    "preexisting-orphan",
    // Assignments: every way to a port.
    "tcp4-client",
    "tcp6-client",
    "tcp4-client-connecting",
    "tcp4-client-fastopen",
    "tcp4-client-bind-address-no-port",
    "tcp4-client-local-port-range",
    "tcp6-client-v4-mapped",
    "mptcp4-client",
    "ring-client",
    "ring-listener",
    "tcp4-bind0",
    "tcp4-listen-without-bind",
    "udp4-client",
    "udp4-sender",
    "udplite4-client",
    "sctp4-listener",
    "sctp4-client",
    "kernel-socket",
    "thread-of-the-dead",
    // Releases, and what outlives a process.
    "time-wait-owner-exited",
    "time-wait-owner-lives",
    "fin-wait2-owner-exited",
    "last-ack-owner-exited",
    "reused-connection-time-wait",
    "reused-connection-accepted-time-wait",
    "reused-connection-accepted-half-closed",
    "inherited-parent-dead",
    "pid-reused",
    // Refusals: the verdict, the walk, the rule.
    "tcp4-listener",
    "tcp6-wildcard-against-specific",
    "tcp6-v6only-against-its-like",
    "listen-refused-after-reuseaddr",
    "reuseport-of-another-user",
    "listener-with-connections",
    "mptcp4-victim",
    "ring-victim",
    "range-exhausted",
    "connect-exhausted",
    "udp4-sendto-exhausted",
    "restart-storm",
];

/// What is left of them where the processor is emulated too, at half the speed.
const EMULATED_PROCESSOR: [&str; 2] = ["tcp4-client", "time-wait-owner-exited"];

impl Depth {
    /// The scenarios of a kernel in a virtual machine; all of them if there are none here.
    pub(super) fn scenarios(self, arch: Arch) -> &'static [&'static str] {
        match (self, arch) {
            (Self::Full, _) => &[],
            (Self::Default, Arch::X86_64) => &DIFFERENT,
            (Self::Default, Arch::Aarch64) => &EMULATED_PROCESSOR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_has_scenarios_and_each_is_named_once() {
        let mut names = DIFFERENT.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DIFFERENT.len());
        assert!(EMULATED_PROCESSOR.iter().all(|name| DIFFERENT.contains(name)));
        assert!(Depth::Full.scenarios(Arch::Aarch64).is_empty());
    }
}
