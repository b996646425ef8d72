//! A port that a service could move to: near the one it wanted, and nobody's.

use super::{netns, socket_tables};
use crate::correlate::WantedPort;
use crate::model::Protocol;
use crate::ports::PortList;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, Instant};

/// How long an answer serves: a service in a restart loop must not become a loop around the kernel's tables.
const FRESH: Duration = Duration::from_secs(10);
/// Answers kept.
const CAPACITY: usize = 64;
/// Ports that are looked at. Each look walks the kernel's table.
const TRIES: usize = 16;
/// Below it only root may bind, as a rule, and most numbers are somebody's.
const FIRST: u16 = 1_024;

/// The answers of the last seconds.
#[derive(Debug, Default)]
pub(super) struct Memory {
    answers: HashMap<(u32, u16, u16), (Instant, Option<u16>)>,
}

impl Memory {
    /// A free port, looked for or remembered.
    pub(super) fn answer(&mut self, wanted: WantedPort) -> Option<u16> {
        self.answers.retain(|_, (since, _)| since.elapsed() < FRESH);
        let key = (wanted.netns, wanted.protocol, wanted.port);
        if let Some((_, answer)) = self.answers.get(&key) {
            return *answer;
        }
        let answer = netns::within(wanted.netns, wanted.tgid, || find(&wanted)).flatten();
        if self.answers.len() < CAPACITY {
            self.answers.insert(key, (Instant::now(), answer));
        }
        answer
    }
}

/// Looks in the namespace of the calling thread. TCP sockets that are only bound are not in the tables before Linux 6.8.
fn find(wanted: &WantedPort) -> Option<u16> {
    let reserved = PortList::parse(&netns::reserved_here().ok()?).ok()?;
    let protocol = Protocol::from_wire(wanted.protocol)?;
    let protocols = match protocol {
        Protocol::Mptcp => &[Protocol::Tcp][..],
        ref other => std::slice::from_ref(other),
    };
    let WantedPort { port, low, high, .. } = *wanted;
    let near = candidates(port, low, high).filter(|port| !reserved.contains(*port)).take(TRIES);
    let near: Vec<u16> = near.collect();
    let used = socket_tables::used(&near, protocols)?;
    near.into_iter().find(|port| !used.contains(port))
}

/// Ports outside the ephemeral range that no services file names, the nearest first; of two equally near the one above.
pub(crate) fn candidates(port: u16, low: u16, high: u16) -> impl Iterator<Item = u16> {
    let named = fs::read_to_string("/etc/services").map(|text| named(&text)).unwrap_or_default();
    nearest(port, low, high).filter(move |port| !named.contains(port))
}

fn nearest(port: u16, low: u16, high: u16) -> impl Iterator<Item = u16> {
    let both = move |by: u16| [port.checked_add(by), port.checked_sub(by)];
    let all = (1..=u16::MAX).flat_map(both).flatten();
    all.filter(move |port| *port >= FIRST && !(low..=high).contains(port))
}

/// The ports of a services file.
fn named(text: &str) -> HashSet<u16> {
    let second =
        |line: &str| line.split('#').next()?.split_ascii_whitespace().nth(1)?.split('/').next()?.parse().ok();
    text.lines().filter_map(second).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn wanted(port: u16, low: u16, high: u16) -> WantedPort {
        let protocol = 6;
        WantedPort { netns: netns::own(), tgid: std::process::id(), protocol, port, low, high }
    }

    fn first(port: u16, low: u16, high: u16) -> Vec<u16> {
        nearest(port, low, high).take(3).collect()
    }

    #[test]
    fn the_nearest_outside_the_range_come_first() {
        assert_eq!(first(8080, 32768, 60999), [8081, 8079, 8082]);
        assert_eq!(first(50010, 32768, 60999), [61000, 61001, 61002]);
        assert_eq!(first(33000, 32768, 60999), [32767, 32766, 32765]);
        assert_eq!(first(80, 32768, 60999), [1024, 1025, 1026], "anybody may bind it");
        assert_eq!(first(65535, 32768, 60999), [65534, 65533, 65532]);
        assert!(first(5000, 1024, 65535).is_empty(), "everything is ephemeral");
    }

    #[test]
    fn a_services_file_names_ports() {
        let text = "# all\nhttp-alt\t8080/tcp webcache # x\nbroken\nsix 70000/tcp\nsip 5060/udp\n";
        assert_eq!(named(text), HashSet::from([8080, 5060]));
    }

    #[test]
    fn what_somebody_has_is_not_free_and_answers_are_remembered() {
        let mut memory = Memory::default();
        // Everything but three ports is said to be ephemeral; find some that nobody has.
        let (taken, free) = (1..500)
            .find_map(|n| {
                let taken = TcpListener::bind(("127.0.0.1", 20_000 + 2 * n)).ok()?;
                let free = 20_001 + 2 * n;
                (TcpListener::bind(("0.0.0.0", free)).is_ok()
                    && find(&wanted(free - 1, free + 1, 65_535)) == Some(free))
                .then_some((taken, free))
            })
            .expect("two ports");
        let question = wanted(free - 1, free + 1, 65_535);
        assert_eq!(memory.answer(question), Some(free));
        let now_taken = TcpListener::bind(("0.0.0.0", free)).expect("nobody has it");
        assert_eq!(memory.answer(question), Some(free), "for some seconds");
        assert_ne!(Memory::default().answer(question), Some(free));
        let udp = WantedPort { protocol: 17, ..question };
        assert_eq!(find(&udp), UdpSocket::bind(("0.0.0.0", free)).is_ok().then_some(free), "another table");
        drop((taken, now_taken));
    }
}
