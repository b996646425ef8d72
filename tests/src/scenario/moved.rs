//! Sockets that changed hands: by fork, by exec, through another socket, out of another process; and a pid that did.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::Watch::{AfterHolder, FromTheStart};
use super::timewait::{Owner, closed_connection};
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse};
use crate::actor::{Actor, Process};
use crate::case::{Holder, state};
use crate::clock;
use crate::moves::Move;
use crate::wire::Transport::Tcp4;
use crate::wire::{Command, SocketId};

pub(super) const SCENARIOS: &[Scenario] = &[
    // Who made it was not seen, and must not be guessed.
    Scenario {
        name: "preexisting-inherited",
        watch: AfterHolder,
        needs: Needs::Nothing,
        hold: |stage| {
            let holder = forked(stage, After::Exits)?;
            Ok(Holder { creator: None, cause: "listener", ..holder.preexisting() })
        },
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "inherited-parent-dead",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| forked(stage, After::Exits),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "inherited-parent-closed",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| forked(stage, After::Closes),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "shared-with-child",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| forked(stage, After::Keeps),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "client-inherited-parent-dead",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: forked_client,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "socket-activation",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: activated,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "passed-sender-closed",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| passed(stage, After::Closes),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "passed-sender-dead",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| passed(stage, After::Exits),
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "taken-by-pidfd-getfd",
        watch: FromTheStart,
        needs: Needs::PidfdGetfd,
        hold: taken,
        refuse: |stage, holder| refuse::bind(stage, Tcp4, holder.local),
    },
    Scenario {
        name: "holder-moved-to-another-namespace",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: emigrated,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "pid-reused",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: pid_reused,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
];

/// What becomes of whoever was given the port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Exits,
    Closes,
    Keeps,
}

/// A listener whose maker has yet to decide what to do with it.
struct Listener {
    maker: Actor,
    socket: SocketId,
    descriptor: i32,
    holder: Holder,
}

fn listener(stage: &Stage, comm: &str) -> Result<Listener> {
    let mut maker = stage.actor(comm)?;
    let socket = maker.open(Tcp4, &[])?;
    let answer = maker.must(&Command::Bind(socket, Tcp4.loopback(SERVICE_PORT)))?;
    maker.must(&Command::Listen(socket))?;
    let holder = Holder { state: state::LISTEN, cause: "listener", ..hold::described(&maker, &answer)? };
    let descriptor = answer.reply.descriptor.context("a socket without a number")?;
    Ok(Listener { maker, socket, descriptor, holder })
}

impl Listener {
    /// The truth when `heir` has the socket and its maker no more, after the maker has done its part.
    fn inherited_by(self, stage: &mut Stage, heir: Process, after: After) -> Result<Holder> {
        let Self { mut maker, socket, holder, .. } = self;
        let creator = match after {
            After::Exits => maker.kill()?,
            After::Closes => {
                maker.must(&Command::Close(socket))?;
                let creator = maker.process.clone();
                stage.keep(maker);
                creator
            }
            After::Keeps => {
                stage.keep(maker);
                return Ok(Holder { sharers: vec![heir], ..holder });
            }
        };
        Ok(Holder { process: Some(heir), creator: Some(creator), cause: "inherited", ..holder })
    }
}

fn forked(stage: &mut Stage, after: After) -> Result<Holder> {
    let mut listener = listener(stage, "parent")?;
    let child = listener.maker.fork("child")?;
    let heir = child.process.clone();
    stage.adopt(child);
    listener.inherited_by(stage, heir, after)
}

/// A helper that was started by a client and has its connection without knowing of it.
fn forked_client(stage: &mut Stage) -> Result<Holder> {
    let hold::Connection { server, mut thief, holder, .. } =
        hold::connection(stage, "parent-client".as_ref(), Tcp4)?;
    let child = thief.fork("child-of-client")?;
    let process = Some(child.process.clone());
    stage.keep(server);
    stage.adopt(child);
    Ok(Holder { process, creator: Some(thief.kill()?), cause: "inherited", ..holder })
}

/// A manager makes the socket, starts the service with it, and keeps it, to start the service again.
fn activated(stage: &mut Stage) -> Result<Holder> {
    let mut listener = listener(stage, "manager")?;
    let service = listener.maker.launch("activated-svc")?;
    let heir = service.process.clone();
    stage.adopt(service);
    listener.inherited_by(stage, heir, After::Keeps)
}

/// Handed over through an AF_UNIX socket, as a proxy does on its upgrade.
fn passed(stage: &mut Stage, after: After) -> Result<Holder> {
    const MAILBOX: &str = "lineup-mailbox";
    let mut listener = listener(stage, "sender")?;
    let mut receiver = stage.actor("receiver")?;
    let mailbox = receiver.must(&Command::Move(Move::Mailbox(MAILBOX.to_owned())))?.reply.socket;
    let mailbox = mailbox.context("a mailbox without a number")?;
    listener.maker.must(&Command::Move(Move::Post(listener.socket, MAILBOX.to_owned())))?;
    receiver.must(&Command::Move(Move::Collect(mailbox)))?;
    let heir = receiver.process.clone();
    stage.keep(receiver);
    listener.inherited_by(stage, heir, after)
}

fn taken(stage: &mut Stage) -> Result<Holder> {
    let listener = listener(stage, "robbed")?;
    let mut taker = stage.actor("taker")?;
    let pid = listener.maker.process.pid;
    taker.must(&Command::Move(Move::TakeOver { pid, descriptor: listener.descriptor }))?;
    let heir = taker.process.clone();
    stage.keep(taker);
    listener.inherited_by(stage, heir, After::Closes)
}

/// The holder's socket is here, the holder is elsewhere by now: who goes through it to this namespace is misled.
fn emigrated(stage: &mut Stage) -> Result<Holder> {
    let hold::Connection { server, mut thief, holder, .. } =
        hold::connection(stage, "emigrant".as_ref(), Tcp4)?;
    let elsewhere = stage.another_netns()?;
    thief.must(&Command::Move(Move::Emigrate(elsewhere)))?;
    stage.keep(server);
    stage.keep(thief);
    Ok(holder)
}

/// Why a descriptor cannot be taken out of another process here, by trying.
pub(super) fn lacks_pidfd_getfd() -> Option<&'static str> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|own| pidfd_getfd(own, 0, PidfdGetfdFlags::empty()));
    (own.err() == Some(Errno::NOSYS)).then_some("this kernel has no pidfd_getfd")
}

/// The owner of a connection in TIME_WAIT is dead, and somebody innocent has its pid.
fn pid_reused(stage: &mut Stage) -> Result<Holder> {
    let holder = closed_connection(stage, Owner::Exits)?;
    let dead = holder.process.as_ref().context("a connection without an owner")?;
    // /proc tells starts in ticks of 10 ms, and a process that lived and died within one is none that a pid outlives.
    let start = dead.start;
    let deadline = Instant::now() + Duration::from_secs(10);
    while clock::now().0 < start.0 + 3 * TICK {
        ensure!(Instant::now() < deadline, "the clock stands still");
        thread::sleep(Duration::from_millis(1));
    }
    let mut parent = stage.actor("parent-of-heir")?;
    let heir = parent.fork_as("heir-of-pid", dead.pid)?;
    ensure!(heir.process.pid == dead.pid, "the kernel gave the pid {} instead", heir.process.pid);
    stage.adopt(heir);
    stage.keep(parent);
    Ok(holder)
}

/// Nanoseconds.
const TICK: i64 = 10_000_000;
