//! What to do about somebody who asked for the port by number, inherited it, or is the kernel.

use super::{Situation, advice, command, ephemeral, sharing};
use crate::model::{Action, Advice, AssignedBy, Conflict, Holder, Process, UnnamedReason};

pub(super) fn inherited(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    if holder.creator.as_ref().is_some_and(is_systemd) {
        return vec![stop_socket_unit()];
    }
    let why = "the holder did not ask for the port: it got the open socket from the process that did. Create sockets with SOCK_CLOEXEC (or set FD_CLOEXEC) so that children do not keep them";
    let close = advice(Action::CloseOnExec, why, Vec::new());
    let freed = match holder.ephemeral {
        true => ephemeral::free(conflict, situation, holder),
        false => stop(holder, "frees the port now").into_iter().collect(),
    };
    std::iter::once(close).chain(freed).collect()
}

pub(super) fn previous_instance(situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let unit = holder.process.as_ref().and_then(command::service);
    let why =
        "an earlier instance of the same service still has the port: let it end before the next one starts";
    let commands = match (unit, &holder.process) {
        (Some(unit), _) => {
            vec![format!("systemctl stop {0} && systemctl start {0}", crate::text::command_line(&[unit]))]
        }
        (None, Some(process)) if holder.alive => command::stop(process).into_iter().collect(),
        (None, _) => Vec::new(),
    };
    let mut all = vec![advice(Action::StopFirst, why, commands)];
    if holder.assigned_by == AssignedBy::Accept && situation.victim_reuses != Some(true) {
        let why = "only accepted connections are left of it: with SO_REUSEADDR on both sides the new one could listen beside them";
        all.push(advice(Action::SetOption, why, Vec::new()));
    }
    all
}

pub(super) fn by_number(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let stop = stop(holder, "frees the port if the holder is not needed");
    let change = change(conflict, situation);
    stop.into_iter().chain(sharing::v6_only(conflict, holder)).chain([change]).collect()
}

fn change(conflict: &Conflict, situation: &Situation) -> Advice {
    let port = conflict.port;
    let mut why = format!("both were told to use port {port}: give one of them another in its configuration");
    if let Some(free) = situation.free_port {
        why.push_str(&format!("; port {free} is free and outside the ephemeral range"));
    }
    advice(Action::ChangePort, why, Vec::new())
}

/// Nobody is stopped who has ended, or whom nobody knows.
fn stop(holder: &Holder, why: &str) -> Option<Advice> {
    let process = holder.process.as_ref()?;
    if is_systemd(process) {
        return Some(stop_socket_unit());
    }
    holder.alive.then(|| advice(Action::StopHolder, why, command::stop(process).into_iter().collect()))
}

fn is_systemd(process: &Process) -> bool {
    process.pid == 1 && process.comm == "systemd"
}

fn stop_socket_unit() -> Advice {
    let why = "systemd has the port for a socket unit and hands it to the service on demand: stop that unit, which the list shows, and not its service alone";
    advice(Action::StopHolder, why, vec!["systemctl list-sockets".to_owned()])
}

/// Ports from which the kernel's NFS client chooses unless told otherwise.
const RPC: std::ops::RangeInclusive<u16> = 665..=1023;

pub(super) fn kernel_socket(conflict: &Conflict, situation: &Situation) -> Vec<Advice> {
    let mut all = Vec::new();
    if !conflict.protocol.is_datagram() && RPC.contains(&conflict.port) {
        let below = conflict.port - RPC.start();
        let above = RPC.end() - conflict.port;
        let setting = match below > above {
            true => format!("sysctl -w sunrpc.max_resvport={}", conflict.port - 1),
            false => format!("sysctl -w sunrpc.min_resvport={}", conflict.port + 1),
        };
        let why = "an NFS mount takes its source port from 665 to 1023: this keeps new mounts off the port";
        all.push(advice(Action::ChangePort, why, vec![setting]));
    }
    if let Some(free) = situation.free_port {
        let why = format!(
            "the kernel's socket goes only with its tunnel, mount or device: give the program another port; port {free} is free and outside the ephemeral range"
        );
        all.push(advice(Action::ChangePort, why, Vec::new()));
    }
    let why = "the socket is the kernel's own (NFS, lockd, WireGuard, VXLAN, iSCSI …): no process has it, and only its own settings move it";
    all.push(advice(Action::Inspect, why, vec![command::inspect(conflict, situation)]));
    all
}

pub(super) fn unknown(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Advice {
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
