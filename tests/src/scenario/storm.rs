//! Many refusals: one conflict however often it repeats, and two where the victim or the culprit is another.

use anyhow::{Result, ensure};

use super::Watch::FromTheStart;
use super::refuse::{VICTIM, bind_by, refusal};
use super::{Needs, RANGE, Scenario, Stage, hold, refuse};
use crate::actor::Process;
use crate::case::{Holder, Refusal};
use crate::wire::Command;
use crate::wire::Transport::Tcp4;
use crate::wire::raw::RawCall;

/// Starts of a service that ends at once: enough for a quarter of an hour of systemd's patience.
const STARTS: u32 = 200;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "restart-storm",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::tcp_client(stage, "thief-of-storm", Tcp4),
        refuse: restart_storm,
    },
    Scenario {
        name: "two-victims-of-one-culprit",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: |stage| hold::tcp_client(stage, "thief-of-two", Tcp4),
        refuse: two_victims,
    },
    Scenario {
        name: "one-victim-of-two-culprits",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: two_culprits,
        refuse: |stage, second| {
            let mut victim = stage.recall()?;
            let refusal = bind_by(&mut victim, Tcp4, &[], second.local)?;
            stage.keep(victim);
            Ok(refusal)
        },
    },
];

/// Two hundred processes, each dead before anybody can look at it.
fn restart_storm(stage: &mut Stage, thief: &Holder) -> Result<Refusal> {
    let mut service = stage.actor(VICTIM)?;
    let restarts = RawCall::Restarts { transport: Tcp4, wanted: thief.local, times: STARTS };
    let answer = service.must(&Command::Raw(restarts))?;
    let children = answer.reply.children;
    let refused = children.iter().filter(|child| child.errno == libc::EADDRINUSE).count();
    ensure!(refused == STARTS as usize, "{refused} of {STARTS} were refused");
    let comm = &service.process.comm;
    let victims = children.iter().map(|child| Process {
        pid: child.pid,
        comm: comm.clone(),
        start: child.start,
        alive: false,
        portrait: service.process.portrait.clone(),
    });
    let refusal = Refusal {
        victims: victims.collect(),
        count: STARTS.into(),
        ..refusal(&service, "bind", Tcp4, thief.local, answer.when)
    };
    stage.keep(service);
    Ok(refusal)
}

/// Two services after one port.
fn two_victims(stage: &mut Stage, thief: &Holder) -> Result<Refusal> {
    stage.become_service("lineup-first.service")?;
    let first = refuse::bind(stage, Tcp4, thief.local)?;
    stage.happened(thief.clone(), first);
    stage.become_service("lineup-second.service")?;
    refuse::bind(stage, Tcp4, thief.local)
}

/// One service after one port, which goes from hand to hand meanwhile.
fn two_culprits(stage: &mut Stage) -> Result<Holder> {
    let at = Tcp4.loopback(RANGE.high);
    let first = hold::listener(stage, "culprit-first", Tcp4, &[], at)?;
    let mut culprit = stage.recall()?;
    let mut victim = stage.actor(VICTIM)?;
    let refusal = bind_by(&mut victim, Tcp4, &[], at)?;
    stage.happened(first, refusal);
    // It goes on without its listener, the only socket that it had.
    culprit.must(&Command::Close(0))?;
    stage.keep(culprit);
    let second = hold::listener(stage, "culprit-second", Tcp4, &[], at)?;
    stage.keep(victim);
    Ok(second)
}
