//! A made-up world, and recordings of it.

use crate::correlate::{
    ContainerNames, Correlator, Lookups, PROCESS_CAPACITY, ProcessId, ProcessInfo, RangeHolder, RangeUse,
    Report, Settings, SocketHolders, Wanted, WantedPort, WantedRange, WantedUse,
};
use crate::decode::RawEvent;
use crate::model::Exhaustion;
use crate::recording::{Header, Recorder};
use crate::rule::{Era, Lookup};
use jiff::Timestamp;
use portwatch_common::record::{Assignment, Holder, Process, Refusal, Socket, Task, operation, tag};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// A stream whose bytes can be looked at while somebody else writes to it.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic while writing").clone()
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers that differ with how often it was asked: whoever asks again in a replay is found out.
#[derive(Debug, Default)]
pub(super) struct Fickle(u64);

impl Fickle {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl Lookups for Fickle {
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo> {
        let count = self.next();
        (!count.is_multiple_of(5)).then(|| ProcessInfo {
            id,
            comm: vec![b'c', 0xff, b'0' + u8::try_from(count % 10).expect("a digit")],
            exe: Some(format!("/opt/{count}")),
            arguments: vec!["-x".into(), String::new(), format!("\u{1b}[{count}m")],
            uid: Some(1000),
            cgroup: Some(
                "/system.slice/docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope"
                    .into(),
            ),
        })
    }

    fn cgroup_path(&mut self, id: u64) -> Option<String> {
        Some(format!("/user.slice/{id}-{}", self.next()))
    }

    fn container(&mut self, _: &str) -> Option<Arc<ContainerNames>> {
        Some(Arc::new(ContainerNames {
            name: Some(format!("web-{}", self.next())),
            ..ContainerNames::default()
        }))
    }

    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        let mut answer = |wanted: &Wanted| SocketHolders {
            processes: self
                .process(wanted.hint.unwrap_or(ProcessId { tgid: 9, start_ticks: 9 }))
                .into_iter()
                .collect(),
            blind: None,
        };
        wanted.iter().map(&mut answer).collect()
    }

    fn alive(&mut self, _: ProcessId) -> Option<bool> {
        Some(self.next().is_multiple_of(2))
    }

    fn ended_ns(&mut self, task: &Task) -> Option<u64> {
        Some(task.start_ns + self.next())
    }

    fn range_holders(&mut self, _: WantedRange) -> Vec<RangeHolder> {
        let task = Task { tgid: 77, start_ns: 5, comm: [0xfe; 16], ..Task::default() };
        vec![RangeHolder { task, sockets: 3, how: 1, since_ns: self.next() }]
    }

    fn range_use(&mut self, wanted: WantedUse) -> Option<RangeUse> {
        let (low, high, ports) =
            (wanted.range.low, wanted.range.high, u32::try_from(self.next() % 10_000).ok()?);
        Some(RangeUse {
            exhaustion: Exhaustion { low, high, ports, ..Exhaustion::default() },
            ..RangeUse::default()
        })
    }

    fn sctp_sockets(&mut self, netns: u32, _: u32, port: u16) -> Vec<Socket> {
        vec![Socket { netns, local_port: port, protocol: 132, inode: self.next(), ..Socket::default() }]
    }

    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp {
        let wander = i128::from(self.next());
        Timestamp::from_nanosecond(1_700_000_000_000_000_000 + i128::from(boot_ns) + wander)
            .expect("in range")
    }

    fn reserved_ports(&mut self, _: u32, _: u32) -> Option<String> {
        Some(format!("{}\n", 8_000 + self.next() % 100))
    }

    fn free_port(&mut self, _: WantedPort) -> Option<u16> {
        Some(u16::try_from(self.next() % 1_000).expect("small"))
    }

    fn destroys_sockets(&mut self) -> Option<bool> {
        Some(self.next().is_multiple_of(2))
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        Some(format!("user-{uid}-{}", self.next()))
    }
}

pub(super) fn header() -> Header {
    let settings = Settings {
        backend: "fexit".into(),
        era: Era { orphans_are_roots: false, lookup: Lookup::ByAddress },
        own_netns: 4_026_531_840,
        started_ns: 10,
        has_snapshot: true,
        processes: PROCESS_CAPACITY,
    };
    Header::now(settings, "portwatch: backend fexit, 3 sockets from before the start known\n")
}

pub(super) fn task(tgid: u32) -> Task {
    Task { start_ns: u64::from(tgid) * 20_000_000, cgroup: 8, tgid, tid: tgid, uid: 1000, ..Task::default() }
}

/// A first port, a holder and a refusal, all of one conflict; `port` 0 is an exhausted range.
pub(super) fn conflict(id: u64, port: u16, protocol: u16) -> [RawEvent; 3] {
    let socket = Socket {
        netns: 7,
        local_port: port,
        protocol,
        family: 2,
        state: 10,
        inode: 50 + id,
        ..Socket::default()
    };
    let holder = task(100 + u32::from(port));
    let assignment =
        Assignment { task: holder, port, netns: 7, inode: 50 + id, assigned_ns: 5, how: 1, protocol: 6 };
    let mut argv = [0; 256];
    argv[..6].copy_from_slice(b"thief\0");
    [
        RawEvent::Process(Box::new(Process { tag: tag::PROCESS, argv_len: 6, task: holder, argv })),
        RawEvent::Holder(Box::new(Holder {
            tag: tag::HOLDER,
            refusal: id,
            has_assignment: 1,
            socket,
            assignment,
            ..Holder::default()
        })),
        RawEvent::Refusal(Box::new(Refusal {
            tag: tag::REFUSAL,
            errno: 98,
            id,
            when_ns: 1_000_000_000 * id,
            task: task(9),
            socket: Socket { inode: 4, address: 1, ..socket },
            holders: 1,
            range_low: 32_768,
            range_high: 60_999,
            operation: operation::BIND,
            ..Refusal::default()
        })),
    ]
}

pub(super) fn events() -> impl Iterator<Item = RawEvent> {
    [(1, 80, 6), (2, 81, 17), (3, 80, 6), (4, 0, 6), (5, 5_000, 132), (6, 80, 6)]
        .into_iter()
        .flat_map(|(id, port, protocol)| conflict(id, port, protocol))
}

/// A recording, and the reports that were told while it was made.
pub(super) fn recorded() -> (Vec<u8>, Vec<Report>) {
    let (file, header) = (Shared::default(), header());
    let mut recorder = Recorder::to(file.clone(), "test".into(), &header).expect("memory takes everything");
    let mut correlator = Correlator::new(header.settings);
    let (mut lookups, mut reports) = (Fickle::default(), Vec::new());
    for (index, event) in events().enumerate() {
        reports.extend(recorder.accept(event, &mut correlator, &mut lookups));
        reports.extend(recorder.look_after(index as u64 * 700_000_000, &mut correlator));
    }
    reports.extend(correlator.finish());
    recorder.finish(&[("channel_full", 2)]);
    assert_eq!(recorder.lost(), 0);
    (file.bytes(), reports)
}
