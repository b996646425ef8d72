//! Several sockets in the way of one refusal, each of which would have been enough.

use anyhow::Result;

use super::Watch::FromTheStart;
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse, ways};
use crate::case::{Holder, state};
use crate::wire::Command;
use crate::wire::Transport::Tcp4;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "wildcard-against-two-specific",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: two_addresses,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, Tcp4.wildcard(holder.port())),
    },
    Scenario {
        name: "listener-with-connections",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: busy_listener,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
];

/// One number at two addresses, by two processes.
fn two_addresses(stage: &mut Stage) -> Result<Holder> {
    let first = hold::listener(stage, "holder-first", Tcp4, &[], Tcp4.loopback(SERVICE_PORT))?;
    let other = ([127, 0, 0, 2], SERVICE_PORT).into();
    let second = hold::listener(stage, "holder-second", Tcp4, &[], other)?;
    stage.also(second);
    Ok(first)
}

/// A server at work: its listener and the connections that came out of it stand on one port. Whichever the kernel met,
/// the port is taken because somebody listens on it.
fn busy_listener(stage: &mut Stage) -> Result<Holder> {
    let target = Tcp4.loopback(SERVICE_PORT);
    let mut server = stage.actor("busy-server")?;
    let listener = server.open(Tcp4, &[])?;
    let bound = server.must(&Command::Bind(listener, target))?;
    server.must(&Command::Listen(listener))?;
    let mut client = stage.actor("far-client")?;
    for _ in 0..2 {
        let socket = client.open(Tcp4, &[])?;
        client.must(&Command::Connect(socket, target))?;
        let accepted = server.must(&Command::Accept(listener))?;
        stage.also(Holder {
            state: state::ESTABLISHED,
            cause: "listener",
            assigned_by: "accept",
            assigned: None,
            ..hold::described(&server, &accepted)?
        });
    }
    let truth = ways::listener(&server, &bound)?;
    stage.keep(server);
    stage.keep(client);
    Ok(truth)
}
