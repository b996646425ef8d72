//! Kernel records + lookups → conflicts. Pure: no I/O, no clock. The same records and the same answers give the same
//! reports, live and in a replay.
//!
//! `groups` joins holders with their refusal, `select` says which sockets were in the way, `resolve` whose they are,
//! `cause` what class that is, `describe` puts it together, and `coalesce` knows whether it was told before.

mod cause;
mod coalesce;
mod describe;
mod exhaustion;
mod fingerprint;
mod groups;
mod lookups;
mod processes;
mod resolve;
mod sctp;
mod select;
mod socket;
#[cfg(test)]
mod tests;

pub(crate) use exhaustion::settings as range_settings;
pub use lookups::{
    ContainerNames, Lookups, ProcessId, ProcessInfo, RangeHolder, RangeUse, SocketHolders, Wanted,
    WantedPort, WantedRange, WantedUse,
};
pub use processes::CAPACITY as PROCESS_CAPACITY;

use crate::advise;
use crate::decode::RawEvent;
use crate::model::{Cause, Conflict, Process, Protocol};
use crate::rule::Era;
use coalesce::{Coalescer, Key, Victim};
use fingerprint::Fingerprint;
use groups::Groups;
use portwatch_common::Socket;
use portwatch_common::record::{Refusal, flag};
use processes::Processes;
use resolve::Scene;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How long a decision about one process and one socket is taken over without looking again.
const FRESH_NS: u64 = 1_000_000_000;
/// Such decisions remembered.
const DECISIONS: usize = 1_024;

/// Describes a process that was found by looking, where there are no records.
pub fn describe_found(info: &ProcessInfo, lookups: &mut dyn Lookups) -> Process {
    Processes::new(1).describe_found(info, lookups)
}

/// What a correlator is told once. Its names stand in recordings: a field that is added needs a default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The kernel hooks in use, as the report names them.
    pub backend: String,
    /// The kernel's variant of the rule.
    pub era: Era,
    /// portwatch's own network namespace.
    pub own_netns: u32,
    /// When the hooks were attached, on the boot clock: what they did not see can only be older.
    pub started_ns: u64,
    /// Every socket that was open then has a record.
    pub has_snapshot: bool,
    /// Processes remembered: [`PROCESS_CAPACITY`] unless there is a reason.
    pub processes: usize,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A conflict for the first time.
    New(Box<Conflict>),
    /// More refusals of a conflict told before: the same id, a larger count.
    Repeat(Box<Conflict>),
}

impl Report {
    /// The conflict as it stands now.
    pub const fn conflict(&self) -> &Conflict {
        match self {
            Self::New(conflict) | Self::Repeat(conflict) => conflict,
        }
    }
}

/// What was left aside, for the summary and the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Refusals taken in.
    pub refusals: u64,
    /// Records of another namespace, protocol or port than their refusal's, dropped.
    pub foreign_holders: u64,
    /// Holders whose refusal never came, or that exceeded the bound of a group.
    pub stray_holders: u64,
    /// Refusals of the kernel's own search for a free privileged port, which is no conflict of anybody's.
    pub kernel_searches: u64,
    /// Refusals of a protocol that has no ports.
    pub other_protocols: u64,
}

/// Joins records to conflicts.
#[derive(Debug)]
pub struct Correlator {
    settings: Settings,
    stats: Stats,
    processes: Processes,
    coalescer: Coalescer,
    groups: Groups,
    decisions: HashMap<Fingerprint, (Key, u64)>,
    /// Time of the latest refusal.
    latest_ns: u64,
}

impl Correlator {
    /// Nothing known yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            processes: Processes::new(settings.processes),
            settings,
            stats: Stats::default(),
            coalescer: Coalescer::default(),
            groups: Groups::default(),
            decisions: HashMap::new(),
            latest_ns: 0,
        }
    }

    /// Takes one record in; a refusal may complete a report.
    pub fn accept(&mut self, event: RawEvent, lookups: &mut dyn Lookups) -> Option<Report> {
        match event {
            RawEvent::Process(process) => self.processes.announce(&process, lookups),
            RawEvent::Holder(holder) => self.groups.add(*holder),
            RawEvent::Refusal(refusal) => return self.refused(&refusal, lookups),
        }
        None
    }

    /// Repeats that are due, at most one a second and conflict. `now_boot_ns` is on the boot clock.
    pub fn tick(&mut self, now_boot_ns: u64) -> Vec<Report> {
        // By the time of the refusals, not by the clock: who lags behind in a storm needs the decisions most.
        self.decisions.retain(|_, (_, made_ns)| self.latest_ns.saturating_sub(*made_ns) < FRESH_NS);
        self.coalescer.due(now_boot_ns)
    }

    /// The last repeats.
    pub fn finish(&mut self) -> Vec<Report> {
        self.coalescer.finish()
    }

    /// What was left aside so far.
    pub fn stats(&self) -> Stats {
        Stats { stray_holders: self.groups.strays(), ..self.stats }
    }

    fn refused(&mut self, refusal: &Refusal, lookups: &mut dyn Lookups) -> Option<Report> {
        self.stats.refusals += 1;
        self.latest_ns = self.latest_ns.max(refusal.when_ns);
        let mut records = self.groups.take(refusal.id);
        let refusal = &with_missing(refusal, records.len());
        let Some(protocol) = Protocol::from_wire(refusal.socket.protocol) else {
            self.stats.other_protocols += 1;
            return None;
        };
        if is_search_of_the_kernel(&refusal.socket) {
            self.stats.kernel_searches += 1;
            return None;
        }
        let mut selection = select::select(refusal, &records, self.settings.era);
        self.stats.foreign_holders += selection.foreign;

        let fingerprint = Fingerprint::of(refusal, &selection);
        if let Some(report) = self.decided(&fingerprint, refusal, lookups) {
            return report;
        }
        if protocol == Protocol::Sctp && selection.suspects.is_empty() && refusal.socket.local_port != 0 {
            records.extend(sctp::listed(refusal, lookups));
            selection = select::select(refusal, &records, self.settings.era);
        }
        let scene = Scene {
            range: (refusal.range_low, refusal.range_high),
            has_listener: selection.has_listener,
            started_ns: self.settings.started_ns,
            has_snapshot: self.settings.has_snapshot,
            when_ns: refusal.when_ns,
        };
        let resolved = resolve::resolve(&selection.suspects, &scene, &mut self.processes, lookups);
        let victim = self.processes.describe(&refusal.task, lookups);
        let mut conflict = describe::conflict(refusal, protocol, victim, &resolved, &self.settings, lookups);
        let mut situation =
            describe::situation(refusal, &conflict, resolved.first(), self.settings.own_netns, lookups);
        if conflict.cause == Cause::Exhausted {
            exhaustion::explain(&mut conflict, refusal, &mut situation, &mut self.processes, lookups);
        }
        conflict.advice = advise::advise(&conflict, &situation);
        let (key, name) = key(&conflict, resolved.first().and_then(|culprit| culprit.owner));
        let key = self.coalescer.known_as(key, name);
        if self.decisions.len() < DECISIONS {
            self.decisions.insert(fingerprint, (key.clone(), refusal.when_ns));
        }
        self.coalescer.accept(key, Box::new(conflict), refusal.when_ns)
    }

    /// The answer to a refusal that was decided a moment ago: a loop around bind() must not become a loop around /proc.
    fn decided(
        &mut self,
        fingerprint: &Fingerprint,
        refusal: &Refusal,
        lookups: &mut dyn Lookups,
    ) -> Option<Option<Report>> {
        let (key, made_ns) = self.decisions.get(fingerprint)?;
        if refusal.when_ns.saturating_sub(*made_ns) >= FRESH_NS {
            self.decisions.remove(fingerprint);
            return None;
        }
        self.coalescer.again(key, lookups.wall_clock(refusal.when_ns), refusal.when_ns)
    }
}

/// Records that were sent and did not come are as lost as those that found the ring full.
fn with_missing(refusal: &Refusal, came: usize) -> Refusal {
    let missing = refusal.holders.saturating_sub(u16::try_from(came).unwrap_or(u16::MAX));
    Refusal { holders_lost: refusal.holders_lost.saturating_add(missing), ..*refusal }
}

/// An NFS mount (`xs_bind`) tries one privileged port after the other until one is free; nobody sees those refusals.
fn is_search_of_the_kernel(wanted: &Socket) -> bool {
    wanted.flags & flag::KERNEL != 0 && (1..1024).contains(&wanted.local_port)
}

/// What makes it one conflict with others, and the victim's name.
fn key(conflict: &Conflict, culprit: Option<ProcessId>) -> (Key, String) {
    let Process { unit, exe, comm, pod, container_name, container, .. } = &conflict.victim;
    // Two containers may run one program on the host's network. A restarted one may have a new id, but not a new name.
    let inside = match (pod, container_name.as_ref().or(container.as_ref())) {
        (Some(pod), _) => format!("{pod}/{}", container_name.as_deref().unwrap_or_default()),
        (None, container) => container.cloned().unwrap_or_default(),
    };
    let name = format!("{inside} {comm}");
    // A service is one program; a scope holds whatever somebody starts in it.
    let program = match (unit, exe) {
        (Some(unit), _) if unit.ends_with(".service") => Some(unit.clone()),
        (unit, Some(exe)) => Some(format!("{} {exe}", unit.as_deref().unwrap_or_default())),
        (_, None) => None,
    };
    let program = program.map(|program| Victim::Program(format!("{inside} {program}")));
    let key = Key {
        netns: conflict.netns,
        protocol: conflict.protocol,
        address: conflict.address,
        port: conflict.port,
        victim: program.unwrap_or_else(|| Victim::Name(name.clone())),
        culprit,
        cause: culprit.is_none().then_some(conflict.cause),
    };
    (key, name)
}
