//! Clients that take ports and give them back, two hundred a second, each for a tenth of a second.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

/// From one client to the next.
const PACE: Duration = Duration::from_millis(5);
/// How many there are at one time.
const CLIENTS: usize = 20;
/// Whom they connect to, outside the range.
const PORT: u16 = 8_080;

/// How they come to their ports.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// By connect(), to so many addresses of `127.0.network.0` in turn. The kernel keeps one walk for all network namespaces
    /// that connect from one address to the same peer, so that nobody else here may connect to these.
    Connects { peers: u8, network: u8 },
    /// By bind() to port 0.
    Binds,
    /// By sendto() without bind.
    Datagrams,
}

/// The clients, until they are stopped.
pub(super) struct Load {
    ending: Arc<AtomicBool>,
    letting_go: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts them in the network namespace of the calling thread, which its children inherit.
    pub(super) fn start(kind: Kind) -> Result<Self> {
        let ending = Arc::new(AtomicBool::new(false));
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).context("the clients' server")?;
        listener.set_nonblocking(true)?;
        let (end, end_too) = (Arc::clone(&ending), Arc::clone(&ending));
        let serving = thread::spawn(move || serve(&listener, &end));
        let letting_go = Arc::new(AtomicBool::new(false));
        let let_go = Arc::clone(&letting_go);
        let taking = thread::spawn(move || take(kind, &end_too, &let_go));
        Ok(Self { ending, letting_go, threads: vec![serving, taking] })
    }

    /// Has them close everything that they hold, and begin again.
    pub(super) fn let_go(&self) {
        self.letting_go.store(true, Ordering::Relaxed);
    }

    /// Ends them; an error if one of them had failed.
    pub(super) fn stop(self) -> Result<()> {
        self.ending.store(true, Ordering::Relaxed);
        self.threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread of the load panicked"))?)
    }
}

/// Accepts, and keeps connections until their clients are long gone.
fn serve(listener: &TcpListener, ending: &AtomicBool) -> Result<()> {
    let mut kept = VecDeque::new();
    while !ending.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((accepted, _)) => kept.push_back(accepted),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(2)),
            Err(error) => return Err(error).context("accepting"),
        }
        if kept.len() > 4 * CLIENTS {
            kept.pop_front();
        }
    }
    Ok(())
}

fn take(kind: Kind, ending: &AtomicBool, letting_go: &AtomicBool) -> Result<()> {
    let mut held: VecDeque<OwnedFd> = VecDeque::new();
    let begun = Instant::now();
    let mut turn: u32 = 0;
    while !ending.load(Ordering::Relaxed) {
        if letting_go.swap(false, Ordering::Relaxed) {
            held.drain(..).try_for_each(close)?;
            // The server has the port before the next client can.
            sleep(2 * PACE);
        }
        held.push_back(client(kind, turn).with_context(|| format!("client {turn}"))?);
        if held.len() > CLIENTS
            && let Some(oldest) = held.pop_front()
        {
            close(oldest)?;
        }
        turn += 1;
        // Kept on time, however long a client took.
        sleep((PACE * turn).saturating_sub(begun.elapsed()));
    }
    Ok(())
}

fn client(kind: Kind, turn: u32) -> Result<OwnedFd> {
    Ok(match kind {
        Kind::Connects { peers, network } => {
            let to = Ipv4Addr::new(127, 0, network, 1 + u8::try_from(turn % u32::from(peers))?);
            TcpStream::connect((to, PORT))?.into()
        }
        Kind::Binds => {
            // Without SO_REUSEADDR, which would look for ports elsewhere first.
            let socket = open(SocketType::STREAM)?;
            bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
            rustix::net::listen(&socket, 1)?;
            socket
        }
        Kind::Datagrams => {
            let socket = open(SocketType::DGRAM)?;
            let socket = UdpSocket::from(socket);
            socket.send_to(b"x", (Ipv4Addr::LOCALHOST, PORT))?;
            socket.into()
        }
    })
}

/// Closes a client at once, without TIME_WAIT.
#[expect(clippy::needless_pass_by_value, reason = "it is closed by being dropped here")]
fn close(socket: OwnedFd) -> Result<()> {
    set_socket_linger(&socket, Some(Duration::ZERO))?;
    Ok(())
}

/// A socket that no program started meanwhile inherits: it would keep the port.
fn open(kind: SocketType) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, None)
}

/// A connection from a certain port.
pub(super) fn connect_from(port: u16, to: SocketAddr) -> Result<TcpStream> {
    let socket = open(SocketType::STREAM)?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    connect(&socket, &to)?;
    Ok(socket.into())
}
