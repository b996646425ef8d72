//! A troupe: one process that stages conflicts without pause in one namespace, a few at a time, and tells the truth.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::listen;
use rustix::process::{Signal, set_child_subreaper, set_parent_process_death_signal};

use super::act::{self, Act, Servers};
use super::dice::Dice;
use super::holder::Part;
use super::kind::Kind;
use super::ports::{DEAF, Ports, SERVER, Spot};
use super::socket;
use super::truth::{Held, Pace, Truth};
use super::victim::Wish;
use crate::netns;
use crate::wire::Transport;

/// What a troupe is told at its start.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TroupeArgs {
    #[arg(long)]
    pub(super) netns: PathBuf,
    /// Conflicts to stage
    #[arg(long)]
    pub(super) conflicts: u32,
    /// Conflicts that may wait for their reports
    #[arg(long)]
    pub(super) in_flight: usize,
    #[arg(long)]
    pub(super) seed: u64,
    /// The number of this troupe: its conflicts are `first`, `first + step` and so on
    #[arg(long)]
    pub(super) first: u32,
    #[arg(long)]
    pub(super) step: u32,
}

/// Stages every conflict; ends when all were answered for.
pub(super) fn perform(args: &TroupeArgs) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the director")?;
    // Heirs of holders that died come to the troupe.
    set_child_subreaper(Some(rustix::process::getpid())).context("adopting orphans")?;
    netns::enter_path(&args.netns)?;
    let mut troupe = Troupe::new(args)?;
    let mut staged = 0;
    while staged < args.conflicts {
        troupe.hear_answers(false)?;
        while troupe.pending.len() >= args.in_flight {
            troupe.hear_answers(true)?;
        }
        if let Some(truth) = troupe.stage()? {
            say(&truth)?;
            staged += 1;
        }
    }
    while !troupe.pending.is_empty() {
        troupe.hear_answers(true)?;
    }
    Ok(())
}

fn say(truth: &Truth) -> Result<()> {
    let mut line = serde_json::to_vec(truth)?;
    line.push(b'\n');
    io::stdout().write_all(&line).and_then(|()| io::stdout().flush()).context("telling the director")
}

/// A conflict that waits for its answer.
struct Pending {
    number: u32,
    act: Act,
    spot: Spot,
    lingers: bool,
}

struct Troupe {
    dice: Dice,
    next: u32,
    step: u32,
    has_ipv6: bool,
    servers: Servers,
    /// A listener whose queue is full, and the connection that fills it.
    _deaf: [OwnedFd; 2],
    ports: Ports,
    pending: VecDeque<Pending>,
    /// Half a line of the director's.
    unread: Vec<u8>,
}

impl Troupe {
    fn new(args: &TroupeArgs) -> Result<Self> {
        let has_ipv6 = Path::new("/proc/net/if_inet6").exists();
        let tcp4 = listener(Transport::Tcp4.loopback(SERVER), 64)?;
        let tcp6 = has_ipv6.then(|| listener(Transport::Tcp6.loopback(SERVER), 64)).transpose()?;
        let deaf = listener(Transport::Tcp4.loopback(DEAF), 0)?;
        let filler = socket::bound(Transport::Tcp4, Transport::Tcp4.wildcard(0))?;
        let filler = socket::connected(filler, Transport::Tcp4.loopback(DEAF))?;
        Ok(Self {
            dice: Dice::new(args.seed, u64::from(args.first)),
            next: args.first,
            step: args.step,
            has_ipv6,
            servers: Servers { tcp4, tcp6 },
            _deaf: [deaf, filler],
            ports: Ports::default(),
            pending: VecDeque::new(),
            unread: Vec::new(),
        })
    }

    /// Stages one conflict. `None` if none came of it: a racing holder was quicker, or the kernel gave out a number
    /// that another of the troupe has.
    fn stage(&mut self) -> Result<Option<Truth>> {
        let number = self.next;
        self.next += self.step;
        let (kind, pace) = self.choose();
        let mut act = Act::default();
        let truth = self
            .play(number, kind, pace, &mut act)
            .with_context(|| format!("staging conflict {number}, {} {pace:?}", kind.name()))?;
        let Some(truth) = truth else {
            act.end()?;
            return Ok(None);
        };
        if pace != Pace::Steady {
            act.end()?;
        }
        let spot = Spot::new(kind.transport().is_tcp(), truth.held.local);
        self.pending.push_back(Pending { number, act, spot, lingers: kind.is_closed() });
        Ok(Some(truth))
    }

    fn choose(&mut self) -> (Kind, Pace) {
        let kind = loop {
            let kind = self.dice.pick(&Kind::ALL).unwrap_or(Kind::TcpClient);
            if self.has_ipv6 || !kind.transport().is_ipv6() {
                break kind;
            }
        };
        let pace = if kind.may_race() && self.dice.once_in(4) {
            Pace::Raced
        } else if kind.may_hurry() && self.dice.once_in(2) {
            Pace::Hasty
        } else {
            Pace::Steady
        };
        (kind, pace)
    }

    fn play(&mut self, number: u32, kind: Kind, pace: Pace, act: &mut Act) -> Result<Option<Truth>> {
        let part = self.part(number, kind);
        let is_tcp = kind.transport().is_tcp();
        if kind == Kind::OwnSocket {
            let wish = self.wish(number, kind, pace, (Transport::Tcp4, part.at));
            let (held, asked) = act.alone(wish)?;
            ensure!(asked.refused > 0 && self.ports.take(Spot::new(is_tcp, held.local)), "{asked:?}");
            return Ok(Some(Truth { number, kind, pace, held, asked }));
        }
        let held: Held = act.hold(part)?;
        let spot = Spot::new(is_tcp, held.local);
        if !self.ports.take(spot) {
            ensure!(kind.is_ephemeral(), "{kind:?} took {}, which the troupe has", held.local);
            act.settle(kind, &held, &self.servers)?;
            if kind.is_closed() {
                self.ports.give_back(spot, true);
            }
            return Ok(None);
        }
        act.settle(kind, &held, &self.servers)?;
        let wanted = self.dice.pick(&act::wishes(kind, held.local, self.has_ipv6)).context("no wish")?;
        let wish = self.wish(number, kind, pace, wanted);
        let asked = act.ask(wish, &mut self.dice)?;
        if asked.refused == 0 {
            ensure!(
                pace == Pace::Raced || kind.is_closed(),
                "{} was given {} in spite of {held:?}",
                asked.who,
                asked.wanted
            );
            // Seldom, and seen on 6.18 only: the kernel has ended a closed connection before its time.
            if kind.is_closed() {
                eprintln!("soak: conflict {number}: {} did not keep its port; left out", kind.name());
            }
            self.ports.give_back(spot, false);
            return Ok(None);
        }
        Ok(Some(Truth { number, kind, pace, held, asked }))
    }

    fn part(&mut self, number: u32, kind: Kind) -> Part {
        let transport = kind.transport();
        let is_by_number = kind.assigned_by() == "bind";
        let port = if is_by_number { self.ports.number(transport.is_tcp(), &mut self.dice) } else { 0 };
        let is_specific = matches!(kind, Kind::Listen | Kind::OtherUser) || self.dice.once_in(2);
        let at = if is_specific { transport.loopback(port) } else { transport.wildcard(port) };
        let to = transport.loopback(if kind == Kind::SynSent { DEAF } else { SERVER });
        Part { number, kind, at, to, delay: act::delay(&mut self.dice) }
    }

    fn wish(&mut self, number: u32, kind: Kind, pace: Pace, wanted: (Transport, SocketAddr)) -> Wish {
        let (transport, wanted) = wanted;
        let is_racing = pace == Pace::Raced;
        // An heir may be gone before the second refusal is looked at: then the one who was given the port is right too.
        let may_insist = !is_racing && kind != Kind::Inherited;
        let times = if may_insist && self.dice.once_in(16) { 3 } else { 1 };
        let delay = if is_racing { act::delay(&mut self.dice) } else { 0 };
        Wish { number, kind, pace, transport, wanted, times, delay }
    }

    /// Takes in which conflicts were answered for, and ends them. Waits for one if `must` is set.
    fn hear_answers(&mut self, must: bool) -> Result<()> {
        // Past the buffer of std, which poll() cannot see.
        let stdin = rustix::stdio::stdin();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        if !must && poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&at_once))? == 0 {
            return Ok(());
        }
        let mut bytes = [0; 4_096];
        let length = rustix::io::read(stdin, &mut bytes).context("listening to the director")?;
        ensure!(length > 0, "the director has gone away");
        self.unread.extend_from_slice(&bytes[..length]);
        while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            self.answered(std::str::from_utf8(&line)?.trim().parse().context("an answer")?)?;
        }
        Ok(())
    }

    fn answered(&mut self, number: u32) -> Result<()> {
        let at = self.pending.iter().position(|pending| pending.number == number);
        let mut pending = at
            .and_then(|at| self.pending.remove(at))
            .with_context(|| format!("an answer to conflict {number}, which is not pending"))?;
        pending.act.end()?;
        self.ports.give_back(pending.spot, pending.lingers);
        Ok(())
    }
}

fn listener(at: SocketAddr, backlog: i32) -> Result<OwnedFd> {
    let transport = if at.is_ipv6() { Transport::Tcp6 } else { Transport::Tcp4 };
    let socket = socket::bound(transport, at)?;
    listen(&socket, backlog)?;
    Ok(socket)
}
