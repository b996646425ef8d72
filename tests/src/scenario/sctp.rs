//! SCTP, whose functions and table of ports are in a module that may come after portwatch.

use anyhow::Result;

use super::Watch::{AfterHolder, FromTheStart};
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse};
use crate::case::Holder;
use crate::feature::Feature;
use crate::wire::Command;
use crate::wire::Transport::{Sctp4, Sctp6, Tcp4};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "preexisting-sctp4-client",
        watch: AfterHolder,
        needs: Needs::Feature(Feature::Sctp),
        hold: |stage| Ok(hold::tcp_client(stage, "earlier-sctp", Sctp4)?.preexisting()),
        refuse: |stage, thief| refuse::bind(stage, Sctp4, thief.local),
    },
    Scenario {
        name: "sctp4-listener",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Sctp),
        hold: |stage| {
            // The same number in TCP is in nobody's way.
            hold::listener(stage, "innocent-tcp", Tcp4, &[], Tcp4.loopback(SERVICE_PORT))?;
            hold::listener(stage, "holder-sctp", Sctp4, &[], Sctp4.loopback(SERVICE_PORT))
        },
        refuse: |stage, holder| refuse::bind(stage, Sctp4, holder.local),
    },
    Scenario {
        name: "sctp6-listener",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Sctp),
        hold: |stage| hold::listener(stage, "holder-sctp6", Sctp6, &[], Sctp6.wildcard(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Sctp6, Sctp6.loopback(holder.port())),
    },
    Scenario {
        name: "sctp4-bound-only",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Sctp),
        hold: |stage| hold::bound(stage, "holder-bound", Sctp4, Sctp4.loopback(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Sctp4, Sctp4.wildcard(holder.port())),
    },
    Scenario {
        name: "sctp4-bind0",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Sctp),
        hold: |stage| hold::bind0(stage, "thief-bind0", Sctp4),
        refuse: |stage, thief| refuse::bind(stage, Sctp4, thief.local),
    },
    Scenario {
        name: "sctp4-client",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Sctp),
        hold: client,
        refuse: |stage, thief| refuse::bind(stage, Sctp4, thief.local),
    },
    // A client is bound to every address, whichever its connection goes out from.
    Scenario {
        name: "sctp4-client-against-another-address",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Sctp),
        hold: client,
        refuse: |stage, thief| refuse::bind(stage, Sctp4, ([127, 0, 0, 2], thief.port()).into()),
    },
    Scenario {
        name: "sctp4-successor",
        watch: FromTheStart,
        needs: Needs::Feature(Feature::Sctp),
        hold: successor,
        refuse: |stage, holder| refuse::bind(stage, Sctp4, holder.local),
    },
];

/// A client whose connect() no hook has seen.
fn client(stage: &mut Stage) -> Result<Holder> {
    let holder = hold::tcp_client(stage, "thief-sctp", Sctp4)?;
    Ok(Holder { assigned_by: "unknown", assigned: None, ..holder })
}

/// Somebody had the port, let go of it unseen, and is never to be named; somebody else has it now.
fn successor(stage: &mut Stage) -> Result<Holder> {
    let mut former = stage.actor("former-holder")?;
    let socket = former.open(Sctp4, &[])?;
    former.must(&Command::Bind(socket, Sctp4.loopback(SERVICE_PORT)))?;
    former.must(&Command::Listen(socket))?;
    former.must(&Command::Close(socket))?;
    // Another address on the number stands in nobody's way.
    former.must(&Command::Open(Sctp4))?;
    former.must(&Command::Bind(1, ([127, 0, 0, 2], SERVICE_PORT).into()))?;
    stage.keep(former);
    hold::listener(stage, "holder-now", Sctp4, &[], Sctp4.loopback(SERVICE_PORT))
}
