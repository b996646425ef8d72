//! What there is now of a conflict: plain data, and what it means for the holder. Pure; [`super::look`] does the looking.

use crate::advise::Situation;
use crate::model::{Conflict, Exhaustion, HeldPort, HeldSocket, Holder, Process, Protocol, Role};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

/// How far two readings of one start time may lie apart: the clock may have been set a little in between.
const SAME_START: SignedDuration = SignedDuration::from_secs(1);

/// What there is now.
#[derive(Clone, Debug, Serialize)]
pub struct Present {
    /// When it was looked.
    #[serde(serialize_with = "rfc3339")]
    pub time: Timestamp,
    /// The machine was started again since the conflict.
    pub rebooted: bool,
    /// What became of the culprit's process.
    pub process: Life,
    /// What became of the culprit's socket.
    pub socket: Hold,
    /// Who has the port now, in every network namespace that could be seen; `null` if that was not looked at.
    pub port: Option<HeldPort>,
    /// How full the range is now, if it was exhausted and could be looked at.
    pub range: Option<Exhaustion>,
    /// What advice depends on, as it is now.
    #[serde(skip)]
    pub situation: Situation,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// It still runs.
    Runs,
    /// It has ended.
    Ended,
    /// That cannot be seen from here.
    Unknown,
    /// There is none that is known.
    Unnamed,
}

/// What became of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// It still has the port.
    Holds,
    /// It has not, but the same process has the port by another one.
    HoldsAnother,
    /// It has let go of the port.
    LetGo,
    /// That cannot be seen from here.
    NotSeen,
}

impl Present {
    /// Nothing was looked at: all that is told is the past.
    pub fn unseen(time: Timestamp) -> Self {
        Self {
            time,
            rebooted: false,
            process: Life::Unknown,
            socket: Hold::NotSeen,
            port: None,
            range: None,
            situation: Situation::default(),
        }
    }

    /// Whether nothing of the conflict is left to be ended or waited for.
    pub fn is_over(&self) -> bool {
        self.rebooted
            || self.socket == Hold::LetGo
            || (self.socket == Hold::NotSeen && self.process == Life::Ended)
    }

    /// The sockets on the port now, in the conflict's network namespace and table of ports.
    pub fn holders(&self, conflict: &Conflict) -> impl Iterator<Item = &HeldSocket> {
        let (netns, protocol) = (conflict.netns, conflict.protocol);
        let all = self.port.iter().flat_map(|port| &port.holders);
        all.filter(move |held| held.netns == netns && is_same_table(held.protocol, protocol))
    }

    /// Whether the conflict's network namespace was looked into.
    pub fn sees(&self, conflict: &Conflict) -> bool {
        let namespaces = self.port.iter().flat_map(|port| &port.namespaces);
        namespaces.into_iter().any(|namespace| namespace.netns == conflict.netns)
    }

    /// The same, with what became of the culprit worked out from what was seen. `runs` says whether its process does.
    #[must_use]
    pub fn judged(self, conflict: &Conflict, runs: Option<bool>) -> Self {
        let holder = conflict.culprit();
        let process = match holder.and_then(|holder| holder.process.as_ref()) {
            None => Life::Unnamed,
            Some(_) if self.rebooted => Life::Ended,
            Some(_) => runs.map_or(Life::Unknown, |runs| if runs { Life::Runs } else { Life::Ended }),
        };
        let socket = match holder {
            _ if self.rebooted => Hold::LetGo,
            None => Hold::NotSeen,
            Some(holder) => self.hold(conflict, holder),
        };
        Self { process, socket, ..self }
    }

    fn hold(&self, conflict: &Conflict, holder: &Holder) -> Hold {
        if self.holders(conflict).any(|held| is_socket(held, holder)) {
            return Hold::Holds;
        }
        let is_owner = |held: &HeldSocket| {
            let all = held.process.iter().chain(&held.others);
            holder.process.as_ref().is_some_and(|owner| all.into_iter().any(|one| is_same(one, owner)))
        };
        if self.holders(conflict).any(is_owner) {
            return Hold::HoldsAnother;
        }
        // One that nothing is known of cannot be recognised.
        let is_known = holder.inode.is_some() || holder.local.is_some();
        if self.sees(conflict) && is_known { Hold::LetGo } else { Hold::NotSeen }
    }
}

fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.9}"))
}

fn is_same_table(a: Protocol, b: Protocol) -> bool {
    let plain = |protocol| if protocol == Protocol::Mptcp { Protocol::Tcp } else { protocol };
    plain(a) == plain(b)
}

/// Whether it is the very socket: by inode, or where it has none by both its ends.
fn is_socket(held: &HeldSocket, holder: &Holder) -> bool {
    let by_inode = holder.inode.is_some() && held.inode == holder.inode;
    let by_ends = holder.remote.is_some() && held.remote == holder.remote && held.local == holder.local;
    by_inode || by_ends
}

/// Whether two descriptions are of one process. A pid alone is soon somebody else.
pub(super) fn is_same(a: &Process, b: &Process) -> bool {
    let starts = a.start_time.zip(b.start_time);
    a.pid == b.pid && starts.is_some_and(|(a, b)| a.duration_since(b).abs() <= SAME_START)
}

/// Whether a socket is the service's that was refused then, by whichever of its processes.
pub(super) fn is_victims(held: &HeldSocket, conflict: &Conflict) -> bool {
    let victim = &conflict.victim;
    let is_kin = |process: &Process| match (&process.cgroup, &victim.cgroup) {
        (Some(a), Some(b)) if crate::owner::cgroup::same_service(a, b) => true,
        _ => process.exe.is_some() && process.exe == victim.exe && process.cmdline == victim.cmdline,
    };
    matches!(held.role, Role::Listener | Role::Bound) && held.process.iter().chain(&held.others).any(is_kin)
}
