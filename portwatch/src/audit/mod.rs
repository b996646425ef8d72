//! What may fail the next time that a service starts: ports that the kernel may have given to a client by then, how likely
//! that is, and settings that make it likelier. `look` asks, `land`, `choice` and `odds` reckon, `findings` and `settings`
//! have the words.

pub mod at_risk;
mod choice;
pub mod configured;
pub mod downtime;
mod findings;
mod land;
mod look;
mod odds;
mod remedy;
mod settings;
mod tempo;
#[cfg(test)]
mod tests;
mod wanted;

use crate::correlate::{Lookups, ProcessInfo, SocketHolders, Wanted};
use crate::model::{Audit, AuditedNamespace, AuditedProtocol, DowntimeSource, Finding, SCHEMA};
use crate::owner::{cgroup, now_boot_ns};
use crate::probe::{Kernel, Snapshot, open_sockets};
use crate::who::{Scope, of_namespaces};
use configured::Configured;
use look::{Seen, View};
use odds::{ASSUMED, Downtime};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where to look.
    pub scope: Scope,
    /// For how long to watch ports come and go.
    pub sample: Duration,
    /// How long a restart leaves a port free, where that was said.
    pub downtime: Option<Duration>,
    /// Whether BPF may tell which ports the kernel chose.
    pub with_bpf: bool,
    /// Ports that somebody wants, whether they are open or not.
    pub configured: Vec<Configured>,
}

/// What is known of the sockets beside what the tables say.
#[derive(Debug, Default)]
struct Known {
    /// By inode: who has it open.
    holders: HashMap<u64, SocketHolders>,
    /// By namespace and inode: whether the kernel chose the port. Empty without BPF.
    chosen: HashMap<(u32, u64), bool>,
    /// How long a restart takes, where that was said.
    downtime: Option<Duration>,
    /// By unit: how long its restart takes.
    downtimes: HashMap<String, Duration>,
}

impl Known {
    fn processes(&self, inode: u64) -> &[ProcessInfo] {
        self.holders.get(&inode).map_or(&[], |answer| &answer.processes)
    }

    fn downtime(&self, unit: Option<&str>) -> Downtime {
        let measured = unit.and_then(|unit| self.downtimes.get(unit));
        match (self.downtime, measured) {
            (Some(time), _) => Downtime { time, from: DowntimeSource::Given },
            (None, Some(time)) => Downtime { time: *time, from: DowntimeSource::Unit },
            (None, None) => Downtime { time: ASSUMED, from: DowntimeSource::Assumed },
        }
    }
}

/// Looks, and says what it found.
pub fn audit(request: &Request, lookups: &mut dyn Lookups) -> Audit {
    let seen = look::look(&request.scope, request.sample);
    let mut unseen = Vec::new();
    of_namespaces(&mut unseen, seen.hidden, &seen.shut);
    let holders = holders(&seen, lookups);
    let known = Known {
        downtimes: downtimes(&holders, &request.configured),
        holders,
        chosen: chosen(&seen, request.with_bpf, &mut unseen),
        downtime: request.downtime,
    };
    let mut found: Vec<Finding> = Vec::new();
    for view in &seen.views {
        found.extend(findings::of_sockets(view, &known, lookups, &mut unseen));
        found.extend(wanted::of_configured(view, &request.configured, &known, &found));
        found.extend(settings::of_view(view));
        unseen.extend(
            view.occupancy.unreadable.iter().map(|table| format!("a table that could not be read: {table}")),
        );
    }
    found.extend(settings::differing(&seen.views));
    unseen.extend(gone(request, &seen));
    found.sort_by(|a, b| {
        let odds =
            |finding: &Finding| finding.odds.map_or((0.0, 0.0), |odds| (odds.idle_restart, odds.long_stop));
        let ((a_now, a_long), (b_now, b_long)) = (odds(a), odds(b));
        let likelier = b_now.total_cmp(&a_now).then(b_long.total_cmp(&a_long));
        a.kind.cmp(&b.kind).then(likelier).then((a.netns, a.port).cmp(&(b.netns, b.port)))
    });
    Audit {
        schema: SCHEMA,
        time: lookups.wall_clock(now_boot_ns()),
        sample_ms: seen.sampled.as_millis().try_into().unwrap_or(u64::MAX),
        findings: found,
        namespaces: seen.views.iter().map(namespace).collect(),
        unseen,
    }
}

/// Ports of namespaces that are not there any more, as the history has them: a note, for they cannot be looked at.
fn gone(request: &Request, seen: &Seen) -> Option<String> {
    let is_gone = |netns: u32| seen.views.iter().all(|view| view.netns != netns);
    let count = request.configured.iter().filter(|one| one.netns.is_some_and(is_gone)).count();
    (count > 0 && request.scope == Scope::All).then(|| {
        format!("{count} ports of former victims are of network namespaces that are gone, or from before the last boot")
    })
}

/// Who has the sockets open that others may come to.
fn holders(seen: &Seen, lookups: &mut dyn Lookups) -> HashMap<u64, SocketHolders> {
    let standing = seen.views.iter().flat_map(|view| &view.standing);
    let inodes: BTreeSet<u64> = standing.map(|entry| entry.inode).filter(|inode| *inode != 0).collect();
    let wanted: Vec<Wanted> =
        inodes.iter().map(|&inode| Wanted { inode, hint: None, sharers: true }).collect();
    let answers = if wanted.is_empty() { Vec::new() } else { lookups.socket_holders(&wanted) };
    inodes.into_iter().zip(answers).collect()
}

/// How long the restarts of the host's own units take, of those that are concerned: the delay before systemd starts them
/// again, and the last start, or a round number for it.
fn downtimes(holders: &HashMap<u64, SocketHolders>, configured: &[Configured]) -> HashMap<String, Duration> {
    let processes = holders.values().flat_map(|answer| &answer.processes);
    let of_host = |info: &ProcessInfo| {
        let path = info.cgroup.as_deref().filter(|path| !path.contains("/user@"))?;
        let place = cgroup::membership(path);
        place.unit.filter(|_| place.container.is_none())
    };
    let mut units: Vec<String> = processes.filter_map(of_host).collect();
    units.extend(configured.iter().filter_map(|one| one.unit.clone()));
    units.sort_unstable();
    units.dedup();
    let known = downtime::downtimes(&units).into_iter();
    known
        .map(|(unit, it)| (unit, it.restart_delay.unwrap_or_default() + it.start_up.unwrap_or(ASSUMED)))
        .collect()
}

/// Which of the sockets have a port that the kernel chose.
fn chosen(seen: &Seen, with_bpf: bool, unseen: &mut Vec<String>) -> HashMap<(u32, u64), bool> {
    if !with_bpf || seen.views.iter().all(|view| view.standing.is_empty()) {
        return HashMap::new();
    }
    let is_wanted = |port| seen.views.iter().any(|view| look::is_within(view.range, port));
    match Kernel::read().and_then(|kernel| open_sockets(&kernel, is_wanted)) {
        Ok(Snapshot { sockets, .. }) => {
            sockets.iter().map(|socket| ((socket.netns, socket.inode), socket.is_chosen)).collect()
        }
        Err(reason) => {
            unseen.push(format!(
                "which listeners have a port that the kernel chose: it takes BPF, and there is none ({})",
                reason.what
            ));
            HashMap::new()
        }
    }
}

fn namespace(view: &View) -> AuditedNamespace {
    let (low, high) = view.range.unzip();
    let in_use = |protocol| {
        let counts = view.occupancy.ephemeral.iter().filter(move |(of, ..)| *of == protocol);
        counts.map(|(_, state, count)| (state.as_str().to_owned(), *count)).collect()
    };
    let protocols = view.lands.iter().map(|(land, pace)| AuditedProtocol {
        protocol: land.protocol,
        in_use: in_use(land.protocol),
        clients: land.clients(),
        assignments_per_second: pace.sum(),
    });
    AuditedNamespace {
        netns: view.netns,
        netns_name: view.name.clone(),
        own: view.is_own,
        low,
        high,
        reserved: view.reserved.clone(),
        choosable: view.lands.first().map_or(0, |(land, _)| land.choosable()),
        step_width: view.step_width,
        protocols: protocols.collect(),
    }
}
