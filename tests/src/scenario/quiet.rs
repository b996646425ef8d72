//! What must not be reported: neighbours that get on, and refusals that are no port conflict.
//!
//! Each ends with a real conflict in the same namespace. Its report, and no other, proves that portwatch was listening
//! and held its tongue.

use anyhow::{Result, ensure};
use rustix::io::Errno;

use super::Watch::FromTheStart;
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse};
use crate::case::Holder;
use crate::wire::Transport::{Tcp4, Tcp6};
use crate::wire::{Command, Flag};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "quiet-v6only-pair",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| {
            hold::listener(stage, "v6only", Tcp6, &[Flag::V6Only], Tcp6.wildcard(SERVICE_PORT))?;
            hold::listener(stage, "v4only", Tcp4, &[], Tcp4.wildcard(SERVICE_PORT))?;
            hold::bind0(stage, "thief-bind0", Tcp4)
        },
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "quiet-reuseport-pair",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| {
            for comm in ["worker-1", "worker-2"] {
                hold::listener(stage, comm, Tcp4, &[Flag::ReusePort], Tcp4.loopback(SERVICE_PORT))?;
            }
            hold::bind0(stage, "thief-bind0", Tcp4)
        },
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "quiet-unix-socket-in-use",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: unix_name_taken,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "quiet-other-refusals",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: refused_for_other_reasons,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
];

/// EADDRINUSE, but of a name and not of a port.
fn unix_name_taken(stage: &mut Stage) -> Result<Holder> {
    let mut neighbour = stage.actor("neighbour")?;
    let name = Command::BindUnix("lineup".to_owned());
    neighbour.must(&name)?;
    refuse::in_use(&mut neighbour, &name)?;
    stage.keep(neighbour);
    hold::bind0(stage, "thief-bind0", Tcp4)
}

/// An address that is not this machine's, and a second bind() of a bound socket.
fn refused_for_other_reasons(stage: &mut Stage) -> Result<Holder> {
    let mut neighbour = stage.actor("neighbour")?;
    let socket = neighbour.open(Tcp4, &[])?;
    // 192.0.2.0/24 is set aside for documentation.
    let elsewhere = Command::Bind(socket, ([192, 0, 2, 1], SERVICE_PORT).into());
    let here = Command::Bind(socket, Tcp4.loopback(SERVICE_PORT));
    let again = Command::Bind(socket, Tcp4.loopback(SERVICE_PORT + 1));
    for (command, expected) in
        [(elsewhere, Errno::ADDRNOTAVAIL.raw_os_error()), (here, 0), (again, Errno::INVAL.raw_os_error())]
    {
        let got = neighbour.ask(&command)?.reply.errno;
        ensure!(got == expected, "{command:?}: errno {got}, expected {expected}");
    }
    stage.keep(neighbour);
    hold::bind0(stage, "thief-bind0", Tcp4)
}
