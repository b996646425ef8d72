//! Kernel records + lookups → conflicts. Pure: no I/O, no clock. The same records and the same answers give the same
//! reports, live and in a replay.
//!
//! [`select`] says which sockets were in the way, [`resolve`] whose they are, [`cause`] what class that is, and
//! [`coalesce`] whether it was told before.

mod cause;
mod coalesce;
mod lookups;
mod processes;
mod resolve;
mod select;
#[cfg(test)]
mod tests;

pub use lookups::{Lookups, ProcessId, ProcessInfo, SocketHolders, Wanted};
pub use processes::CAPACITY as PROCESS_CAPACITY;

use crate::advise::{self, Situation};
use crate::decode::RawEvent;
use crate::model::{Cause, Conflict, Errno, Operation, Process, Protocol, Range, SCHEMA, UnnamedReason};
use crate::rule::Era;
use coalesce::{Coalescer, Key};
use portwatch_common::Socket;
use portwatch_common::record::{Holder, Refusal, flag, refusal_flag};
use processes::Processes;
use resolve::{Resolved, Scene};
use select::Selection;
use std::collections::{HashMap, VecDeque};

/// Refusals whose holders may wait for them at one time: one a thread inside bind() is all there can be.
const GROUPS: usize = 1_024;
/// Holders kept for one refusal; the kernel side walks no further either.
const GROUP_SIZE: usize = 1_024;
/// How long a decision about one process and one socket is taken over without looking again.
const FRESH_NS: u64 = 1_000_000_000;
/// Such decisions remembered.
const DECISIONS: usize = 1_024;

/// What a correlator is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The kernel hooks in use, as the report names them.
    pub backend: String,
    /// The kernel's variant of the rule.
    pub era: Era,
    /// portwatch's own network namespace.
    pub own_netns: u32,
    /// When the hooks were attached, on the boot clock: what they did not see can only be older.
    pub started_ns: u64,
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
    /// Refusals of a protocol that has no ports.
    pub other_protocols: u64,
}

/// Everything that a decision about a refusal depends on: the same again needs no second look at /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fingerprint {
    victim: ProcessId,
    wanted: [u8; 16],
    port: u16,
    protocol: u16,
    netns: u32,
    operation: u8,
    culprit: (u64, u64, u8),
    owner: Option<ProcessId>,
}

/// Joins records to conflicts.
#[derive(Debug)]
pub struct Correlator {
    settings: Settings,
    stats: Stats,
    processes: Processes,
    coalescer: Coalescer,
    groups: HashMap<u64, Vec<Holder>>,
    group_order: VecDeque<u64>,
    decisions: HashMap<Fingerprint, (Key, u64)>,
}

impl Correlator {
    /// Nothing known yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            processes: Processes::new(settings.processes),
            settings,
            stats: Stats::default(),
            coalescer: Coalescer::default(),
            groups: HashMap::new(),
            group_order: VecDeque::new(),
            decisions: HashMap::new(),
        }
    }

    /// Takes one record in; a refusal may complete a report.
    pub fn accept(&mut self, event: RawEvent, lookups: &mut dyn Lookups) -> Option<Report> {
        match event {
            RawEvent::Process(process) => self.processes.announce(&process, lookups),
            RawEvent::Holder(holder) => self.hold(*holder),
            RawEvent::Refusal(refusal) => return self.refused(&refusal, lookups),
        }
        None
    }

    /// Repeats that are due, at most one a second and conflict. `now_boot_ns` is on the boot clock.
    pub fn tick(&mut self, now_boot_ns: u64) -> Vec<Report> {
        self.decisions.retain(|_, (_, made_ns)| now_boot_ns.saturating_sub(*made_ns) < FRESH_NS);
        self.coalescer.due(now_boot_ns)
    }

    /// The last repeats.
    pub fn finish(&mut self) -> Vec<Report> {
        self.coalescer.finish()
    }

    /// What was left aside so far.
    pub fn stats(&self) -> Stats {
        let waiting = self.groups.values().map(Vec::len).sum::<usize>();
        Stats { stray_holders: self.stats.stray_holders + waiting as u64, ..self.stats }
    }

    fn hold(&mut self, holder: Holder) {
        let id = holder.refusal;
        if !self.groups.contains_key(&id) {
            if self.group_order.len() >= GROUPS
                && let Some(oldest) = self.group_order.pop_front()
            {
                let stray = self.groups.remove(&oldest).map_or(0, |group| group.len());
                self.stats.stray_holders += stray as u64;
            }
            self.group_order.push_back(id);
        }
        let group = self.groups.entry(id).or_default();
        if group.len() < GROUP_SIZE {
            group.push(holder);
        } else {
            self.stats.stray_holders += 1;
        }
    }

    fn take_group(&mut self, id: u64) -> Vec<Holder> {
        let Some(group) = self.groups.remove(&id) else { return Vec::new() };
        self.group_order.retain(|&other| other != id);
        group
    }

    fn refused(&mut self, refusal: &Refusal, lookups: &mut dyn Lookups) -> Option<Report> {
        self.stats.refusals += 1;
        let records = self.take_group(refusal.id);
        let Some(protocol) = Protocol::from_wire(refusal.socket.protocol) else {
            self.stats.other_protocols += 1;
            return None;
        };
        let selection = select::select(refusal, &records, self.settings.era);
        self.stats.foreign_holders += selection.foreign;

        let fingerprint = fingerprint(refusal, &selection);
        if let Some(report) = self.decided(&fingerprint, refusal, lookups) {
            return report;
        }
        let scene = Scene {
            range: (refusal.range_low, refusal.range_high),
            has_listener: selection.has_listener,
            started_ns: self.settings.started_ns,
            when_ns: refusal.when_ns,
        };
        let resolved = resolve::resolve(&selection.suspects, &scene, &mut self.processes, lookups);
        let conflict = self.describe(refusal, protocol, &resolved, lookups);
        let key = key(&conflict, resolved.first().and_then(|culprit| culprit.owner));
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

    fn describe(
        &mut self,
        refusal: &Refusal,
        protocol: Protocol,
        resolved: &[Resolved],
        lookups: &mut dyn Lookups,
    ) -> Conflict {
        let socket = &refusal.socket;
        let victim = self.processes.describe(&refusal.task, lookups);
        let time = lookups.wall_clock(refusal.when_ns);
        let mut conflict = Conflict {
            schema: SCHEMA,
            id: format!("{:x}-{:x}", refusal.when_ns, refusal.task.tid),
            time,
            count: 1,
            first_time: time,
            operation: Operation::from_wire(refusal.operation),
            errno: Errno(refusal.errno),
            protocol,
            address: resolve::ip_addr(socket.family, socket.local),
            port: socket.local_port,
            netns: socket.netns,
            backend: self.settings.backend.clone(),
            cause: class(refusal, &victim, resolved),
            victim,
            holders: resolved.iter().map(|r| r.holder.clone()).collect(),
            range: range(refusal),
            advice: Vec::new(),
        };
        if conflict.holders.is_empty() && conflict.cause == Cause::Unknown {
            conflict.holders.push(resolve::nobody(why_nobody(refusal)));
        }
        let situation = self.situation(refusal, &conflict, resolved.first(), lookups);
        conflict.advice = advise::advise(&conflict, &situation);
        conflict
    }

    fn situation(
        &self,
        refusal: &Refusal,
        conflict: &Conflict,
        culprit: Option<&Resolved>,
        lookups: &mut dyn Lookups,
    ) -> Situation {
        let holder = culprit.map(|culprit| culprit.suspect.socket);
        // Any living process of the namespace will do to read its settings.
        let doors = conflict.holders.iter().filter(|holder| holder.alive).filter_map(|h| h.process.as_ref());
        let doors = std::iter::once(&conflict.victim).chain(doors).map(|process| process.pid);
        let reserved = doors.take(4).find_map(|pid| lookups.reserved_ports(conflict.netns, pid));
        let users = holder.filter(|holder| holder.uid != refusal.socket.uid).map(|holder| {
            let mut name = |uid| lookups.user_name(uid).unwrap_or_else(|| format!("uid {uid}"));
            (name(refusal.socket.uid), name(holder.uid))
        });
        Situation {
            own_netns: self.settings.own_netns,
            reserved,
            victim_reuses: refusal.socket.flags & flag::REUSE != 0,
            holder_reuses: holder.is_some_and(|holder| holder.flags & flag::REUSE != 0),
            users,
        }
    }
}

fn class(refusal: &Refusal, victim: &Process, resolved: &[Resolved]) -> Cause {
    match resolved.first() {
        _ if refusal.socket.local_port == 0 => Cause::Exhausted,
        Some(culprit) => cause::classify(refusal, victim, culprit),
        None => Cause::Unknown,
    }
}

const fn range(refusal: &Refusal) -> Range {
    let port = refusal.socket.local_port;
    Range {
        low: refusal.range_low,
        high: refusal.range_high,
        in_range: refusal.range_low <= port && port <= refusal.range_high,
        reserved: refusal.flags & refusal_flag::RESERVED != 0,
    }
}

/// Why a refusal has no holder, the likeliest first.
const fn why_nobody(refusal: &Refusal) -> UnnamedReason {
    if refusal.holders_lost > 0 {
        UnnamedReason::RecordLost
    } else if refusal.flags & refusal_flag::WALK_CUT != 0 {
        UnnamedReason::WalkCut
    } else if refusal.flags & refusal_flag::NO_WALK != 0 {
        UnnamedReason::NoWalk
    } else {
        UnnamedReason::ReleasedMeanwhile
    }
}

fn fingerprint(refusal: &Refusal, selection: &Selection) -> Fingerprint {
    let socket = &refusal.socket;
    let culprit = selection.suspects.first();
    let identity = |socket: &Socket| (socket.address, socket.inode, socket.state);
    Fingerprint {
        victim: ProcessId::of(&refusal.task),
        wanted: socket.local,
        port: socket.local_port,
        protocol: socket.protocol,
        netns: socket.netns,
        operation: refusal.operation,
        culprit: culprit.map_or((0, 0, 0), |suspect| identity(&suspect.socket)),
        owner: culprit.and_then(|suspect| suspect.assignment).map(|a| ProcessId::of(&a.task)),
    }
}

fn key(conflict: &Conflict, culprit: Option<ProcessId>) -> Key {
    let Process { unit, exe, comm, .. } = &conflict.victim;
    Key {
        netns: conflict.netns,
        protocol: conflict.protocol,
        address: conflict.address,
        port: conflict.port,
        victim: unit.as_ref().or(exe.as_ref()).unwrap_or(comm).clone(),
        culprit,
        cause: culprit.is_none().then_some(conflict.cause),
    }
}
