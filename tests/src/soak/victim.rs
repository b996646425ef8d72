//! A victim from the inside: asks for a port that somebody has.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{bind, listen, sockopt};

use super::child::{Parent, word};
use super::kind::Kind;
use super::socket;
use super::truth::{Asked, Held, Pace, Span, Who, victim_name};
use crate::wire::Transport;

/// What a victim is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) number: u32,
    pub(super) kind: Kind,
    pub(super) pace: Pace,
    pub(super) transport: Transport,
    pub(super) wanted: SocketAddr,
    /// Calls, one after the other.
    pub(super) times: u32,
    /// Turns of an empty loop before a racing victim asks.
    pub(super) delay: u32,
}

/// The life of a victim. One that has to wait for its moment says so first.
pub(super) fn live(wish: Wish, parent: &mut Parent) -> Result<()> {
    let who = Who::become_known(victim_name(wish.number))?;
    let socket = socket::open(wish.transport)?;
    match wish.kind {
        Kind::Listen => {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &wish.wanted).context("binding beside a holder that does not listen yet")?;
        }
        Kind::OtherUser => sockopt::set_socket_reuseport(&socket, true)?,
        Kind::OwnSocket => return refuse_myself(wish, who, parent),
        _ => {}
    }
    if wish.kind == Kind::Listen || wish.pace == Pace::Raced {
        parent.say(&())?;
        anyhow::ensure!(parent.order()? == Some(word::GO), "a victim was not let go");
    }
    for _ in 0..wish.delay {
        std::hint::spin_loop();
    }
    let (refused, when) = Span::around(|| ask(wish, &socket));
    let Wish { transport, wanted, .. } = wish;
    parent.say(&Asked { who, transport, wanted, refused: refused?, when })?;
    stay(wish, parent)
}

/// Holds the port itself, and asks for it once more.
fn refuse_myself(wish: Wish, who: Who, parent: &mut Parent) -> Result<()> {
    let Wish { transport, wanted, .. } = wish;
    let (first, assigned) = Span::around(|| socket::bound(transport, wanted));
    let first = first?;
    let (local, inode) = (socket::local(&first)?, socket::inode(&first)?);
    parent.say(&Held { who: who.clone(), creator: None, local, remote: None, inode, assigned })?;
    let socket = socket::open(transport)?;
    let (refused, when) = Span::around(|| ask(wish, &socket));
    parent.say(&Asked { who, transport, wanted, refused: refused?, when })?;
    stay(wish, parent)
}

/// How often the kernel refused; nothing but EADDRINUSE is a refusal.
fn ask(wish: Wish, socket: &std::os::fd::OwnedFd) -> Result<u64> {
    let mut refused = 0;
    for _ in 0..wish.times {
        let answer = match wish.kind {
            Kind::Listen => listen(socket, 4),
            _ => bind(socket, &wish.wanted),
        };
        match answer {
            Err(Errno::ADDRINUSE) => refused += 1,
            Ok(()) => break,
            Err(error) => return Err(error).with_context(|| format!("asking for {}", wish.wanted)),
        }
    }
    Ok(refused)
}

fn stay(wish: Wish, parent: &mut Parent) -> Result<()> {
    if wish.pace == Pace::Steady {
        while parent.order()?.is_some() {}
    }
    Ok(())
}
