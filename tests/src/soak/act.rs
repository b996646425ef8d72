//! One conflict: the holder takes the port, the victim is refused, and what is kept of both until the report is there.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, ensure};
use rustix::net::{Shutdown, SocketFlags, acceptfrom_with, shutdown};
use rustix::process::Pid;

use super::child::{self, Child, word};
use super::dice::Dice;
use super::holder::{self, Part};
use super::kind::Kind;
use super::socket;
use super::truth::{Asked, Held, Pace};
use super::victim::{self, Wish};
use crate::wire::Transport;

/// Turns of an empty loop: some hundred microseconds at most, the time in which two processes wake up.
const LONGEST_DELAY: u32 = 60_000;

/// Everybody of one conflict who is still there.
#[derive(Default)]
pub(super) struct Act {
    holder: Option<Child>,
    heir: Option<Pid>,
    victim: Option<Child>,
    /// The troupe's own ends of connections.
    kept: Vec<OwnedFd>,
}

/// The troupe's listeners, by family.
pub(super) struct Servers {
    pub(super) tcp4: OwnedFd,
    pub(super) tcp6: Option<OwnedFd>,
}

impl Act {
    /// A process takes a port.
    pub(super) fn hold(&mut self, part: Part) -> Result<Held> {
        let mut child = child::fork(|parent| holder::live(part, parent))?;
        let held: Held = child.hear().context("a holder")?;
        if held.creator.is_some() {
            self.heir = Pid::from_raw(held.who.pid.cast_signed());
        }
        self.holder = Some(child);
        Ok(held)
    }

    /// Brings the socket into the state that its kind is about.
    pub(super) fn settle(&mut self, kind: Kind, held: &Held, servers: &Servers) -> Result<()> {
        let Some(holder) = self.holder.as_mut() else { return Ok(()) };
        match kind {
            Kind::TcpClient | Kind::ThreadClient => self.kept.push(accept(&servers.tcp4, held)?),
            Kind::Tcp6Client => {
                self.kept.push(accept(servers.tcp6.as_ref().context("no listener on [::1]")?, held)?);
            }
            Kind::CloseWait => {
                let accepted = accept(&servers.tcp4, held)?;
                shutdown(&accepted, Shutdown::Write)?;
                self.kept.push(accepted);
                holder.ask::<()>(word::AWAIT_END)?;
            }
            Kind::TimeWaitDead | Kind::TimeWaitLives | Kind::HalfClosed => {
                let accepted = accept(&servers.tcp4, held)?;
                holder.ask::<()>(word::CLOSE)?;
                socket::await_end(&accepted)?;
                if kind == Kind::HalfClosed {
                    self.kept.push(accepted);
                } else {
                    shutdown(&accepted, Shutdown::Write)?;
                    socket::await_closed(&accepted)?;
                }
            }
            Kind::Serving => {
                // Bound first, so that no holder is ever given the same number.
                let client = socket::bound(Transport::Tcp4, Transport::Tcp4.wildcard(0))?;
                socket::reset_on_close(&client)?;
                let server = Transport::Tcp4.loopback(held.local.port());
                self.kept.push(socket::connected(client, server)?);
                holder.ask::<()>(word::ACCEPT)?;
            }
            Kind::Inherited => holder.wait()?,
            _ => {}
        }
        if kind.is_dead()
            && let Some(holder) = self.holder.take()
        {
            holder.dismiss()?;
        }
        Ok(())
    }

    /// A process asks for the port.
    pub(super) fn ask(&mut self, wish: Wish, dice: &mut Dice) -> Result<Asked> {
        let mut victim = child::fork(|parent| victim::live(wish, parent))?;
        if wish.kind == Kind::Listen {
            victim.hear::<()>().context("a victim")?;
            if let Some(holder) = self.holder.as_mut() {
                holder.ask::<()>(word::LISTEN)?;
            }
            victim.tell(word::GO)?;
        } else if wish.pace == Pace::Raced {
            victim.hear::<()>().context("a victim")?;
            self.race(&mut victim, dice)?;
        }
        let asked = victim.hear().context("a victim")?;
        self.victim = Some(victim);
        Ok(asked)
    }

    fn race(&mut self, victim: &mut Child, dice: &mut Dice) -> Result<()> {
        let Some(holder) = self.holder.as_mut() else { return Ok(()) };
        if dice.once_in(2) {
            holder.tell(word::GO)?;
            victim.tell(word::GO)
        } else {
            victim.tell(word::GO)?;
            holder.tell(word::GO)
        }
    }

    /// The victim holds the port itself and asks once more.
    pub(super) fn alone(&mut self, wish: Wish) -> Result<(Held, Asked)> {
        let mut victim = child::fork(|parent| victim::live(wish, parent))?;
        let told = (victim.hear()?, victim.hear()?);
        self.victim = Some(victim);
        Ok(told)
    }

    /// Sends everybody home. The troupe's ends go first: they reset, and nothing lingers.
    pub(super) fn end(&mut self) -> Result<()> {
        for socket in self.kept.drain(..) {
            socket::reset_on_close(&socket)?;
        }
        if let Some(victim) = self.victim.take() {
            victim.dismiss()?;
        }
        match (self.heir.take(), self.holder.take()) {
            (Some(heir), Some(mut holder)) => {
                holder.let_go();
                child::wait_for(heir)
            }
            (None, Some(holder)) => holder.dismiss(),
            _ => Ok(()),
        }
    }
}

/// How long a racing process waits after its word.
pub(super) fn delay(dice: &mut Dice) -> u32 {
    if dice.once_in(3) { 0 } else { dice.below(LONGEST_DELAY) }
}

fn accept(listener: &OwnedFd, held: &Held) -> Result<OwnedFd> {
    let accepted =
        acceptfrom_with(listener, SocketFlags::CLOEXEC).context("accepting a holder's connection")?.0;
    let from = socket::remote(&accepted);
    ensure!(from == Some(held.local), "a connection from {from:?} instead of {}", held.local);
    Ok(accepted)
}

/// What a victim may ask for so that it meets a holder on `held`.
pub(super) fn wishes(kind: Kind, held: SocketAddr, has_ipv6: bool) -> Vec<(Transport, SocketAddr)> {
    let port = held.port();
    let (v4, v6) = if kind.transport().is_tcp() {
        (Transport::Tcp4, Transport::Tcp6)
    } else {
        (Transport::Udp4, Transport::Udp6)
    };
    match kind {
        // Both sides must agree to all but the one thing that the kind is about.
        Kind::Listen | Kind::OtherUser => vec![(v4, held)],
        Kind::Tcp6Client => {
            vec![(v6, v6.loopback(port)), (v6, v6.wildcard(port)), (v4, v4.wildcard(port))]
        }
        Kind::Udp6Client => vec![(v6, v6.loopback(port)), (v6, v6.wildcard(port))],
        _ => {
            let mut wishes = vec![(v4, v4.loopback(port)), (v4, v4.wildcard(port))];
            if has_ipv6 {
                wishes.push((v6, v6.wildcard(port)));
            }
            wishes
        }
    }
}
