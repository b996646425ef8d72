//! How fast ports are given away in the network namespace of the calling thread: connections by the kernel's own count,
//! other sockets by who is new since the last glance.

use super::land::Land;
use super::look::{PROTOCOLS, is_within};
use super::odds::Pace;
use crate::owner::socket_tables;
use std::collections::HashSet;
use std::fs;
use std::time::{Duration, Instant};

/// A measurement that is going on.
#[derive(Debug)]
pub(super) struct Tempo {
    begun: Instant,
    last: Instant,
    connects: (Option<u64>, Option<u64>),
    /// A protocol each: who stood there at the last glance, and how many were new so far.
    standing: [Option<HashSet<(u16, u64)>>; PROTOCOLS.len()],
    newcomers: [u64; PROTOCOLS.len()],
}

impl Tempo {
    pub(super) fn start() -> Self {
        let (now, connects) = (Instant::now(), connects());
        Self {
            begun: now,
            last: now,
            connects: (connects, connects),
            standing: [const { None }; PROTOCOLS.len()],
            newcomers: [0; PROTOCOLS.len()],
        }
    }

    /// Looks at what is new.
    pub(super) fn glance(&mut self, range: Option<(u16, u16)>) {
        let is_first = self.standing[0].is_none();
        for (at, protocol) in PROTOCOLS.into_iter().enumerate() {
            let mut now = HashSet::new();
            socket_tables::standing(protocol, &mut |entry| {
                if let Some(port) =
                    entry.local.map(|local| local.port()).filter(|port| is_within(range, *port))
                {
                    now.insert((port, entry.inode));
                }
            });
            if let Some(before) = self.standing[at].replace(now) {
                let now = self.standing[at].iter().flatten();
                self.newcomers[at] += now.filter(|socket| !before.contains(socket)).count() as u64;
            }
        }
        if is_first {
            self.begun = Instant::now();
            self.connects.0 = connects();
        }
        self.last = Instant::now();
        self.connects.1 = connects();
    }

    /// What it came to.
    pub(super) fn pace(&self, land: &Land) -> Pace {
        let over: Duration = self.last - self.begun;
        let at = PROTOCOLS.iter().position(|protocol| *protocol == land.protocol).unwrap_or_default();
        let connects = match (land.protocol.is_datagram(), self.connects) {
            (false, (Some(before), Some(after))) => after.saturating_sub(before),
            _ => 0,
        };
        Pace::measured(connects, self.newcomers[at], land.waiting_clients(), over)
    }
}

/// Connections begun so far, of both families. Counted by the kernel whether they succeed or not.
fn connects() -> Option<u64> {
    active_opens(&fs::read_to_string("/proc/thread-self/net/snmp").ok()?)
}

/// `ip_local_port_step_width`, where the kernel has it.
pub(super) fn step_width() -> Option<u32> {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_step_width").ok()?.trim().parse().ok()
}

/// The column `ActiveOpens` of the two lines of TCP.
fn active_opens(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_ascii_whitespace().position(|name| name == "ActiveOpens")?;
    numbers.split_ascii_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_column_is_found_by_its_name() {
        let snmp =
            "Ip: Forwarding\nIp: 1\nTcp: RtoMin MaxConn ActiveOpens PassiveOpens\nTcp: 200 -1 4711 12\n";
        assert_eq!(active_opens(snmp), Some(4711));
        assert_eq!(active_opens("Tcp: ActiveOpens\n"), None);
        assert_eq!(active_opens(""), None);
    }

    #[test]
    fn connections_and_newcomers_are_counted() {
        let range = Some((1024, 65535));
        let mut tempo = Tempo::start();
        tempo.glance(range);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let clients: Vec<_> =
            (0..3).map(|_| TcpStream::connect(listener.local_addr().expect("an address"))).collect();
        tempo.glance(range);
        let (before, after) = tempo.connects;
        assert!(after.expect("/proc") >= before.expect("/proc") + clients.len() as u64);
        assert!(tempo.newcomers[0] >= 1);
    }
}
