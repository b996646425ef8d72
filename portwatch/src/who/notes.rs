//! The words for what could not be seen: what, why, and what to type.

use crate::model::{HeldSocket, Role, UnnamedReason};
use crate::owner::socket_tables::Tables;
use crate::probe::Reason;
use std::io;
use std::path::Path;

/// Why there is no look with BPF, if nobody wanted one.
pub(super) fn bpf_not_wanted() -> Reason {
    Reason { what: "--no-bpf".to_owned(), remedy: "leave --no-bpf out".to_owned() }
}

/// Namespaces that were not looked into.
pub(crate) fn of_namespaces(notes: &mut Vec<String>, hidden: usize, shut: &[(u32, io::Error)]) {
    if hidden > 0 {
        let processes = if hidden == 1 { "process" } else { "processes" };
        notes.push(format!(
            "the network namespaces of {hidden} {processes} may not be seen: {}",
            more_rights()
        ));
    }
    if let Some((number, error)) = shut.first() {
        let more = match shut.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        notes.push(format!(
            "network namespace {number}{more} could not be entered ({error}): {}",
            more_rights()
        ));
    }
}

pub(super) fn of_tables(notes: &mut Vec<String>, tables: &Tables) {
    if let Some(error) = &tables.no_diag {
        notes.push(format!(
            "sock_diag does not answer ({error}), so /proc/net was read instead: modprobe -a tcp_diag udp_diag"
        ));
    }
    let mut unreadable = tables.unreadable.clone();
    unreadable.sort();
    unreadable.dedup();
    if !unreadable.is_empty() {
        notes.push(format!("tables that could not be read: {}", unreadable.join(", ")));
    }
}

pub(super) fn of_snapshot(notes: &mut Vec<String>, lost: u64) {
    if lost > 0 {
        notes.push(format!(
            "{lost} open sockets found the table of the look with BPF full: one that is only bound may be missing here"
        ));
    }
}

pub(super) fn no_snapshot(notes: &mut Vec<String>, reason: &Reason, tells_bound: bool, is_everywhere: bool) {
    let why = match reason.remedy.as_str() {
        "" => reason.what.clone(),
        remedy => format!("{}; remedy: {remedy}", reason.what),
    };
    if !tells_bound {
        notes.push(format!(
            "TCP sockets that are only bound are not seen: here it takes BPF, and there is none ({why})"
        ));
    }
    if Path::new("/proc/thread-self/net/sctp").exists() {
        notes.push(format!(
            "SCTP sockets that are only bound are not seen: it takes BPF, and there is none ({why})"
        ));
    }
    if is_everywhere {
        notes.push(format!(
            "sockets in network namespaces that have neither a process nor a name are not seen: it takes BPF, and there is none ({why})"
        ));
    }
}

/// What opens other processes, to whom they are shut.
fn more_rights() -> &'static str {
    if rustix::process::geteuid().is_root() {
        "a security policy of this host or its container forbids it even to root"
    } else {
        "run it as root (sudo portwatch …)"
    }
}

/// Notes about holders of a port that are not named, and about those that are gone.
pub(super) fn of_holders(notes: &mut Vec<String>, holders: &[HeldSocket]) {
    let has = |reason| holders.iter().any(|holder| holder.unnamed_reason == Some(reason));
    if holders.iter().any(|holder| holder.role == Role::TimeWait) {
        notes.push("TIME_WAIT keeps no owner; only a running portwatch would know".to_owned());
    }
    if holders.iter().any(|holder| holder.role == Role::Closing) {
        notes.push("a closing socket keeps no owner; only a running portwatch would know".to_owned());
    }
    if has(UnnamedReason::NoProcess) {
        notes.push(
            "no process: nobody has the socket among their descriptors. It is the kernel's own (NFS, WireGuard, VXLAN …), on its way through a UNIX socket, registered with io_uring, or one thread's alone: /proc does not tell which".to_owned(),
        );
    }
    if has(UnnamedReason::NoPermission) {
        notes.push(format!("hidden: the descriptors of some processes may not be read: {}", more_rights()));
    }
    if has(UnnamedReason::OtherPidNamespace) {
        notes.push("pid ns: portwatch runs in a pid namespace of its own: run it on the host to have processes named".to_owned());
    }
    if has(UnnamedReason::AlreadyGone) {
        notes.push("gone: the socket was closed, or opened, while it was looked at".to_owned());
    }
    if holders.iter().any(|holder| holder.local.is_none()) {
        notes.push(
            "the address of a socket that only BPF has met is not known, its port and its process are"
                .to_owned(),
        );
    }
}
