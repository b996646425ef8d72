//! The story portwatch exists for: no server has the port, a client does, and the kernel gave it to them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use anyhow::Result;

use super::Watch::FromTheStart;
use super::{Needs, RANGE, Scenario, Stage, hold, refuse};
use crate::case::Holder;
use crate::netns::Range;
use crate::wire::Command;
use crate::wire::Transport::{Tcp4, Tcp6, Udp4, Udp6};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "tcp4-client",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::tcp_client(stage, "thief-tcp4", Tcp4),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "tcp6-client",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| hold::tcp_client(stage, "thief-tcp6", Tcp6),
        refuse: |stage, thief| refuse::bind(stage, Tcp6, thief.local),
    },
    // Surprising and real: a connection over IPv6 alone stands in the way of a server on 0.0.0.0.
    Scenario {
        name: "tcp6-client-against-ipv4-wildcard",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| hold::tcp_client(stage, "thief-tcp6", Tcp6),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, Tcp4.wildcard(thief.port())),
    },
    Scenario {
        name: "tcp4-client-against-dual-stack-wildcard",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| hold::tcp_client(stage, "thief-tcp4", Tcp4),
        refuse: |stage, thief| refuse::bind(stage, Tcp6, Tcp6.wildcard(thief.port())),
    },
    Scenario {
        name: "udp4-client",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::udp_client(stage, "thief-udp4", Udp4),
        refuse: |stage, thief| refuse::bind(stage, Udp4, thief.local),
    },
    Scenario {
        name: "udp6-client",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| hold::udp_client(stage, "thief-udp6", Udp6),
        refuse: |stage, thief| refuse::bind(stage, Udp6, thief.local),
    },
    Scenario {
        name: "udp4-sender",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::udp_sender(stage, "thief-sendto", Udp4),
        refuse: |stage, thief| refuse::bind(stage, Udp4, Udp4.loopback(thief.port())),
    },
    Scenario {
        name: "same-port-in-another-namespace",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: client_with_a_double,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    // An escape sequence, a quote, a newline, a byte that is no UTF-8: none may reach a terminal or break the JSON.
    Scenario {
        name: "hostile-process-name",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::tcp_client(stage, OsStr::from_bytes(b"\x1b[31mEV\xff\"\nIL"), Tcp4),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
];

/// Before the thief gets its port, an innocent has taken every port of the range in another namespace.
fn client_with_a_double(stage: &mut Stage) -> Result<Holder> {
    let mut innocent = stage.actor_elsewhere("innocent")?;
    for port in RANGE.low..=RANGE.low + DOUBLES {
        let socket = innocent.open(Tcp4, &[])?;
        innocent.must(&Command::Bind(socket, Tcp4.loopback(port)))?;
        innocent.must(&Command::Listen(socket))?;
    }
    stage.keep(innocent);
    stage.netns.narrow(Range { high: RANGE.low + DOUBLES, ..RANGE })?;
    hold::tcp_client(stage, "thief-here", Tcp4)
}

/// How many ports beyond the first: few, or the innocent would be busy for long on an emulated machine.
const DOUBLES: u16 = 3;
