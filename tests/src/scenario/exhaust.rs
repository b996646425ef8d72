//! No port left to give: bind(0), connect() and the silent bind of a datagram, each against a range of four ports.
//!
//! Nobody in particular is to blame; the report says who has most of what there is.

use anyhow::{Context, Result};

use super::Watch::FromTheStart;
use super::refuse::{VICTIM, refusal};
use super::{Needs, RANGE, SERVICE_PORT, Scenario, Stage, hold, refuse, ways};
use crate::case::{Holder, Refusal};
use crate::netns::Range;
use crate::wire::Transport::{Tcp4, Udp4};
use crate::wire::{Command, Transport};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "range-exhausted-by-two",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hoard(stage, Tcp4, &[("hoarder-three", 3), ("hoarder-one", 1)]),
        refuse: |stage, _| refuse::bind(stage, Tcp4, Tcp4.loopback(0)),
    },
    Scenario {
        name: "range-exhausted-after-another-process",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| {
            stage.netns.narrow(Range { high: RANGE.low + 3, ..RANGE })?;
            let mut former = stage.actor("former-hoarder")?;
            for port in RANGE.low..=RANGE.low + 3 {
                let socket = former.open(Tcp4, &[])?;
                former.must(&Command::Bind(socket, Tcp4.wildcard(port)))?;
                former.must(&Command::Close(socket))?;
            }
            stage.keep(former);
            hoard(stage, Tcp4, &[("hoarder-later", 4)])
        },
        refuse: |stage, _| refuse::bind(stage, Tcp4, Tcp4.loopback(0)),
    },
    Scenario {
        name: "udp4-range-exhausted",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hoard(stage, Udp4, &[("hoarder-udp", 4)]),
        refuse: |stage, _| refuse::bind(stage, Udp4, Udp4.loopback(0)),
    },
    Scenario {
        name: "listen-without-bind-exhausted",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hoard(stage, Tcp4, &[("hoarder-listen", 4)]),
        refuse: |stage, _| refused(stage, Tcp4, Asking::Listen),
    },
    Scenario {
        name: "connect-exhausted",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| {
            ways::far_server(stage, Tcp4, SERVICE_PORT)?;
            hoard(stage, Tcp4, &[("hoarder-bound", 4)])
        },
        refuse: |stage, _| refused(stage, Tcp4, Asking::Connect),
    },
    Scenario {
        name: "udp4-connect-exhausted",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hoard(stage, Udp4, &[("hoarder-udp", 4)]),
        refuse: |stage, _| refused(stage, Udp4, Asking::Connect),
    },
    Scenario {
        name: "udp4-sendto-exhausted",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hoard(stage, Udp4, &[("hoarder-udp", 4)]),
        refuse: |stage, _| refused(stage, Udp4, Asking::SendTo),
    },
];

/// Ways to ask for any port without bind().
#[derive(Clone, Copy)]
enum Asking {
    Listen,
    Connect,
    SendTo,
}

/// Everything that the kernel has to give, each hoarder with so many; the first is the greediest.
fn hoard(stage: &mut Stage, transport: Transport, hoarders: &[(&str, u16)]) -> Result<Holder> {
    let ports: u16 = hoarders.iter().map(|(_, count)| count).sum();
    stage.netns.narrow(Range { high: RANGE.low + ports - 1, ..RANGE })?;
    let mut holders = Vec::new();
    for &(comm, count) in hoarders {
        let mut hoarder = stage.actor(comm)?;
        for _ in 0..count {
            let socket = hoarder.open(transport, &[])?;
            // At the wildcard, so that nobody finds room beside it at an address of the loopback.
            let answer = hoarder.must(&Command::Bind(socket, transport.wildcard(0)))?;
            let holder = hold::described(&hoarder, &answer)?;
            holders.push(Holder { cause: "exhausted", ..holder });
        }
        stage.keep(hoarder);
    }
    let first = holders.pop().context("a range without ports")?;
    holders.into_iter().for_each(|holder| stage.also(holder));
    Ok(first)
}

/// A call that finds no port. What the program sees differs; what was refused does not.
fn refused(stage: &mut Stage, transport: Transport, asking: Asking) -> Result<Refusal> {
    let mut victim = stage.actor(VICTIM)?;
    let socket = victim.open(transport, &[])?;
    let to = transport.loopback(SERVICE_PORT);
    let (command, seen, operation, errno) = match asking {
        Asking::Listen => (Command::Listen(socket), libc::EADDRINUSE, "listen", "EADDRINUSE"),
        Asking::Connect if transport.is_tcp() => {
            (Command::Connect(socket, to), libc::EADDRNOTAVAIL, "connect", "EADDRNOTAVAIL")
        }
        // The program is told EAGAIN, which says nothing; the refusal itself was EADDRINUSE.
        Asking::Connect => (Command::Connect(socket, to), libc::EAGAIN, "autobind", "EADDRINUSE"),
        Asking::SendTo => (Command::SendTo(socket, to), libc::EAGAIN, "autobind", "EADDRINUSE"),
    };
    let answer = ways::expect(&mut victim, &command, seen)?;
    // Before connect() asks for a port, the route has given the socket its address.
    let is_routed = matches!(asking, Asking::Connect) && transport.is_tcp();
    let at = if is_routed { transport.loopback(0) } else { transport.wildcard(0) };
    let refusal = refusal(&victim, operation, transport, at, answer.when);
    stage.keep(victim);
    Ok(Refusal { errno, ..refusal })
}
