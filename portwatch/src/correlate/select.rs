//! Which of the reported sockets made the kernel refuse, by evidence. Pure: records in, records out.

use super::{cause, sctp};
use crate::model::{Evidence, State};
use crate::rule::{self, Endpoint, Era};
use portwatch_common::record::{Holder, Refusal, flag, found_by, refusal_flag};
use portwatch_common::{Assignment, Socket};

/// How long before the time stamp of a refusal the refused call may have begun: a release within it may have come
/// after the kernel's decision. bind() itself takes microseconds; the rest is for a thread that was scheduled away.
const ATTEMPT_NS: u64 = 1_000_000;

/// A socket that made the kernel refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) socket: Socket,
    /// Who was given the port, if that is recorded and the record is this socket's.
    pub(super) assignment: Option<Assignment>,
    pub(super) evidence: Evidence,
}

/// The answer for one refusal.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// The culprit first.
    pub(super) suspects: Vec<Suspect>,
    /// Records of another namespace, protocol or port, which must never be blamed.
    pub(super) foreign: u64,
    /// A listener on the port: a connection without a record of its own may be one that it accepted.
    pub(super) has_listener: bool,
}

/// Chooses among the records that came with a refusal.
pub(super) fn select(refusal: &Refusal, records: &[Holder], era: Era) -> Selection {
    let wanted = &refusal.socket;
    if wanted.local_port == 0 {
        return Selection::default(); // the range is exhausted: everybody's fault, and nobody's
    }
    let (own, foreign): (Vec<&Holder>, Vec<&Holder>) =
        records.iter().partition(|record| same_port(&record.socket, wanted));
    let last: Vec<_> = own.iter().copied().filter(|record| record.found_by == found_by::LAST).collect();

    let mut live: Vec<_> =
        own.iter().copied().filter(|record| is_live_suspect(record, refusal, era)).collect();
    live.sort_by_key(|record| record.found_by != found_by::VERDICT); // what the walk meets again adds nothing
    let mut suspects: Vec<Suspect> = Vec::new();
    for record in live {
        match suspects.iter_mut().find(|known| is_same_socket(&known.socket, &record.socket)) {
            Some(known) => known.assignment = known.assignment.or_else(|| assignment(record)),
            None => suspects.push(suspect(record, &last)),
        }
    }
    if suspects.is_empty() && saw_all(refusal) {
        suspects.extend(last.iter().filter(|record| let_go_since(record, refusal, era)).map(|record| {
            Suspect { socket: record.socket, assignment: assignment(record), evidence: Evidence::LastOwner }
        }));
        suspects.sort_by_key(|s| std::cmp::Reverse(s.assignment.map_or(0, |a| a.assigned_ns)));
        suspects.truncate(1);
    }
    if suspects.is_empty() && i32::from(wanted.protocol) == libc::IPPROTO_SCTP {
        suspects.extend(sctp::by_elimination(refusal, &own, era));
    }
    let listens = suspects.iter().any(|suspect| State::from_wire(suspect.socket.state) == State::Listen);
    suspects.sort_by_key(|suspect| rank(suspect, listens));
    let has_listener = own.iter().any(|r| State::from_wire(r.socket.state) == State::Listen);
    Selection { suspects, foreign: foreign.len() as u64, has_listener }
}

fn same_port(socket: &Socket, wanted: &Socket) -> bool {
    socket.netns == wanted.netns
        && socket.local_port == wanted.local_port
        && (socket.protocol == wanted.protocol || is_multipath(socket, wanted))
}

/// MPTCP takes its ports through TCP sockets of its own.
fn is_multipath(a: &Socket, b: &Socket) -> bool {
    let tcp = |s: &Socket| matches!(i32::from(s.protocol), libc::IPPROTO_TCP | libc::IPPROTO_MPTCP);
    tcp(a) && tcp(b)
}

fn is_same_socket(a: &Socket, b: &Socket) -> bool {
    a.address != 0 && a.address == b.address
}

/// On the port in the moment of the refusal, and in the way.
fn is_live_suspect(record: &Holder, refusal: &Refusal, era: Era) -> bool {
    if is_same_socket(&record.socket, &refusal.socket) {
        return false; // a refused listen(): the socket keeps its port, and meets itself there
    }
    match record.found_by {
        found_by::VERDICT => true,
        found_by::WALK | found_by::LIST => conflicts(refusal, &record.socket, era),
        _ => false,
    }
}

fn conflicts(refusal: &Refusal, holder: &Socket, era: Era) -> bool {
    rule::conflicts(&Endpoint::from(&refusal.socket), &Endpoint::from(holder), era)
}

/// Every socket on the port came with the refusal: none that is unknown may have been in the way.
fn saw_all(refusal: &Refusal) -> bool {
    refusal.holders_lost == 0 && refusal.flags & (refusal_flag::WALK_CUT | refusal_flag::NO_WALK) == 0
}

/// Let go of the port after the refused call began, so that nothing was left to meet.
fn let_go_since(record: &Holder, refusal: &Refusal, era: Era) -> bool {
    record.released_ns.saturating_add(ATTEMPT_NS) >= refusal.when_ns
        && record.has_assignment == 1
        && record.assignment.assigned_ns <= refusal.when_ns
        && conflicts(refusal, &record.socket, era)
}

fn suspect(record: &Holder, last: &[&Holder]) -> Suspect {
    let by_verdict = record.found_by == found_by::VERDICT;
    let evidence = match record.found_by {
        found_by::VERDICT => Evidence::KernelVerdict,
        found_by::LIST => Evidence::SocketDump,
        _ => Evidence::PortTable,
    };
    if let Some(assignment) = assignment(record) {
        return Suspect { socket: record.socket, assignment: Some(assignment), evidence };
    }
    // TIME_WAIT and orphans keep no owner. The record of the same connection names who had it.
    let predecessor = is_ownerless(&record.socket).then(|| last.iter().find(|l| is_connection_of(l, record)));
    match predecessor.flatten().and_then(|last| assignment(last)) {
        Some(assignment) => {
            let evidence = if by_verdict { evidence } else { Evidence::LastOwner };
            Suspect { socket: record.socket, assignment: Some(assignment), evidence }
        }
        None => Suspect { socket: record.socket, assignment: None, evidence },
    }
}

/// The assignment that came with a record, unless it is that of an earlier socket at the same address: the kernel
/// reuses addresses at once, and not every backend sees every release.
fn assignment(record: &Holder) -> Option<Assignment> {
    let (socket, assignment) = (&record.socket, record.assignment);
    // Without a file there is no inode to compare: what nobody has any more may be the recorded one, a socket of the kernel
    // that never had one is not.
    let has_same_file =
        assignment.inode == socket.inode || (socket.inode == 0 && socket.flags & flag::KERNEL == 0);
    let fits = record.has_assignment == 1
        && u16::from(assignment.protocol) == socket.protocol & 0xff
        && (assignment.netns == 0 || assignment.netns == socket.netns)
        && (assignment.port == 0 || assignment.port == socket.local_port)
        && (assignment.inode == 0 || has_same_file);
    fits.then_some(assignment)
}

fn is_ownerless(socket: &Socket) -> bool {
    let state = State::from_wire(socket.state);
    socket.inode == 0 && (state == State::TimeWait || state.is_on_its_way_out())
}

fn is_connection_of(last: &Holder, record: &Holder) -> bool {
    let (a, b) = (&last.socket, &record.socket);
    a.remote_port == b.remote_port && a.family == b.family && a.remote == b.remote && a.local == b.local
}

/// The verdict first, then listeners, TIME_WAIT last; else as met. A connection that a listener accepted comes after it,
/// even where the kernel met it first: the port is taken because somebody listens on it.
fn rank(suspect: &Suspect, listens: bool) -> u8 {
    let accepted = suspect.assignment.is_none() && cause::is_accepted(&suspect.socket, listens);
    match (suspect.evidence, State::from_wire(suspect.socket.state)) {
        (Evidence::KernelVerdict, _) if !accepted => 0,
        (_, State::Listen) => 1,
        (_, State::TimeWait) => 3,
        _ => 2,
    }
}
