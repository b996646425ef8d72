//! A socket that was in the way → whose it is: the recorded assignment, checked against who has the socket open now.

use super::cause;
use super::lookups::{Lookups, ProcessId, ProcessInfo, SocketHolders, Wanted};
use super::processes::Processes;
use super::select::Suspect;
use super::socket;
use crate::model::{AssignedBy, Evidence, Holder, State, UnnamedReason};
use portwatch_common::record::flag;
use portwatch_common::{Socket, Task};

/// Processes listed for one socket: a server's workers may share it by the hundred, and say no more than a few do.
const SHARERS: usize = 16;

/// A holder, with what classifying it needs and the report does not show.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    pub(super) holder: Holder,
    pub(super) suspect: Suspect,
    pub(super) owner: Option<ProcessId>,
    /// The owner is not who was given the port.
    pub(super) inherited: bool,
    /// How it came to the port; inferred where `holder.assigned_by` says only `preexisting` or `unknown`.
    pub(super) how: AssignedBy,
}

/// What the sockets of one refusal have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    /// `ip_local_port_range`.
    pub(super) range: (u16, u16),
    /// Somebody listens on the port.
    pub(super) has_listener: bool,
    /// When the hooks were attached.
    pub(super) started_ns: u64,
    /// What was open then is recorded, so that an unrecorded socket with a process is younger.
    pub(super) has_snapshot: bool,
    /// When the refusal was.
    pub(super) when_ns: u64,
}

/// Who has a socket.
enum Owner {
    /// Who was given the port; and as found by looking, if it was.
    Recorded(Task, Option<ProcessInfo>),
    /// Somebody else, found by looking.
    Found(ProcessInfo),
    Nobody(UnnamedReason),
}

impl Owner {
    fn id(&self) -> Option<ProcessId> {
        match self {
            Self::Recorded(task, _) => Some(ProcessId::of(task)),
            Self::Found(info) => Some(info.id),
            Self::Nobody(_) => None,
        }
    }
}

/// Names the owners of all suspects; equal entries are merged, so that a listener's connections are one, and cost no more
/// looks than one.
pub(super) fn resolve(
    suspects: &[Suspect],
    scene: &Scene,
    processes: &mut Processes,
    lookups: &mut dyn Lookups,
) -> Vec<Resolved> {
    let wanted: Vec<Wanted> = suspects.iter().filter_map(wanted_of).collect();
    let mut answers =
        if wanted.is_empty() { Vec::new() } else { lookups.socket_holders(&wanted) }.into_iter();
    let mut resolved: Vec<Resolved> = Vec::new();
    for suspect in suspects {
        let mut answer = wanted_of(suspect).map(|_| answers.next().unwrap_or_default());
        if suspect.evidence == Evidence::SocketDump
            && let Some(answer) = &mut answer
        {
            // Nobody saw the socket in the moment of the refusal: who is younger than that was not in the way.
            answer.processes.retain(|info| info.id.start_ns() <= scene.when_ns);
        }
        for owner in owners(suspect, answer, scene.when_ns, lookups) {
            if !resolved.iter().any(|known| is_same(known, suspect, &owner)) {
                resolved.push(build(suspect, owner, scene, processes, lookups));
            }
        }
    }
    resolved
}

/// The question to ask about a socket; none for those that no process can have open.
fn wanted_of(suspect: &Suspect) -> Option<Wanted> {
    let socket = &suspect.socket;
    let state = State::from_wire(socket.state);
    let unowned = socket.flags & (flag::KERNEL | flag::ORPHAN) != 0 || state == State::TimeWait;
    let released = suspect.evidence == Evidence::LastOwner;
    let recorded = suspect.assignment.map_or(0, |assignment| assignment.inode);
    let inode = if socket.inode != 0 { socket.inode } else { recorded };
    (!unowned && !released && inode != 0).then(|| Wanted {
        inode,
        hint: suspect.assignment.map(|a| ProcessId::of(&a.task)),
        sharers: suspect.assignment.is_some_and(|a| is_made_to_be_shared(AssignedBy::from_wire(a.how))),
    })
}

/// Servers hand their sockets to workers, and service managers to services: whoever ends only one of them frees
/// nothing. A client's connection is worth no look at every process of the machine.
const fn is_made_to_be_shared(how: AssignedBy) -> bool {
    matches!(how, AssignedBy::Bind | AssignedBy::Bind0 | AssignedBy::Listen)
}

/// Who has the socket, by the record and by `answer`, what was found among the open files.
fn owners(
    suspect: &Suspect,
    answer: Option<SocketHolders>,
    when_ns: u64,
    lookups: &mut dyn Lookups,
) -> Vec<Owner> {
    let socket = &suspect.socket;
    if socket.flags & flag::KERNEL != 0 {
        return vec![Owner::Nobody(UnnamedReason::KernelSocket)];
    }
    let recorded = suspect.assignment.map(|assignment| assignment.task);
    let was_open = answer.is_some();
    let SocketHolders { processes, blind } = answer.unwrap_or_default();
    let still_has_it = |task: &Task| processes.iter().any(|info| info.id == ProcessId::of(task));
    match recorded {
        // Somebody had it open in the moment of the refusal, and it cannot have been the dead: an heir, who is gone too.
        Some(task)
            if was_open
                && processes.is_empty()
                && lookups.ended_ns(&task).is_some_and(|ended_ns| ended_ns < when_ns) =>
        {
            vec![Owner::Nobody(blind.unwrap_or(UnnamedReason::AlreadyGone))]
        }
        // Nobody has it by now, or nobody ever can (TIME_WAIT): it was the recorded process's in the moment that counts.
        Some(task) if processes.is_empty() || still_has_it(&task) => {
            let seen = processes.iter().find(|info| info.id == ProcessId::of(&task)).cloned();
            let others = sharers(&task, processes).into_iter().map(Owner::Found);
            std::iter::once(Owner::Recorded(task, seen)).chain(others).collect()
        }
        None if processes.is_empty() => vec![Owner::Nobody(blind.unwrap_or_else(|| reason(socket)))],
        _ => processes.into_iter().take(SHARERS).map(Owner::Found).collect(),
    }
}

/// Who else has the recorded process's socket: of each program and service one, the oldest. A server's workers are the
/// server once more.
fn sharers(task: &Task, mut processes: Vec<ProcessInfo>) -> Vec<ProcessInfo> {
    type Kind = (Vec<u8>, Option<String>, Option<String>);
    let kind = |info: &ProcessInfo| -> Kind { (info.comm.clone(), info.exe.clone(), info.cgroup.clone()) };
    let owner = ProcessId::of(task);
    let mut kinds: Vec<_> = processes.iter().filter(|info| info.id == owner).map(kind).collect();
    processes.retain(|info| {
        let is_new = info.id != owner && !kinds.contains(&kind(info));
        kinds.extend(is_new.then(|| kind(info)));
        is_new
    });
    processes.truncate(SHARERS);
    processes
}

fn reason(socket: &Socket) -> UnnamedReason {
    let state = State::from_wire(socket.state);
    if state == State::TimeWait || state.is_on_its_way_out() {
        UnnamedReason::NotRecorded
    } else if socket.flags & flag::ORPHAN != 0 && socket.remote_port != 0 {
        UnnamedReason::NotAccepted
    } else {
        UnnamedReason::AlreadyGone
    }
}

fn build(
    suspect: &Suspect,
    owner: Owner,
    scene: &Scene,
    processes: &mut Processes,
    lookups: &mut dyn Lookups,
) -> Resolved {
    let (socket, assignment) = (&suspect.socket, suspect.assignment);
    let recorded = assignment.map(|a| AssignedBy::from_wire(a.how));
    let assigned_by = recorded.unwrap_or_else(|| unrecorded(socket, &owner, scene));
    let how = cause::infer(assigned_by, socket, scene.range);
    // A snapshot tells who had the socket, not who was given the port: nobody is called its creator then.
    let creator = assignment.map(|a| a.task).filter(|_| assigned_by != AssignedBy::Preexisting);
    let is_heir = matches!(owner, Owner::Found(_) | Owner::Nobody(_)) && wanted_of(suspect).is_some();
    let inherited = is_heir && creator.is_some();
    let by_dump = matches!(owner, Owner::Found(_)) && assignment.is_none();
    let evidence = if by_dump { Evidence::SocketDump } else { suspect.evidence };
    let named_elsewhere = matches!(owner, Owner::Recorded(..));
    let assigned_ns = assignment.map_or(0, |a| a.assigned_ns);
    let id = owner.id();
    let (process, alive, unnamed_reason) = identify(owner, suspect, processes, lookups);
    let holder = Holder {
        process,
        unnamed_reason,
        creator: creator.filter(|_| !named_elsewhere).map(|task| processes.describe(&task, lookups)),
        state: State::from_wire(socket.state),
        local: Some(socket::local(socket)),
        remote: socket::remote(socket),
        inode: wanted_of(suspect).map(|wanted| wanted.inode),
        assigned_by,
        ephemeral: cause::is_kernel_chosen(how),
        assigned_time: (assigned_ns != 0 && assigned_by != AssignedBy::Preexisting)
            .then(|| lookups.wall_clock(assigned_ns)),
        alive,
        evidence: Some(evidence),
        sockets: None,
        options: socket::options(socket),
    };
    Resolved { holder, suspect: *suspect, owner: id, inherited, how }
}

/// How a socket came to its port that the hooks did not see: accepted, or given before they were there, if it can be
/// that old.
fn unrecorded(socket: &Socket, owner: &Owner, scene: &Scene) -> AssignedBy {
    // What nobody has any more may be older than the hooks, or accepted by a listener since: nothing tells.
    let is_old = matches!(owner, Owner::Found(info)
        if !scene.has_snapshot && info.id.start_ns() <= scene.started_ns);
    if cause::is_accepted(socket, scene.has_listener) {
        AssignedBy::Accept
    } else if is_old {
        AssignedBy::Preexisting
    } else if cause::infer(AssignedBy::Unknown, socket, scene.range) == AssignedBy::Accept {
        AssignedBy::Accept // by a listener that is gone
    } else {
        AssignedBy::Unknown
    }
}

type Identified = (Option<crate::model::Process>, bool, Option<UnnamedReason>);

fn identify(
    owner: Owner,
    suspect: &Suspect,
    processes: &mut Processes,
    lookups: &mut dyn Lookups,
) -> Identified {
    match owner {
        Owner::Recorded(task, seen) => {
            let id = ProcessId::of(&task);
            // Where life cannot be seen, a socket with a file has a process.
            let alive = lookups.alive(id).unwrap_or_else(|| wanted_of(suspect).is_some());
            let now = seen.or_else(|| lookups.process(id));
            (Some(processes.describe_as(&task, now, lookups)), alive, None)
        }
        Owner::Found(info) => (Some(processes.describe_found(&info, lookups)), true, None),
        Owner::Nobody(reason) => (None, false, Some(reason)),
    }
}

/// Whether a person would see two equal entries.
fn is_same(known: &Resolved, suspect: &Suspect, owner: &Owner) -> bool {
    let shown = |socket: &Socket| (State::from_wire(socket.state), socket::local(socket));
    known.owner == owner.id() && shown(&known.suspect.socket) == shown(&suspect.socket)
}

/// An entry for a refusal whose holder could not be established.
pub(super) const fn nobody(reason: UnnamedReason) -> Holder {
    Holder {
        process: None,
        unnamed_reason: Some(reason),
        creator: None,
        state: State::Unknown,
        local: None,
        remote: None,
        inode: None,
        assigned_by: AssignedBy::Unknown,
        ephemeral: false,
        assigned_time: None,
        alive: false,
        evidence: None,
        sockets: None,
        options: None,
    }
}
