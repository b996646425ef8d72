//! The class of a conflict, from facts about the victim and the first holder; and what a socket says about how it
//! came to its port where nobody saw it happen.

use super::lookups::ProcessId;
use super::resolve::Resolved;
use crate::model::{AssignedBy, Cause, Evidence, Process, State};
use crate::owner::cgroup;
use portwatch_common::Socket;
use portwatch_common::record::{Refusal, flag};

/// The first class that fits, in the order of [`Cause`].
pub(super) fn classify(refusal: &Refusal, victim: &Process, culprit: &Resolved) -> Cause {
    let socket = &culprit.suspect.socket;
    let state = culprit.holder.state;
    let both = |bit: u32| refusal.socket.flags & socket.flags & bit != 0;
    let owner = culprit.holder.process.as_ref();
    if socket.flags & flag::KERNEL != 0 {
        Cause::KernelSocket
    } else if state == State::TimeWait {
        Cause::TimeWait
    } else if state.is_on_its_way_out() && is_ownerless(culprit) {
        Cause::Closing
    } else if culprit.owner == Some(ProcessId::of(&refusal.task)) {
        Cause::OwnSocket
    } else if both(flag::REUSEPORT) && refusal.socket.uid != socket.uid {
        Cause::ReuseportMismatch
    } else if culprit.inherited {
        Cause::Inherited
    } else if is_by_number(culprit.how) && owner.is_some_and(|owner| is_predecessor(owner, victim)) {
        Cause::PreviousInstance
    } else {
        by_assignment(culprit.how, state)
    }
}

fn by_assignment(how: AssignedBy, state: State) -> Cause {
    match how {
        AssignedBy::Connect | AssignedBy::Autobind => Cause::EphemeralClient,
        AssignedBy::Bind0 | AssignedBy::Listen => Cause::EphemeralBind,
        AssignedBy::Bind if state == State::Listen => Cause::Listener,
        AssignedBy::Bind | AssignedBy::Accept => Cause::ExplicitBind,
        AssignedBy::Preexisting | AssignedBy::Unknown if state == State::Listen => Cause::Listener,
        AssignedBy::Preexisting | AssignedBy::Unknown => Cause::Unknown,
    }
}

/// A socket without inode is nobody's; one known from its last record only was let go.
fn is_ownerless(culprit: &Resolved) -> bool {
    let socket = &culprit.suspect.socket;
    socket.inode == 0 || socket.flags & flag::ORPHAN != 0 || culprit.suspect.evidence == Evidence::LastOwner
}

fn is_by_number(how: AssignedBy) -> bool {
    matches!(how, AssignedBy::Bind | AssignedBy::Accept)
}

fn is_predecessor(owner: &Process, victim: &Process) -> bool {
    match (&owner.cgroup, &victim.cgroup) {
        (Some(a), Some(b)) => cgroup::same_service(a, b),
        _ => false,
    }
}

/// Whether the kernel chose the port.
pub(super) fn is_kernel_chosen(how: AssignedBy) -> bool {
    matches!(how, AssignedBy::Connect | AssignedBy::Bind0 | AssignedBy::Autobind | AssignedBy::Listen)
}

/// Whether a socket without a record is a connection that a listener on its port accepted: connect() is never given
/// a listener's port, and a socket bound by number says so.
pub(super) fn is_accepted(socket: &Socket, has_listener: bool) -> bool {
    has_listener
        && is_connected(socket)
        && is_stream(socket)
        && socket.flags & (flag::PORT_LOCKED | flag::KERNEL) == 0
        && State::from_wire(socket.state) != State::Listen
}

/// How a socket came to its port, where that was not seen: read from what bind() leaves behind. It marks the socket
/// of an explicit bind, and nothing else does.
pub(super) fn infer(assigned_by: AssignedBy, socket: &Socket, (low, high): (u16, u16)) -> AssignedBy {
    if !matches!(assigned_by, AssignedBy::Preexisting | AssignedBy::Unknown) {
        return assigned_by;
    }
    let state = State::from_wire(socket.state);
    let in_range = (low..=high).contains(&socket.local_port);
    if state == State::TimeWait || state.is_on_its_way_out() {
        return if in_range { AssignedBy::Connect } else { assigned_by }; // the mark is gone by then
    }
    if socket.flags & flag::PORT_LOCKED != 0 {
        return AssignedBy::Bind;
    }
    if i32::from(socket.protocol) == libc::IPPROTO_SCTP && !is_connected(socket) {
        return assigned_by; // SCTP leaves no mark
    }
    match (in_range, is_stream(socket), is_connected(socket)) {
        (true, true, true) => AssignedBy::Connect,
        (true, true, false) if state == State::Listen => AssignedBy::Listen,
        (true, _, false) => AssignedBy::Bind0,
        (true, false, true) => AssignedBy::Autobind,
        // Outside the range the kernel chooses no port: its listener was here once.
        (false, true, true) => AssignedBy::Accept,
        (false, ..) => assigned_by,
    }
}

fn is_connected(socket: &Socket) -> bool {
    socket.remote_port != 0
}

fn is_stream(socket: &Socket) -> bool {
    i32::from(socket.kind) == libc::SOCK_STREAM
        || matches!(i32::from(socket.protocol), libc::IPPROTO_TCP | libc::IPPROTO_MPTCP)
}
