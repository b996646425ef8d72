//! Brings a socket that has its port, or is about to be given it, to where the arrangement wants it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, bail, ensure};
use portwatch::model::State;
use portwatch::rule::{Endpoint, Table};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{SendFlags, Shutdown, bind, connect, connect_unspec, sendto, shutdown, sockopt};

use super::plan::{End, Fate, Planned, Way};
use super::play::Play;
use super::socket::{Socket, as_user, local};
use super::world::{abort_on_close, accept};

/// More than 60 s: the kernel then keeps the whole socket instead of a TIME_WAIT one.
const LINGER: i32 = 100;

type Outcome = (Option<Socket>, Vec<Endpoint>);

/// Does what is left to do; returns the socket, if a descriptor is left of it, and what stands on the port.
pub(super) fn fulfil(play: &mut Play<'_>, plan: &Planned, socket: Socket) -> Result<Outcome> {
    match plan.fate {
        Fate::Bound | Fate::Listening => change(plan, &socket)?,
        Fate::Shut => {
            change(plan, &socket)?;
            shutdown(&socket.fd, Shutdown::Both)?;
            socket.await_state(State::Close)?;
        }
        Fate::Sender => {
            let to = play.world.server(play.place(), destination(plan));
            by_the_kernel(play, plan, &socket, || {
                sendto(&socket.fd, b"x", SendFlags::empty(), &to).map(|_| ())
            })?;
            change(plan, &socket)?;
        }
        Fate::Accepted => return accepted(play, plan, &socket),
        Fate::Queued => return queued(play, plan, socket),
        Fate::Client(way, end) => return client(play, plan, socket, way, end),
    }
    live(plan, socket)
}

/// The options that it gets, or loses, only now.
fn change(plan: &Planned, socket: &Socket) -> Result<()> {
    if plan.late.address || plan.off.address {
        sockopt::set_socket_reuseaddr(&socket.fd, plan.late.address)?;
    }
    if plan.late.port || plan.off.port {
        sockopt::set_socket_reuseport(&socket.fd, plan.late.port)?;
    }
    Ok(())
}

fn live(plan: &Planned, socket: Socket) -> Result<Outcome> {
    if let Some(device) = plan.late_device {
        socket.set_device(device.index())?;
    }
    if socket.table == Table::Tcp {
        abort_on_close(&socket)?;
    }
    let endpoint = socket.endpoint()?;
    Ok((Some(socket), vec![endpoint]))
}

/// A call in which the kernel gives the port, and has only one to give.
fn by_the_kernel(
    play: &Play<'_>,
    plan: &Planned,
    socket: &Socket,
    call: impl FnOnce() -> Result<(), Errno>,
) -> Result<()> {
    if !plan.address.is_unspecified() {
        socket.set(libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        bind(&socket.fd, &SocketAddr::new(plan.address, 0)).context("taking an address without a port")?;
    }
    play.world.with_only_port(play.port, call)?.context("the call that is given a port")?;
    let port = socket.local()?.port();
    ensure!(port == play.port, "the kernel gave port {port} instead of {}", play.port);
    Ok(())
}

/// Where a socket with this address can connect to.
fn destination(plan: &Planned) -> IpAddr {
    match plan.address {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(),
        // As good as a coin: which of its two families a dual-stack socket uses.
        IpAddr::V6(v6) if v6.is_unspecified() && !plan.only && plan.uids[1] == 0 => {
            Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()
        }
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

fn client(play: &mut Play<'_>, plan: &Planned, socket: Socket, way: Way, end: End) -> Result<Outcome> {
    let to = destination(plan);
    let (world, place) = (play.world, play.place());
    let to = if end == End::SynSent { world.full_server(place, to) } else { world.server(place, to) };
    ioctl_fionbio(&socket.fd, end == End::SynSent)?;
    let call = || match connect(&socket.fd, &to) {
        Err(Errno::INPROGRESS) if end == End::SynSent => Ok(()),
        answer => answer,
    };
    match way {
        Way::Bind => call().context("connecting")?,
        Way::Connect => by_the_kernel(play, plan, &socket, call)?,
    }
    change(plan, &socket)?;
    if socket.table == Table::Tcp && end != End::SynSent {
        play.peers.push(world.accept(place)?);
    }
    match end {
        End::Established => {}
        End::SynSent => socket.await_state(State::SynSent)?,
        End::Disconnected => connect_unspec(&socket.fd)?,
        End::CloseWait => {
            shutdown(&peer(play)?.fd, Shutdown::Write)?;
            socket.await_state(State::CloseWait)?;
        }
        End::FinWait2 => half_close(play, &socket)?,
        End::Orphan | End::FinWait2AsTimeWait | End::TimeWait => return closed(play, socket, end),
    }
    live(plan, socket)
}

fn peer<'a>(play: &'a Play<'_>) -> Result<&'a Socket> {
    play.peers.last().context("a connection without another end")
}

/// Shuts this end down and waits until the other end knows.
fn half_close(play: &Play<'_>, socket: &Socket) -> Result<()> {
    shutdown(&socket.fd, Shutdown::Write)?;
    let peer = peer(play)?;
    peer.await_state(State::CloseWait)?;
    // Its answer could be held back for 40 ms.
    peer.set(libc::IPPROTO_TCP, libc::TCP_QUICKACK, 1)?;
    socket.await_state(State::FinWait2)
}

/// Closes the socket so that only the kernel has it.
fn closed(play: &Play<'_>, socket: Socket, end: End) -> Result<Outcome> {
    half_close(play, &socket)?;
    let seen = socket.endpoint()?;
    let endpoint = match end {
        End::Orphan => {
            socket.set(libc::IPPROTO_TCP, libc::TCP_LINGER2, LINGER)?;
            Endpoint { orphan: true, ..seen }
        }
        End::FinWait2AsTimeWait => Endpoint { state: State::TimeWait, uid: 0, ..seen },
        End::TimeWait => {
            shutdown(&peer(play)?.fd, Shutdown::Write)?;
            // The other half of this socket is TIME_WAIT from here on.
            socket.await_state(State::Close)?;
            Endpoint { state: State::TimeWait, uid: 0, ..seen }
        }
        other => bail!("{other:?} is no way to be closed"),
    };
    drop(socket);
    Ok((None, vec![endpoint]))
}

/// Connects to a listener under test and waits until the connection is in its queue.
fn call_on(play: &mut Play<'_>, plan: &Planned, listener: &Socket) -> Result<SocketAddr> {
    let to = match plan.address {
        address if !address.is_unspecified() => address.to_canonical(),
        _ => destination(plan).to_canonical(),
    };
    let to = if to.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { to };
    let caller = Socket::open(Table::Tcp, to, 0)?;
    abort_on_close(&caller)?;
    connect(&caller.fd, &SocketAddr::new(to, play.port)).context("connecting to the listener")?;
    play.peers.push(caller);
    let mut waiting = [PollFd::new(&listener.fd, PollFlags::IN)];
    let ready = poll(&mut waiting, Some(&Timespec { tv_sec: 10, tv_nsec: 0 }))?;
    ensure!(ready == 1, "the connection does not come into the listener's queue");
    Ok(SocketAddr::new(to, play.port))
}

fn accepted(play: &mut Play<'_>, plan: &Planned, listener: &Socket) -> Result<Outcome> {
    change(plan, listener)?;
    call_on(play, plan, listener)?;
    let fd = as_user(plan.uids[1], || accept(&listener.fd))?;
    live(plan, Socket { fd, table: Table::Tcp, uid: plan.uids[1] })
}

/// The listener, and a connection that has no file yet: nobody's, as an orphan is.
fn queued(play: &mut Play<'_>, plan: &Planned, listener: Socket) -> Result<Outcome> {
    change(plan, &listener)?;
    let at = call_on(play, plan, &listener)?;
    let (socket, mut endpoints) = live(plan, listener)?;
    let seen = endpoints[0];
    let is_v6 = plan.address.is_ipv6();
    let address = match at.ip() {
        IpAddr::V4(v4) if is_v6 => v4.to_ipv6_mapped().into(),
        address => address,
    };
    let only = matches!(seen.local, portwatch::rule::Local::V6 { only: true, .. });
    let device = plan.device.index().cast_unsigned();
    endpoints.push(Endpoint {
        local: local(address, only),
        device,
        state: State::Established,
        orphan: true,
        ..seen
    });
    Ok((socket, endpoints))
}
