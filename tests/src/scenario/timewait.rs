//! The dead: a connection in TIME_WAIT keeps its port for a minute and knows no owner.

use std::ffi::OsStr;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Watch::FromTheStart;
use super::hold::{Connection, connection};
use super::{Needs, Scenario, Stage, refuse};
use crate::case::{Holder, state};
use crate::wire::Command;
use crate::wire::Transport::Tcp4;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "time-wait-owner-exited",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| closed_connection(stage, Owner::Exits),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "time-wait-owner-lives",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| closed_connection(stage, Owner::Lives),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, Tcp4.wildcard(thief.port())),
    },
];

/// What the client does after it has closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Exits,
    Lives,
}

/// A connection that the client closed first: its end waits out TIME_WAIT.
pub(super) fn closed_connection(stage: &mut Stage, owner: Owner) -> Result<Holder> {
    let Connection { mut server, accepted, mut thief, socket, holder } =
        connection(stage, OsStr::new("thief-closed"), Tcp4)?;
    thief.must(&Command::Close(socket))?;
    server.must(&Command::Close(accepted))?;
    wait_for_state(server.process.pid, holder.port(), TIME_WAIT)?;
    stage.keep(server);
    let process = if owner == Owner::Exits {
        thief.kill()?
    } else {
        let process = thief.process.clone();
        stage.keep(thief);
        process
    };
    Ok(Holder { process: Some(process), inode: None, state: state::TIME_WAIT, cause: "time-wait", ..holder })
}

/// As `/proc/net/tcp` writes it.
pub(crate) const TIME_WAIT: &str = "06";

/// Waits until the namespace of a process has a TCP socket with this local port in a state.
pub(crate) fn wait_for_state(pid: u32, port: u16, state: &str) -> Result<()> {
    let path = format!("/proc/{pid}/net/tcp");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let table = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        if is_in_state(&table, port, state) {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "the connection from port {port} did not reach state {state}:\n{table}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether `/proc/net/tcp` lists the local port in a state.
fn is_in_state(table: &str, port: u16, state: &str) -> bool {
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next().is_some_and(|field| field.ends_with(&local)) && fields.nth(1) == Some(state)
    })
}

/// Whether what has a local port is the kernel's small stand-in for a closed connection, which runs on a timer of its own.
pub(super) fn is_stand_in(pid: u32, port: u16) -> Result<bool> {
    let path = format!("/proc/{pid}/net/tcp");
    let table = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    Ok(has_stand_in(&table, port))
}

fn has_stand_in(table: &str, port: u16) -> bool {
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next().is_some_and(|field| field.ends_with(&local))
            && fields.nth(3).is_some_and(|timer| timer.starts_with("03:"))
    })
}

#[cfg(test)]
mod tests {
    use super::{TIME_WAIT, has_stand_in, is_in_state};

    #[test]
    fn a_stand_in_has_the_timer_of_time_wait() {
        let table = "   0: 0100007F:A410 0100007F:1F90 05 00000000:00000000 03:00001756 00000000 0 0 0 3 0\n";
        assert!(has_stand_in(table, 42_000));
        assert!(!has_stand_in(&table.replace(" 03:", " 02:"), 42_000));
        assert!(!has_stand_in(table, 8_080));
    }

    #[test]
    fn only_the_local_port_in_the_state_counts() {
        let table = "  sl  local_address rem_address   st\n   0: 0100007F:A410 0100007F:1F90 06 0\n";
        assert!(is_in_state(table, 42_000, TIME_WAIT));
        assert!(!is_in_state(table, 8_080, TIME_WAIT));
        assert!(!is_in_state(&table.replace(" 06 ", " 05 "), 42_000, TIME_WAIT));
    }
}
