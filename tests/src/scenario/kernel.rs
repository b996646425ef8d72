//! Sockets of the kernel itself: nobody has them, and nobody may be named.

use std::sync::OnceLock;

use anyhow::{Context, Result};

use super::Watch::{AfterHolder, FromTheStart};
use super::{Needs, RANGE, Scenario, Stage, refuse};
use crate::case::{Holder, state};
use crate::moves::Move;
use crate::netns::Netns;
use crate::tunnel;
use crate::wire::Command;
use crate::wire::Transport::Udp4;

/// As the standard has it.
const VXLAN_PORT: u16 = 4_789;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "preexisting-kernel-socket",
        watch: AfterHolder,
        needs: Needs::Vxlan,
        hold: |stage| Ok(vxlan(stage)?.preexisting()),
        refuse: |stage, holder| refuse::bind(stage, Udp4, holder.local),
    },
    Scenario {
        name: "kernel-socket",
        watch: FromTheStart,
        needs: Needs::Vxlan,
        hold: vxlan,
        refuse: |stage, holder| refuse::bind(stage, Udp4, Udp4.loopback(holder.port())),
    },
];

/// Somebody makes a tunnel, and the kernel opens the socket for it.
fn vxlan(stage: &mut Stage) -> Result<Holder> {
    let mut admin = stage.actor("network-admin")?;
    let answer = admin.must(&Command::Move(Move::Tunnel(VXLAN_PORT)))?;
    let holder = Holder {
        process: None,
        creator: Some(admin.process.clone()),
        sharers: Vec::new(),
        local: Udp4.wildcard(VXLAN_PORT),
        remote: None,
        inode: None,
        state: state::CLOSE,
        cause: "kernel-socket",
        assigned_by: "bind",
        ephemeral: false,
        assigned: Some(answer.when),
        unseen_by: None,
    };
    stage.keep(admin);
    Ok(holder)
}

/// Why there can be no such link here, by trying.
pub(super) fn lacks_vxlan() -> Option<&'static str> {
    static TRIED: OnceLock<bool> = OnceLock::new();
    let works = *TRIED.get_or_init(|| {
        Netns::new(RANGE)
            .and_then(|netns| netns.within(|| tunnel::open(VXLAN_PORT).context("making a link")))
            .is_ok()
    });
    (!works).then_some("this kernel makes no link of the kind vxlan")
}
