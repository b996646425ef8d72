//! Connections on their way out: closed by their process, kept by the kernel, and in the way as much as living ones.
//!
//! Loopback confirms everything at once. What holds a connection here is the far side, which closes its window: a FIN
//! behind data that may not be sent stays where it is.

use std::ffi::OsStr;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::Watch::{AfterHolder, FromTheStart};
use super::hold::{Connection, connection};
use super::timewait::{is_stand_in, wait_for_state};
use super::{Needs, Scenario, Stage, refuse};
use crate::case::{Holder, state};
use crate::moves::Move;
use crate::wire::Command;
use crate::wire::Transport::Tcp4;

pub(super) const SCENARIOS: &[Scenario] = &[
    // Nobody saw whose it was, and nobody has it: there is no right name.
    Scenario {
        name: "preexisting-orphan",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| {
            let holder = stuck(stage, &[Step::Close], Some(FIN_WAIT1))?;
            Ok(Holder { process: None, assigned_by: "unknown", ..holder.preexisting() })
        },
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    // Longer than TIME_WAIT lasts: the kernel keeps the socket itself.
    Scenario {
        name: "fin-wait2-owner-exited",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| half_closed(stage, 120, state::FIN_WAIT2, "closing"),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    // As long as TIME_WAIT or shorter: a stand-in waits, which ss calls FIN-WAIT-2 and the kernel TIME_WAIT.
    Scenario {
        name: "fin-wait2-stand-in-owner-exited",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| half_closed(stage, 60, state::TIME_WAIT, "time-wait"),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, Tcp4.wildcard(thief.port())),
    },
    Scenario {
        name: "fin-wait2-owner-lives",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: shut_down,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "close-wait-owner-lives",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: left_alone,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "fin-wait1-owner-exited",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| stuck(stage, &[Step::Close], Some(FIN_WAIT1)),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "fin-wait1-owner-lives",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| stuck(stage, &[Step::Close], None),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "closing-owner-exited",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| stuck(stage, &[Step::Close, Step::FarSideShutsDown], Some(CLOSING)),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, Tcp4.wildcard(thief.port())),
    },
    Scenario {
        name: "last-ack-owner-exited",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| stuck(stage, &[Step::FarSideShutsDown, Step::Close], Some(LAST_ACK)),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
];

/// A state by its name in a report and its number in `/proc/net/tcp`.
#[derive(Clone, Copy)]
struct State {
    name: &'static str,
    number: &'static str,
}

const FIN_WAIT1: State = State { name: state::FIN_WAIT1, number: "04" };
const LAST_ACK: State = State { name: state::LAST_ACK, number: "09" };
const CLOSING: State = State { name: state::CLOSING, number: "0B" };
/// Of the socket and of its stand-in.
const FIN_WAIT2: &str = "05";
const CLOSE_WAIT: &str = "08";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Close,
    FarSideShutsDown,
}

fn thief() -> &'static OsStr {
    OsStr::new("thief-dying")
}

/// The client has closed and is gone, the server has not noticed.
///
/// With a short time-out the kernel puts a stand-in into its place at once, unless the confirmation finds the socket locked by
/// the very close(): then it stays what it is, and is not the stage that is wanted.
fn half_closed(stage: &mut Stage, seconds: u32, state: &'static str, cause: &'static str) -> Result<Holder> {
    let path = "/proc/sys/net/ipv4/tcp_fin_timeout";
    stage.netns.within(|| fs::write(path, seconds.to_string()).with_context(|| format!("writing {path}")))?;
    let Connection { server, mut thief, socket, holder, .. } = connection(stage, thief(), Tcp4)?;
    thief.must(&Command::Close(socket))?;
    wait_for_state(server.process.pid, holder.port(), FIN_WAIT2)?;
    let process = Some(thief.kill()?);
    let is_wanted = is_stand_in(server.process.pid, holder.port())? == (state == state::TIME_WAIT);
    ensure!(is_wanted, "the kernel left the closed connection in another form than {state}");
    stage.keep(server);
    Ok(Holder { process, inode: None, state, cause, ..holder })
}

/// The client will send no more, and still has the socket: it is on its way out, but somebody's.
fn shut_down(stage: &mut Stage) -> Result<Holder> {
    let Connection { server, mut thief, socket, holder, .. } = connection(stage, thief(), Tcp4)?;
    thief.must(&Command::Move(Move::ShutDown(socket)))?;
    wait_for_state(server.process.pid, holder.port(), FIN_WAIT2)?;
    stage.keep(server);
    stage.keep(thief);
    Ok(Holder { state: state::FIN_WAIT2, ..holder })
}

/// The server has closed, and the client does not notice: the connection that leaks in so many pools.
fn left_alone(stage: &mut Stage) -> Result<Holder> {
    let Connection { mut server, accepted, thief, holder, .. } = connection(stage, thief(), Tcp4)?;
    server.must(&Command::Close(accepted))?;
    wait_for_state(server.process.pid, holder.port(), CLOSE_WAIT)?;
    stage.keep(server);
    stage.keep(thief);
    Ok(Holder { state: state::CLOSE_WAIT, ..holder })
}

/// The server reads nothing, and so neither the client's data nor the FIN behind it ever leave. Without an end state
/// the client goes on, without the socket.
fn stuck(stage: &mut Stage, steps: &[Step], exits_in: Option<State>) -> Result<Holder> {
    let Connection { mut server, accepted, mut thief, socket, holder } = connection(stage, thief(), Tcp4)?;
    thief.must(&Command::Move(Move::Flood(socket)))?;
    for step in steps {
        match step {
            Step::Close => thief.must(&Command::Close(socket))?,
            Step::FarSideShutsDown => server.must(&Command::Move(Move::ShutDown(accepted)))?,
        };
    }
    let State { name, number } = exits_in.unwrap_or(FIN_WAIT1);
    wait_for_state(server.process.pid, holder.port(), number)?;
    stage.keep(server);
    let process = if exits_in.is_some() {
        thief.kill()?
    } else {
        let process = thief.process.clone();
        stage.keep(thief);
        process
    };
    Ok(Holder { process: Some(process), inode: None, state: name, cause: "closing", ..holder })
}
