//! Holders who bound the port: by number or by bind(0), listening or not.

use anyhow::Result;

use super::Watch::FromTheStart;
use super::refuse::{VICTIM, in_use, refusal};
use super::{Needs, RANGE, SERVICE_PORT, Scenario, Stage, hold, refuse};
use crate::case::{Holder, Refusal, state};
use crate::netns::Range;
use crate::wire::Transport::{Tcp4, Tcp6, Udp4};
use crate::wire::{Command, Flag};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "tcp4-bind0",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::bind0(stage, "thief-bind0", Tcp4),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "udp4-bind0",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::bind0(stage, "thief-udp-bind0", Udp4),
        refuse: |stage, thief| refuse::bind(stage, Udp4, thief.local),
    },
    Scenario {
        name: "tcp4-listen-without-bind",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::listen_unbound(stage, "thief-listen"),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, Tcp4.wildcard(thief.port())),
    },
    Scenario {
        name: "tcp4-listener",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::listener(stage, "holder-listen", Tcp4, &[], Tcp4.loopback(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "tcp6-listener",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: |stage| hold::listener(stage, "holder-listen6", Tcp6, &[], Tcp6.wildcard(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, Tcp4.wildcard(holder.port())),
    },
    Scenario {
        name: "tcp4-bound-only",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::bound(stage, "holder-bound", Tcp4, Tcp4.loopback(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "udp4-server",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::bound(stage, "holder-udp", Udp4, Udp4.wildcard(SERVICE_PORT)),
        refuse: |stage, holder| refuse::bind(stage, Udp4, Udp4.loopback(holder.port())),
    },
    Scenario {
        name: "wildcard-against-specific",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: wildcard_prey,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, Tcp4.wildcard(holder.port())),
    },
    Scenario {
        name: "listen-refused-after-reuseaddr",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: first_listener,
        refuse: second_listener,
    },
    Scenario {
        name: "own-socket",
        watch: FromTheStart,
        needs: Needs::Ipv6,
        hold: own_listener,
        refuse: own_second_bind,
    },
    Scenario {
        name: "reuseport-of-another-user",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: other_users_group,
        refuse: join_group,
    },
    Scenario {
        name: "range-exhausted",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: hoard,
        refuse: |stage, _| refuse::bind(stage, Tcp4, Tcp4.loopback(0)),
    },
    Scenario {
        name: "previous-instance",
        watch: FromTheStart,
        needs: Needs::Cgroup2,
        hold: earlier_instance,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
];

/// A listener on 127.0.0.1; another on the same number in the other protocol, which conflicts with nothing.
fn wildcard_prey(stage: &mut Stage) -> Result<Holder> {
    let at = Tcp4.loopback(SERVICE_PORT);
    hold::bound(stage, "innocent-udp", Udp4, at)?;
    hold::listener(stage, "holder-specific", Tcp4, &[], at)
}

/// With SO_REUSEADDR on both, bind() admits the second socket as long as nobody listens; then the first one does.
fn first_listener(stage: &mut Stage) -> Result<Holder> {
    let at = Tcp4.loopback(SERVICE_PORT);
    let mut holder = stage.actor("holder-first")?;
    let socket = holder.open(Tcp4, &[Flag::ReuseAddress])?;
    let answer = holder.must(&Command::Bind(socket, at))?;
    let mut victim = stage.actor(VICTIM)?;
    let second = victim.open(Tcp4, &[Flag::ReuseAddress])?;
    victim.must(&Command::Bind(second, at))?;
    holder.must(&Command::Listen(socket))?;
    let truth = Holder { state: state::LISTEN, cause: "listener", ..hold::described(&holder, &answer)? };
    stage.keep(holder);
    stage.keep(victim);
    Ok(truth)
}

/// The victim's one socket is bound: its listen() is what the kernel refuses.
fn second_listener(stage: &mut Stage, holder: &Holder) -> Result<Refusal> {
    let mut victim = stage.recall()?;
    let answer = in_use(&mut victim, &Command::Listen(0))?;
    let refusal = refusal(&victim, "listen", Tcp4, holder.local, answer.when);
    stage.keep(victim);
    Ok(refusal)
}

/// A service that listens on 0.0.0.0 and is about to ask for [::] too.
fn own_listener(stage: &mut Stage) -> Result<Holder> {
    let at = Tcp4.wildcard(SERVICE_PORT);
    Ok(Holder { cause: "own-socket", ..hold::listener(stage, VICTIM, Tcp4, &[], at)? })
}

fn own_second_bind(stage: &mut Stage, holder: &Holder) -> Result<Refusal> {
    let mut victim = stage.recall()?;
    let refusal = refuse::bind_by(&mut victim, Tcp6, &[], Tcp6.wildcard(holder.port()))?;
    stage.keep(victim);
    Ok(refusal)
}

/// SO_REUSEPORT admits only sockets of one user.
fn other_users_group(stage: &mut Stage) -> Result<Holder> {
    let mut holder = stage.actor("holder-uid1000")?;
    holder.must(&Command::BecomeUser(1000))?;
    holder.process.portrait.uid = Some(1000);
    let socket = holder.open(Tcp4, &[Flag::ReusePort])?;
    let answer = holder.must(&Command::Bind(socket, Tcp4.loopback(SERVICE_PORT)))?;
    holder.must(&Command::Listen(socket))?;
    let truth =
        Holder { state: state::LISTEN, cause: "reuseport-mismatch", ..hold::described(&holder, &answer)? };
    stage.keep(holder);
    Ok(truth)
}

fn join_group(stage: &mut Stage, holder: &Holder) -> Result<Refusal> {
    let mut victim = stage.actor(VICTIM)?;
    let refusal = refuse::bind_by(&mut victim, Tcp4, &[Flag::ReusePort], holder.local)?;
    stage.keep(victim);
    Ok(refusal)
}

/// The old process of a service that is being restarted, still listening.
fn earlier_instance(stage: &mut Stage) -> Result<Holder> {
    stage.become_service("lineup-web.service")?;
    let holder = hold::listener(stage, VICTIM, Tcp4, &[], Tcp4.wildcard(SERVICE_PORT))?;
    Ok(Holder { cause: "previous-instance", ..holder })
}

/// Everything that the kernel has to give, in one hand.
fn hoard(stage: &mut Stage) -> Result<Holder> {
    let range = Range { low: RANGE.low, high: RANGE.low + 3 };
    stage.netns.narrow(range)?;
    let mut hoarder = stage.actor("hoarder")?;
    let mut bind0 = || {
        let socket = hoarder.open(Tcp4, &[])?;
        hoarder.must(&Command::Bind(socket, Tcp4.loopback(0)))
    };
    let mut answer = bind0()?;
    for _ in range.low..range.high {
        answer = bind0()?;
    }
    let truth = Holder { cause: "exhausted", ..hold::described(&hoarder, &answer)? };
    stage.keep(hoarder);
    Ok(truth)
}
