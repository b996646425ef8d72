//! Conflicts of every class, and presents of every kind.

use crate::advise::Situation;
use crate::model::{
    AssignedBy, Cause, Conflict, Destination, Exhaustion, HeldPort, HeldSocket, Holder, NamespaceRange,
    Operation, PortsInUse, Process, Protocol, Role, SCHEMA, SocketOptions, State, UnnamedReason, example,
};
use crate::why::{Hold, Life, Present, Story, story};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Whose namespace the example is in.
pub(super) const HERE: u32 = 4_026_531_840;

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// The morning after the example.
pub(super) fn now() -> Timestamp {
    time("2026-11-24T08:30:00Z")
}

pub(super) fn present(process: Life, socket: Hold) -> Present {
    let situation = Situation {
        own_netns: HERE,
        reserved: Some(String::new()),
        free_port: Some(61_000),
        destroys: Some(true),
        ..Situation::default()
    };
    let port = HeldPort {
        schema: SCHEMA,
        time: now(),
        port: 50010,
        protocols: vec![Protocol::Tcp],
        holders: Vec::new(),
        namespaces: vec![NamespaceRange { netns: HERE, netns_name: None, own: true, range: None }],
        earlier: Vec::new(),
        unseen: Vec::new(),
        advice: Vec::new(),
    };
    Present { process, socket, port: Some(port), situation, ..Present::unseen(now()) }
}

pub(super) fn told(conflict: &Conflict, present: &Present) -> Story {
    story(conflict, present, &TimeZone::UTC, now())
}

/// A socket on the example's port.
pub(super) fn held(role: Role, process: Option<Process>) -> HeldSocket {
    HeldSocket {
        netns: HERE,
        netns_name: None,
        protocol: Protocol::Tcp,
        local: Some("0.0.0.0:50010".parse().expect("an address")),
        remote: matches!(role, Role::Client | Role::Accepted | Role::TimeWait)
            .then(|| "10.0.0.9:2379".parse().expect("an address")),
        state: if role == Role::Listener { State::Listen } else { State::Established },
        role,
        inode: Some(99),
        uid: Some(0),
        user: None,
        unnamed_reason: process.is_none().then_some(UnnamedReason::NoProcess),
        process,
        others: Vec::new(),
        evidence: None,
        assigned_by: AssignedBy::Preexisting,
        ephemeral: false,
        creator: None,
        ends_in_ms: None,
    }
}

/// The example as a conflict of this class, as the correlator would report it.
pub(super) fn of_cause(cause: Cause) -> Conflict {
    let mut conflict = Conflict { cause, advice: Vec::new(), ..example::client() };
    let victim = conflict.victim.clone();
    let mut holder = conflict.holders.remove(0);
    match cause {
        Cause::Exhausted => {
            (conflict.port, conflict.operation) = (0, Operation::Bind);
            (holder.state, holder.local, holder.remote, holder.inode) = (State::Unknown, None, None, None);
            (holder.sockets, holder.options) = (Some(28_004), None);
            (conflict.range.in_range, conflict.options) = (false, None);
            conflict.exhaustion = Some(full());
        }
        Cause::KernelSocket => {
            holder = by_number(nameless(holder, UnnamedReason::KernelSocket), State::Listen);
            conflict.protocol = Protocol::Udp;
        }
        Cause::TimeWait => (holder.state, holder.inode, holder.alive) = (State::TimeWait, None, false),
        Cause::Closing => (holder.state, holder.inode, holder.alive) = (State::FinWait2, None, false),
        Cause::OwnSocket => {
            holder = Holder { process: Some(victim), ..by_number(holder, State::Listen) };
            holder.local = Some("[::]:50010".parse().expect("an address"));
        }
        Cause::ReuseportMismatch => {
            holder = by_number(holder, State::Listen);
            let both = SocketOptions { reuse_port: true, ..SocketOptions::default() };
            (conflict.options, holder.options) = (Some(both), Some(both));
        }
        Cause::Inherited => {
            holder = by_number(holder, State::Listen);
            holder.creator = Some(Process { pid: 2001, comm: "supervisor".into(), ..Process::default() });
        }
        Cause::PreviousInstance => {
            holder =
                Holder { process: Some(Process { pid: 4000, ..victim }), ..by_number(holder, State::Listen) };
        }
        Cause::EphemeralClient => {}
        Cause::EphemeralBind => {
            (holder.assigned_by, holder.state, holder.remote) = (AssignedBy::Bind0, State::Listen, None);
        }
        Cause::Listener => holder = by_number(holder, State::Listen),
        Cause::ExplicitBind => holder = by_number(holder, State::Close),
        Cause::Unknown => {
            (holder.assigned_by, holder.ephemeral, holder.assigned_time) =
                (AssignedBy::Preexisting, false, None);
        }
    }
    conflict.holders = vec![holder];
    conflict
}

/// A range full of connections, most of them to one destination.
fn full() -> Exhaustion {
    let to = Destination {
        local: [10, 0, 0, 5].into(),
        remote: ([10, 0, 0, 9], 2379).into(),
        ports: 28_004,
        time_wait: 1_200,
    };
    Exhaustion {
        low: 32_768,
        high: 60_999,
        ports: 28_232,
        in_use: PortsInUse { listen: 3, established: 26_829, bound: 200, closing: 0, time_wait: 1_200 },
        unavailable: 203,
        shared: 28_029,
        destinations: vec![to],
        time_wait_reuse: Some(2),
        ..Exhaustion::default()
    }
}

fn by_number(holder: Holder, state: State) -> Holder {
    let local = Some("0.0.0.0:50010".parse().expect("an address"));
    Holder { assigned_by: AssignedBy::Bind, ephemeral: false, remote: None, local, state, ..holder }
}

/// The same holder, but nobody can be named.
pub(super) fn nameless(holder: Holder, reason: UnnamedReason) -> Holder {
    Holder { process: None, unnamed_reason: Some(reason), alive: false, ..holder }
}
