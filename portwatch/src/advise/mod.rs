//! A conflict → what to do, best first, with the exact commands. Pure. Nothing is advised that does not apply.

mod command;
mod exhausted;
#[cfg(test)]
mod tests;

pub use command::reserve_port;
use exhausted::exhausted;

use crate::model::{Action, Advice, AssignedBy, Cause, Conflict, Holder, Protocol, State, UnnamedReason};

/// What is said of reserving a port while somebody has it.
pub(crate) const DOES_NOT_FREE: &str = ". It does not free the port now";

/// What the advice depends on beside the conflict itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// portwatch's own network namespace, where plain commands act.
    pub own_netns: u32,
    /// A process that was seen in the conflict's namespace just now.
    pub door: Option<u32>,
    /// `ip_local_reserved_ports` of the conflict's namespace, where it could be read.
    pub reserved: Option<String>,
    /// Whether the victim set SO_REUSEADDR, where that is known.
    pub victim_reuses: Option<bool>,
    /// Whether the first holder had set it, where that is known.
    pub holder_reuses: Option<bool>,
    /// Login names of victim and first holder, where they differ by uid.
    pub users: Option<(String, String)>,
}

/// What to do about a conflict.
pub fn advise(conflict: &Conflict, situation: &Situation) -> Vec<Advice> {
    let Some(holder) = conflict.culprit() else {
        return exhausted(conflict, situation);
    };
    let mut advice = Vec::new();
    if holder.ephemeral && conflict.range.in_range && !conflict.range.reserved {
        advice.push(reserve(conflict, situation));
    }
    advice.extend(match conflict.cause {
        Cause::Exhausted => exhausted(conflict, situation),
        Cause::KernelSocket => kernel_socket(conflict, situation),
        Cause::TimeWait | Cause::Closing => closing(conflict, situation, holder),
        Cause::OwnSocket => vec![own_socket(conflict, holder)],
        Cause::ReuseportMismatch => vec![same_user(situation)],
        Cause::Inherited => inherited(conflict, situation, holder),
        Cause::PreviousInstance => previous_instance(situation, holder),
        Cause::EphemeralClient | Cause::EphemeralBind => ephemeral(conflict, situation, holder),
        Cause::Listener | Cause::ExplicitBind => by_number(conflict.port, holder),
        Cause::Unknown => vec![unknown(conflict, situation, holder)],
    });
    advice
}

fn advice(action: Action, why: impl Into<String>, commands: Vec<String>) -> Advice {
    Advice { action, why: why.into(), commands }
}

fn reserve(conflict: &Conflict, situation: &Situation) -> Advice {
    let mut why = format!(
        "keeps the kernel from choosing {} for clients; who asks for it by number still gets it{DOES_NOT_FREE}",
        conflict.port
    );
    if conflict.netns != situation.own_netns {
        why.push_str(
            ", and it ends with the network namespace: put the sysctl into the container's or pod's settings",
        );
    }
    advice(Action::ReservePort, why, command::reserve(conflict, situation))
}

fn ephemeral(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let mut all = Vec::new();
    if !conflict.range.in_range {
        let why = format!(
            "{} lies outside the present ephemeral range: it was given when the range was another, and will not be again",
            conflict.port
        );
        all.push(advice(Action::Inspect, why, Vec::new()));
    } else if conflict.range.reserved {
        let why = "the port is reserved by now, and was given before: once the holder lets go it stays free";
        all.push(advice(Action::Inspect, why, Vec::new()));
    }
    all.extend(free(conflict, situation, holder));
    all
}

/// Frees the port now. Only for who got it from the kernel: they work as well with any other.
fn free(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Option<Advice> {
    let process = holder.process.as_ref().filter(|_| holder.alive);
    let mut commands: Vec<_> = process.and_then(command::restart).into_iter().collect();
    commands.extend(command::destroy(conflict, situation, holder));
    let mut why = match process.filter(|process| process.pid != 1).map(|p| command::service(p).is_some()) {
        Some(true) => "frees the port now: the holder comes back with another one",
        Some(false) => {
            "frees the port now by ending the holder, which may be started again and gets another one"
        }
        None => "frees the port now by ending the connection",
    }
    .to_owned();
    if holder.remote.is_some() && conflict.protocol == Protocol::Tcp {
        why.push_str("; ss -K ends only the connection, where the kernel has INET_DIAG_DESTROY");
    }
    (!commands.is_empty()).then(|| advice(Action::FreePort, why, commands))
}

fn closing(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let mut all = Vec::new();
    let may_share = situation.victim_reuses == Some(true) && situation.holder_reuses == Some(true);
    if !(holder.ephemeral || may_share) {
        let missing = match (situation.victim_reuses, situation.holder_reuses) {
            (Some(false), Some(false)) => "neither had set it",
            (Some(false), _) => "the new socket did not set it",
            (_, Some(false)) => "the closed one had not set it",
            _ => "whether both had is not known",
        };
        let why = format!(
            "SO_REUSEADDR lets a server take its port back at once if both sockets set it: {missing}"
        );
        all.push(advice(Action::SetOption, why, Vec::new()));
    }
    let why = if holder.state == State::TimeWait {
        "the kernel keeps a closed connection for 60 seconds in TIME_WAIT and lets go by itself"
    } else {
        "the process is done with the connection; the kernel lets go once the other side has confirmed, or after its time-out"
    };
    // Ending a socket in TIME_WAIT by hand is not possible on every kernel.
    let is_destroyable = holder.state != State::TimeWait;
    let destroy = is_destroyable.then(|| command::destroy(conflict, situation, holder)).flatten();
    all.push(advice(Action::Wait, why, destroy.into_iter().collect()));
    all
}

fn own_socket(conflict: &Conflict, holder: &Holder) -> Advice {
    let other = holder.local.map(|local| local.ip());
    if holder.ephemeral {
        let why = "the kernel gave the port to the process itself, before it asked for it by number: listen first, connect later";
        return advice(Action::ChangePort, why, Vec::new());
    }
    let two_families = other.is_some_and(|ip| ip.is_ipv4() != conflict.address.is_ipv4());
    if two_families {
        let why = "its IPv6 socket takes the port for IPv4 too: set IPV6_V6ONLY on it before bind(), or listen on [::] only";
        advice(Action::SetOption, why, Vec::new())
    } else {
        let why = "the process asks for the port twice: look for a second listen directive, or for a socket it did not close on reload";
        advice(Action::ChangePort, why, Vec::new())
    }
}

fn same_user(situation: &Situation) -> Advice {
    let who = situation.users.as_ref().map_or_else(String::new, |(victim, holder)| {
        format!(": the victim's is {victim}'s, the holder's is {holder}'s")
    });
    let why = format!("SO_REUSEPORT shares a port only among sockets that one user created{who}");
    advice(Action::SameUser, why, Vec::new())
}

fn inherited(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let why = "the holder did not ask for the port: it got the open socket from the process that did. Create sockets with SOCK_CLOEXEC (or set FD_CLOEXEC) so that children do not keep them";
    let close = advice(Action::CloseOnExec, why, Vec::new());
    if holder.ephemeral {
        return [Some(close), free(conflict, situation, holder)].into_iter().flatten().collect();
    }
    vec![close, stop(holder, "frees the port now")]
}

fn previous_instance(situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let unit = holder.process.as_ref().and_then(command::service);
    let why =
        "an earlier instance of the same service still has the port: let it end before the next one starts";
    let commands = match (unit, &holder.process) {
        (Some(unit), _) => {
            vec![format!("systemctl stop {0} && systemctl start {0}", crate::text::command_line(&[unit]))]
        }
        (None, Some(process)) => command::stop(process).into_iter().collect(),
        (None, None) => Vec::new(),
    };
    let mut all = vec![advice(Action::StopFirst, why, commands)];
    if holder.assigned_by == AssignedBy::Accept && situation.victim_reuses != Some(true) {
        let why = "only accepted connections are left of it: with SO_REUSEADDR on both sides the new one could listen beside them";
        all.push(advice(Action::SetOption, why, Vec::new()));
    }
    all
}

fn by_number(port: u16, holder: &Holder) -> Vec<Advice> {
    let why = format!("both were told to use port {port}: give one of them another in its configuration");
    let change = advice(Action::ChangePort, why, Vec::new());
    match holder.process {
        Some(_) => vec![stop(holder, "frees the port if the holder is not needed"), change],
        None => vec![change],
    }
}

fn stop(holder: &Holder, why: &str) -> Advice {
    if holder.process.as_ref().is_some_and(|process| process.pid == 1 && process.comm == "systemd") {
        let why = "systemd has the port for a socket unit and hands it to the service on demand: stop that unit, which the list shows, and not its service alone";
        return advice(Action::StopHolder, why, vec!["systemctl list-sockets".to_owned()]);
    }
    let commands = holder.process.as_ref().filter(|_| holder.alive).and_then(command::stop);
    advice(Action::StopHolder, why, commands.into_iter().collect())
}

/// Ports from which the kernel's NFS client chooses unless told otherwise.
const RPC: std::ops::RangeInclusive<u16> = 665..=1023;

fn kernel_socket(conflict: &Conflict, situation: &Situation) -> Vec<Advice> {
    let why = "the socket is the kernel's own (NFS, lockd, WireGuard, VXLAN, iSCSI …): no process has it, and only its own settings move it";
    let inspect = advice(Action::Inspect, why, vec![command::inspect(conflict, situation)]);
    if conflict.protocol.is_datagram() || !RPC.contains(&conflict.port) {
        return vec![inspect];
    }
    let below = conflict.port - RPC.start();
    let above = RPC.end() - conflict.port;
    let setting = match below > above {
        true => format!("sysctl -w sunrpc.max_resvport={}", conflict.port - 1),
        false => format!("sysctl -w sunrpc.min_resvport={}", conflict.port + 1),
    };
    let why = "an NFS mount takes its source port from 665 to 1023: this keeps new mounts off the port";
    vec![advice(Action::ChangePort, why, vec![setting]), inspect]
}

fn unknown(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Advice {
    let why = match holder.unnamed_reason {
        Some(UnnamedReason::NoPermission) => {
            "run portwatch as root: it may not look into the processes of others"
        }
        Some(UnnamedReason::OtherPidNamespace) => {
            "run portwatch in the host's pid namespace to have the process named"
        }
        Some(UnnamedReason::RecordLost) => "the ring buffer was full: the holder is not known, its port is",
        Some(UnnamedReason::ReleasedMeanwhile) => {
            "the holder let go before it could be looked at: the next attempt may succeed"
        }
        _ => "shows every socket on the port as it is now",
    };
    advice(Action::Inspect, why, vec![command::inspect(conflict, situation)])
}
