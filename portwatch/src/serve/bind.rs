//! Listening; and if the port is taken, by whom: what portwatch tells others it tells of itself too.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};

use crate::model::{HeldPort, HeldSocket, Process, Protocol, Role, UnnamedReason};
use crate::owner;
use crate::text::printable;
use crate::who::{self, Query, Scope};

/// The address cannot be listened on. Its message is complete: what happened, who is in the way, what to type.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for Prometheus: {error}{story}")]
pub struct BindError {
    /// The wanted address.
    pub address: SocketAddr,
    /// What the kernel said; part of the message, and so no source of it.
    pub error: io::Error,
    story: String,
}

pub(super) fn listen(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).map_err(|error| {
        let story = match error.kind() {
            io::ErrorKind::AddrInUse => {
                let query = Query { port: address.port(), protocol: Some(Protocol::Tcp) };
                let held = who::answer(&[query], &Scope::Own, true, &mut owner::Live::new());
                taken(address, held.first())
            }
            io::ErrorKind::AddrNotAvailable => {
                "\n  no interface of this host has that address; `ip address` shows those that there are"
                    .into()
            }
            io::ErrorKind::PermissionDenied => {
                "\n  ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one: --listen 127.0.0.1:9737"
                    .into()
            }
            _ => String::new(),
        };
        BindError { address, error, story }
    })
}

/// Who has the port, best guess first, and what to do.
fn taken(address: SocketAddr, held: Option<&HeldPort>) -> String {
    let port = address.port();
    let mut story = String::new();
    let mut told: Vec<String> = Vec::new();
    for holder in held.iter().flat_map(|held| &held.holders).filter(|one| is_in_the_way(one, address)) {
        let line = describe(holder);
        if !told.contains(&line) {
            let _ = write!(story, "\n  {line}");
            told.push(line);
        }
    }
    if told.is_empty() {
        story.push_str("\n  whoever had it let go meanwhile, or cannot be seen from here");
    }
    let _ = write!(
        story,
        "\n  remedy: end it, or listen elsewhere: --listen {}; `portwatch who {port}/tcp` tells more",
        SocketAddr::new(address.ip(), port.wrapping_add(1).max(1024))
    );
    story
}

/// Connections of a listener are not what the kernel minds, and neither is a socket on another address.
fn is_in_the_way(holder: &HeldSocket, address: SocketAddr) -> bool {
    let overlaps = holder.local.is_none_or(|local| {
        let (theirs, ours) = (local.ip().to_canonical(), address.ip().to_canonical());
        theirs == ours || theirs.is_unspecified() || ours.is_unspecified()
    });
    overlaps && !matches!(holder.role, Role::Accepted | Role::Unaccepted)
}

fn describe(holder: &HeldSocket) -> String {
    let does = match holder.role {
        Role::Listener => "listens on it",
        Role::Bound => "has it bound",
        Role::Client => "has it as the source port of a connection",
        Role::TimeWait => "had it until a moment ago (TIME_WAIT)",
        Role::Closing => "is letting it go",
        Role::Accepted | Role::Unaccepted | Role::Unknown => "has it",
    };
    match (&holder.process, holder.unnamed_reason) {
        (Some(process), _) => format!("{} {does}", name(process)),
        (None, Some(UnnamedReason::KernelSocket)) => format!("the kernel itself {does}"),
        (None, reason) => {
            let why = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            format!("a process that cannot be named{why} {does}")
        }
    }
}

fn name(process: &Process) -> String {
    let unit = process.unit.as_deref().map(|unit| format!(" of {}", printable(unit))).unwrap_or_default();
    format!("{}[{}]{unit}", printable(&process.comm), process.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_who_has_it() {
        let own = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = own.local_addr().expect("an address");
        let error = listen(address).expect_err("it is taken").to_string();
        let me = std::fs::read_to_string("/proc/self/comm").expect("a name");
        let holder = format!("{}[{}]", me.trim(), std::process::id());
        assert!(error.contains(&format!("{address}")) && error.contains("in use"), "{error}");
        // The name is a thread's; the pid is what matters.
        assert!(error.contains(&format!("[{}]", std::process::id())), "{holder} in: {error}");
        assert!(error.contains("listens on it") && error.contains("portwatch who"), "{error}");
    }

    #[test]
    fn an_address_of_nobody_is_told_as_that() {
        let error = listen("192.0.2.1:9737".parse().expect("an address")).expect_err("not ours").to_string();
        assert!(error.contains("no interface"), "{error}");
    }
}
