//! The words of the terminal: names, reasons and durations, short enough for a column. All text is printable.

pub(super) use crate::model::short_id;
use crate::model::{Action, Advice, AssignedBy, Cause, Conflict, Holder, Process, UnnamedReason};
use crate::text;
use jiff::Timestamp;

/// Name and pid apart, so that a cut never takes the pid.
pub(super) fn process(process: &Process) -> (String, String) {
    (text::printable(&process.comm).into_owned(), format!("[{}]", process.pid))
}

/// What a person calls it: the pod, the container or the service; nothing for a program of a login.
pub(super) fn known_as(process: &Process) -> Option<String> {
    process.known_as().map(|known| text::printable(&known).into_owned())
}

/// Who has it, as name and tail; with room, that it has exited.
pub(super) fn holder(conflict: &Conflict, is_roomy: bool) -> (String, String) {
    // Whoever has most of an exhausted range is no culprit.
    let Some(culprit) = conflict.culprit().filter(|_| conflict.cause != Cause::Exhausted) else {
        return ("(all taken)".to_owned(), String::new());
    };
    let more = match conflict.holders.len() - 1 {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    match &culprit.process {
        Some(owner) => {
            let (name, pid) = process(owner);
            let exited = if is_roomy && !culprit.alive { " exited" } else { "" };
            (name, pid + exited + &more)
        }
        None => (format!("({})", culprit.unnamed_reason.map_or("unknown", unnamed)), more),
    }
}

/// Why there is no name.
pub(super) const fn unnamed(reason: UnnamedReason) -> &'static str {
    match reason {
        UnnamedReason::KernelSocket => "kernel",
        UnnamedReason::NotRecorded => "unrecorded",
        UnnamedReason::NotAccepted => "unaccepted",
        UnnamedReason::AlreadyGone => "gone",
        UnnamedReason::NoPermission => "hidden",
        UnnamedReason::OtherPidNamespace => "pid ns",
        UnnamedReason::ReleasedMeanwhile => "let go",
        UnnamedReason::WalkCut => "not found",
        UnnamedReason::NoWalk => "unseen",
        UnnamedReason::RecordLost => "lost",
        UnnamedReason::NoProcess => "no process",
    }
}

/// How they came to have it, in nine columns.
pub(super) fn how_short(conflict: &Conflict) -> &'static str {
    let by_cause = match conflict.cause {
        Cause::Exhausted => "exhausted",
        Cause::KernelSocket => "kernel",
        Cause::TimeWait => "TIME_WAIT",
        Cause::Closing => "closing",
        Cause::OwnSocket => "itself",
        Cause::ReuseportMismatch => "other uid",
        Cause::Inherited => "inherited",
        Cause::EphemeralClient => "client",
        Cause::EphemeralBind => "bind(0)",
        Cause::PreviousInstance => "previous",
        Cause::Listener => "listens",
        Cause::ExplicitBind => "bind",
        Cause::Unknown => "unknown",
    };
    let by_call = conflict.culprit().map_or(AssignedBy::Unknown, |culprit| culprit.assigned_by);
    match (conflict.cause, by_call) {
        (Cause::EphemeralClient, AssignedBy::Connect) => "connect",
        (Cause::EphemeralClient, AssignedBy::Autobind) => "autobind",
        (Cause::EphemeralBind, AssignedBy::Listen) => "listen",
        _ => by_cause,
    }
}

/// How they came to have it, where there is room.
pub(super) fn how_long(conflict: &Conflict) -> String {
    let Some(culprit) = conflict.culprit() else {
        return "every port of the range".to_owned();
    };
    let to = culprit.remote.map_or_else(String::new, |remote| format!(" to {remote}"));
    match conflict.cause {
        Cause::TimeWait => format!("TIME_WAIT of {}", was(culprit)),
        Cause::Closing => format!("{} of {}", culprit.state, was(culprit)),
        Cause::KernelSocket => "a socket of the kernel".to_owned(),
        Cause::OwnSocket => "the victim itself".to_owned(),
        Cause::ReuseportMismatch => "SO_REUSEPORT, other uid".to_owned(),
        Cause::Inherited => "inherited the socket".to_owned(),
        Cause::PreviousInstance => "an earlier instance".to_owned(),
        Cause::EphemeralClient | Cause::EphemeralBind => format!("{}{to}", call(culprit.assigned_by)),
        Cause::Listener => "bind(), listens".to_owned(),
        Cause::ExplicitBind => format!("bind(){to}"),
        Cause::Exhausted => most(culprit),
        Cause::Unknown => conflict.cause.to_string(),
    }
}

/// Who has most of an exhausted range.
fn most(holder: &Holder) -> String {
    let count = holder.sockets.unwrap_or_default();
    holder.process.as_ref().map_or_else(String::new, |owner| {
        let (name, pid) = process(owner);
        format!("{count} by {name}{pid}")
    })
}

fn was(culprit: &Holder) -> String {
    match (culprit.assigned_by, culprit.remote) {
        (AssignedBy::Connect, Some(remote)) => format!("connect() to {remote}"),
        (_, Some(remote)) => format!("a connection to {remote}"),
        (_, None) => "a connection".to_owned(),
    }
}

/// The call that got the port.
pub(super) const fn call(by: AssignedBy) -> &'static str {
    match by {
        AssignedBy::Connect => "connect()",
        AssignedBy::Bind0 => "bind(0)",
        AssignedBy::Bind => "bind()",
        AssignedBy::Autobind => "UDP without bind",
        AssignedBy::Listen => "listen() without bind",
        AssignedBy::Accept => "accept()",
        AssignedBy::Preexisting => "client before the start",
        AssignedBy::Unknown => "client",
    }
}

/// The port's place in the ephemeral range.
pub(super) const fn in_range(conflict: &Conflict) -> &'static str {
    if conflict.port == 0 {
        return "-";
    }
    match (conflict.range.in_range, conflict.range.reserved) {
        (_, true) => "resvd",
        (true, false) => "yes",
        (false, false) => "no",
    }
}

/// How long ago the culprit got the port.
pub(super) fn ago(conflict: &Conflict) -> String {
    let culprit = conflict.culprit().filter(|_| conflict.cause != Cause::Exhausted);
    culprit
        .and_then(|culprit| culprit.assigned_time)
        .map_or_else(|| "-".to_owned(), |since| span(since, conflict.time))
}

/// A duration in at most three columns, up to 99 years.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.duration_since(from).as_secs().max(0);
    match seconds {
        0..100 => format!("{seconds}s"),
        100..6_000 => format!("{}m", seconds / 60),
        6_000..360_000 => format!("{}h", seconds / 3_600),
        360_000..8_640_000 => format!("{}d", seconds / 86_400),
        8_640_000..63_072_000 => format!("{}M", seconds / 2_592_000),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

/// The one command that prevents it, or in words what to do where there is none.
pub(super) fn prevention(conflict: &Conflict) -> Option<(String, bool)> {
    let best = conflict.advice.first()?;
    Some(match best.commands.first() {
        Some(command) => (text::printable(command).into_owned(), true),
        None => (in_words(best), false),
    })
}

fn in_words(advice: &Advice) -> String {
    let words = match advice.action {
        Action::ChangePort => "give one of the two another port",
        Action::Wait => "wait until the kernel lets go (60 s at most in TIME_WAIT)",
        Action::CloseOnExec => "open sockets with SOCK_CLOEXEC, so that children do not keep them",
        Action::SetOption | Action::SameUser | Action::StartOrder | Action::Inspect => &advice.why,
        Action::StopFirst => "let the earlier instance end first",
        Action::KeepConnections => "use connections again (keep-alive, a pool)",
        Action::SpreadConnections => "spread the connections over more addresses or ports",
        Action::ReservePort
        | Action::WidenRange
        | Action::NarrowRange
        | Action::UnreservePort
        | Action::ReuseTimeWait
        | Action::FreePort
        | Action::StopHolder => advice.action.as_str(),
    };
    text::printable(words).into_owned()
}

/// Local and, if connected, remote address.
pub(super) fn ends(holder: &Holder) -> String {
    match (holder.local, holder.remote) {
        (Some(local), Some(remote)) => format!("{local} -> {remote}"),
        (Some(local), None) => local.to_string(),
        (None, _) => String::new(),
    }
}
