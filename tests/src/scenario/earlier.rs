//! Holders from before portwatch's start: known by a look around, or honestly not at all.

use super::Watch::AfterHolder;
use super::timewait::{Owner, closed_connection};
use super::{Needs, SERVICE_PORT, Scenario, hold, refuse};
use crate::case::Holder;
use crate::wire::Transport::{Tcp4, Tcp6, Udp4};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "preexisting-tcp4-client",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| Ok(hold::tcp_client(stage, "earlier-tcp4", Tcp4)?.preexisting()),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "preexisting-tcp6-client",
        watch: AfterHolder,
        needs: Needs::Ipv6,
        hold: |stage| Ok(hold::tcp_client(stage, "earlier-tcp6", Tcp6)?.preexisting()),
        refuse: |stage, thief| refuse::bind(stage, Tcp6, Tcp6.wildcard(thief.port())),
    },
    Scenario {
        name: "preexisting-udp4-client",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| Ok(hold::udp_client(stage, "earlier-udp4", Udp4)?.preexisting()),
        refuse: |stage, thief| refuse::bind(stage, Udp4, thief.local),
    },
    Scenario {
        name: "preexisting-listener",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| {
            let at = Tcp4.wildcard(SERVICE_PORT);
            Ok(hold::listener(stage, "earlier-listen", Tcp4, &[], at)?.preexisting())
        },
        refuse: |stage, holder| refuse::bind(stage, Tcp4, Tcp4.loopback(holder.port())),
    },
    // Such a socket is in no table of /proc/net, and older kernels do not dump it either.
    Scenario {
        name: "preexisting-bound-only",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| {
            let at = Tcp4.loopback(SERVICE_PORT);
            Ok(hold::bound(stage, "earlier-bound", Tcp4, at)?.preexisting())
        },
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    // Nobody was there to remember the owner: the only right answer is that there is none.
    Scenario {
        name: "preexisting-time-wait",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| {
            let holder = closed_connection(stage, Owner::Exits)?;
            Ok(Holder { process: None, assigned_by: "unknown", ..holder.preexisting() })
        },
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
];
