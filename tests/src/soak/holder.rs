//! A holder from the inside: takes a port in one of the many ways, says so, and does what it is told with it.

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketFlags, acceptfrom_with, bind, connect, listen, sendto, sockopt};
use rustix::process::getppid;

use super::child::{self, Parent, word};
use super::kind::Kind;
use super::socket;
use super::truth::{Held, Span, Who, holder_name};

/// The user of `Kind::OtherUser`.
const OTHER_USER: u32 = 1_000;

/// What a holder is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) kind: Kind,
    /// For those who bind: the address, with port 0 if the kernel is to choose.
    pub(super) at: SocketAddr,
    /// For those who connect or send: where to.
    pub(super) to: SocketAddr,
    /// Turns of an empty loop before a racing holder lets go.
    pub(super) delay: u32,
}

/// The life of a holder.
pub(super) fn live(part: Part, parent: &mut Parent) -> Result<()> {
    let own_name =
        if part.kind == Kind::Inherited { format!("p{}", part.number) } else { holder_name(part.number) };
    let who = Who::become_known(own_name)?;
    if part.kind == Kind::OtherUser {
        rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(OTHER_USER)).context("setuid")?;
    }
    let (taken, assigned) = Span::around(|| take(part));
    let socket = taken?;
    // A connection that has not been answered yet has no peer to ask for.
    let remote = if part.kind == Kind::SynSent { Some(part.to) } else { socket::remote(&socket) };
    let (local, inode) = (socket::local(&socket)?, socket::inode(&socket)?);
    let mut held = Held { who, creator: None, local, remote, inode, assigned };
    if part.kind == Kind::Inherited {
        held = inherit(held, part.number)?;
    }
    parent.say(&held)?;
    obey(part, socket, parent)
}

/// Hands the socket to a child and ends; only the child comes back.
fn inherit(held: Held, number: u32) -> Result<Held> {
    let parent = getppid();
    if child::plain_fork()?.is_some() {
        child::end(0);
    }
    // Whoever has made this process's parent adopts it.
    while getppid() != parent {
        thread::yield_now();
    }
    Ok(Held { who: Who::become_known(holder_name(number))?, creator: Some(held.who), ..held })
}

fn obey(part: Part, socket: OwnedFd, parent: &mut Parent) -> Result<()> {
    let mut socket = Some(socket);
    let mut accepted = Vec::new();
    while let Some(order) = parent.order()? {
        let open = socket.as_ref().context("the socket is closed already")?;
        match order {
            word::GO => {
                for _ in 0..part.delay {
                    std::hint::spin_loop();
                }
                return Ok(()); // the end closes what is open
            }
            word::CLOSE => socket = None,
            word::AWAIT_END => socket::await_end(open)?,
            word::LISTEN => listen(open, 4)?,
            word::ACCEPT => accepted.push(acceptfrom_with(open, SocketFlags::CLOEXEC)?.0),
            other => bail!("an order that nobody gives: {other}"),
        }
        parent.say(&())?;
    }
    Ok(())
}

fn take(part: Part) -> Result<OwnedFd> {
    let Part { kind, at, to, .. } = part;
    let socket = socket::open(kind.transport())?;
    // What closes by itself must leave no TIME_WAIT behind, except where that is the point.
    if kind.transport().is_tcp() && !kind.is_closed() {
        socket::reset_on_close(&socket)?;
    }
    match kind {
        Kind::TcpClient | Kind::Tcp6Client | Kind::CloseWait => socket::connected(socket, to),
        Kind::TimeWaitDead | Kind::TimeWaitLives | Kind::HalfClosed => socket::connected(socket, to),
        Kind::ThreadClient => by_a_thread(socket, to),
        Kind::SynSent => unanswered(socket, to),
        Kind::UdpClient | Kind::Udp6Client => socket::connected(socket, to),
        Kind::UdpSender => {
            sendto(&socket, b"x", SendFlags::empty(), &to)?;
            Ok(socket)
        }
        Kind::ListenUnbound => {
            listen(&socket, 4)?;
            Ok(socket)
        }
        Kind::Listen => {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            bound(socket, at)
        }
        Kind::OtherUser => {
            sockopt::set_socket_reuseport(&socket, true)?;
            listening(bound(socket, at)?)
        }
        Kind::Listener | Kind::Serving => listening(bound(socket, at)?),
        Kind::TcpBind0
        | Kind::TcpBind
        | Kind::UdpBind
        | Kind::UdpBind0
        | Kind::Inherited
        | Kind::OwnSocket => bound(socket, at),
    }
}

fn bound(socket: OwnedFd, at: SocketAddr) -> Result<OwnedFd> {
    bind(&socket, &at).with_context(|| format!("a holder binds {at}"))?;
    Ok(socket)
}

fn listening(socket: OwnedFd) -> Result<OwnedFd> {
    listen(&socket, 4)?;
    Ok(socket)
}

/// connect() by a second thread, whose own name is not the process's.
fn by_a_thread(socket: OwnedFd, to: SocketAddr) -> Result<OwnedFd> {
    let work = move || {
        rustix::thread::set_name(&CString::new("some-thread")?)?;
        socket::connected(socket, to)
    };
    thread::spawn(work).join().map_err(|_| anyhow::anyhow!("a thread of a holder panicked"))?
}

/// connect() to somebody who does not answer.
fn unanswered(socket: OwnedFd, to: SocketAddr) -> Result<OwnedFd> {
    rustix::io::ioctl_fionbio(&socket, true)?;
    match connect(&socket, &to) {
        Err(Errno::INPROGRESS) => Ok(socket),
        other => bail!("connect() to {to}, where nobody answers: {other:?}"),
    }
}
