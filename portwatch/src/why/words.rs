//! Who, when and how long, in plain words. All text is printable.

use crate::model::{Conflict, Errno, Holder, Operation, Process, UnnamedReason};
use crate::text::{printable, truncate};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Columns of a command line that are told; the JSON has more of it.
const COMMAND_LINE: usize = 160;

/// Times as the reader's clock on the wall shows them.
#[derive(Clone, Debug)]
pub(super) struct Clock<'a> {
    pub(super) zone: &'a TimeZone,
    pub(super) now: Timestamp,
}

impl Clock<'_> {
    /// `03:12:44` of today, else with the date.
    pub(super) fn time(&self, time: Timestamp) -> String {
        let (then, now) =
            (time.to_zoned_datetime(self.zone.clone()), self.now.to_zoned_datetime(self.zone.clone()));
        let format = if then.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        then.strftime(format).to_string()
    }

    /// `at 03:12:44` of today, else `on 2026-11-24 at 03:12:44`.
    pub(super) fn at(&self, time: Timestamp) -> String {
        match self.time(time).split_once(' ') {
            Some((date, clock)) => format!("on {date} at {clock}"),
            None => format!("at {}", self.time(time)),
        }
    }

    /// `41 minutes ago`.
    pub(super) fn ago(&self, time: Timestamp) -> String {
        format!("{} ago", span(time, self.now))
    }

    /// Name of the zone.
    pub(super) fn zone_name(&self, time: Timestamp) -> String {
        time.to_zoned_datetime(self.zone.clone()).strftime("%Z").to_string()
    }
}

/// A duration as a person would say it: at most two units.
pub(super) fn span(from: Timestamp, to: Timestamp) -> String {
    let elapsed = to.duration_since(from);
    let seconds = elapsed.as_secs().max(0);
    let unit = |count: i64, name: &str| match count {
        1 => format!("1 {name}"),
        _ => format!("{count} {name}s"),
    };
    let two = |large: i64, large_name: &str, small: i64, small_name: &str| match small {
        0 => unit(large, large_name),
        _ => format!("{} {}", unit(large, large_name), unit(small, small_name)),
    };
    match seconds {
        0 => match elapsed.as_millis().max(0) {
            0 => "less than a millisecond".to_owned(),
            ms => format!("{ms} ms"),
        },
        1..60 => unit(seconds, "second"),
        60..600 => two(seconds / 60, "minute", seconds % 60, "second"),
        600..3_600 => unit(seconds / 60, "minute"),
        3_600..86_400 => two(seconds / 3_600, "hour", seconds % 3_600 / 60, "minute"),
        86_400..864_000 => two(seconds / 86_400, "day", seconds % 86_400 / 3_600, "hour"),
        _ => unit(seconds / 86_400, "day"),
    }
}

/// `java (hdfs.service, pid 2210)`.
pub(super) fn who(process: &Process) -> String {
    let name = printable(&process.comm);
    match process.known_as() {
        Some(known) => format!("{name} ({}, pid {})", printable(&known), process.pid),
        None => format!("{name} (pid {})", process.pid),
    }
}

/// What a person asks about: the service, the container or the pod; else the program.
pub(super) fn called(process: &Process) -> String {
    process.known_as().map_or_else(|| who(process), |known| printable(&known).into_owned())
}

/// ` as user hdfs (uid 998), since 01:00:00 on: java -Xmx4g …`: what else is known of a process, as the end of a sentence
/// about it.
pub(super) fn particulars(process: &Process, clock: &Clock<'_>) -> String {
    let mut text = String::new();
    if let Some(uid) = process.uid {
        match &process.user {
            Some(user) => text.push_str(&format!(" as user {} (uid {uid})", printable(user))),
            None => text.push_str(&format!(" as uid {uid}")),
        }
    }
    if let Some(start) = process.start_time {
        text.push_str(&format!(", started {}", clock.at(start)));
    }
    if let Some(command) = process.cmdline.as_ref().or(process.exe.as_ref()) {
        text.push_str(&format!(": {}", truncate(&printable(command), COMMAND_LINE)));
    }
    text
}

/// Who had the port, as the subject of a sentence.
pub(super) fn subject(holder: &Holder) -> String {
    match (&holder.process, &holder.creator) {
        (Some(process), _) => who(process),
        (None, Some(creator)) => {
            format!("{} with a socket that {} had made", unnamed(holder.unnamed_reason), who(creator))
        }
        (None, None) => unnamed(holder.unnamed_reason).to_owned(),
    }
}

const fn unnamed(reason: Option<UnnamedReason>) -> &'static str {
    match reason {
        Some(UnnamedReason::KernelSocket) => "the kernel itself",
        Some(UnnamedReason::NotRecorded) => "a process that nobody has recorded",
        Some(UnnamedReason::NotAccepted) => "a connection that nobody had accepted yet",
        Some(UnnamedReason::AlreadyGone) => "a process that was gone a moment later",
        Some(UnnamedReason::NoPermission) => "a process that portwatch may not look into",
        Some(UnnamedReason::OtherPidNamespace) => "a process outside portwatch's pid namespace",
        Some(UnnamedReason::ReleasedMeanwhile) => "somebody who let go a moment later",
        Some(UnnamedReason::WalkCut) => "one of very many sockets on the port",
        Some(UnnamedReason::NoWalk) => "somebody who could not be looked up",
        Some(UnnamedReason::RecordLost) => "somebody whose record was lost",
        Some(UnnamedReason::NoProcess) => "a socket of no process",
        None => "somebody who is not known",
    }
}

/// Why a holder is not named, as a sentence.
pub(super) const fn why_unnamed(reason: UnnamedReason) -> &'static str {
    match reason {
        UnnamedReason::KernelSocket => {
            "The socket is the kernel's own (NFS, lockd, WireGuard, VXLAN, iSCSI …): there is no process to name."
        }
        UnnamedReason::NotRecorded => {
            "A closed connection keeps no owner, and this one got its port before portwatch was watching: nobody can be named."
        }
        UnnamedReason::NotAccepted => {
            "The connection had come in through a listener that had not accepted it yet, so that no process had it."
        }
        UnnamedReason::AlreadyGone => {
            "When the open files were looked at, right after the refusal, no process had the socket any more: nobody can be named."
        }
        UnnamedReason::NoPermission => {
            "portwatch was not allowed to look into every process, and the holder is one of the others: nobody can be named."
        }
        UnnamedReason::OtherPidNamespace => {
            "portwatch ran in a pid namespace of its own, where the holder has no pid: nobody can be named."
        }
        UnnamedReason::ReleasedMeanwhile => {
            "The socket was let go between the refusal and the look at the port, a few microseconds: nobody can be named."
        }
        UnnamedReason::WalkCut => {
            "So many sockets were on the port that the look at them stopped before it came to the one in the way: nobody can be named."
        }
        UnnamedReason::NoWalk => {
            "The kernel's table of ports could not be read: nobody can be named. `portwatch doctor` says why."
        }
        UnnamedReason::RecordLost => {
            "The kernel's report about the holder was lost, because the ring buffer was full: nobody can be named."
        }
        UnnamedReason::NoProcess => {
            "No process had the socket among its descriptors: it was the kernel's own, on its way through a UNIX socket, or registered with io_uring."
        }
    }
}

/// The refused call, by its name in the manual.
pub(super) const fn call(operation: Operation) -> &'static str {
    match operation {
        Operation::Bind => "bind()",
        Operation::Listen => "listen()",
        Operation::Connect => "connect()",
        Operation::Sendto => "sendto()",
        Operation::Autobind => {
            "a call that needs a port of the kernel's choice (sendto() or connect() without bind())"
        }
    }
}

/// What the program gets to see of a refusal.
pub(super) fn seen_as(conflict: &Conflict) -> String {
    match conflict.operation {
        // The kernel turns its own refusal into another one on the way to the program.
        Operation::Autobind => format!("{}", Errno(libc::EAGAIN.unsigned_abs())),
        _ => conflict.errno.to_string(),
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
