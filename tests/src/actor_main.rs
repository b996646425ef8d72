//! An actor from the inside: takes a name, enters a namespace, and makes the system calls that its stdin asks for.

use std::ffi::{CString, OsStr};
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, Protocol, RawProtocol, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    acceptfrom_with, bind, connect, getpeername, getsockname, listen, sendto, socket_with,
};
use rustix::process::{Signal, set_parent_process_death_signal};

mod raw;
mod ring;

pub(crate) use self::raw::{open_raw, set_raw};
pub(crate) use self::ring::request;

use crate::netns;
use crate::wire::{Command, Flag, Reply, SocketId, Transport};

/// No call waits longer: a lineup that is stuck says nothing.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves commands until stdin ends.
pub(crate) fn serve(namespace: &Path, comm: &OsStr) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the lineup")?;
    netns::enter_path(namespace)?;
    rustix::thread::set_name(&CString::new(comm.as_bytes())?).context("taking the actor's name")?;
    let mut actor = Sockets { open: Vec::new(), namespace: namespace.to_owned() };
    let mut stdout = io::stdout().lock();
    say(&mut stdout, &Reply::default())?;
    for line in io::stdin().lock().lines() {
        let command: Command = serde_json::from_str(&line?).context("reading a command")?;
        let reply = match actor.obey(command) {
            Ok(reply) => reply,
            Err(errno) => Reply { errno: errno.raw_os_error(), ..Reply::default() },
        };
        say(&mut stdout, &reply)?;
    }
    Ok(())
}

fn say(to: &mut impl Write, reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush().context("answering the lineup")
}

/// The sockets of an actor, and the namespace that it entered.
pub(crate) struct Sockets {
    pub(crate) open: Vec<Option<OwnedFd>>,
    pub(crate) namespace: PathBuf,
}

impl Sockets {
    pub(crate) fn obey(&mut self, command: Command) -> Result<Reply, Errno> {
        match command {
            Command::Open(transport) => {
                let id = self.keep(open(transport)?);
                self.describe(id)
            }
            Command::Accept(id) => {
                let accepted = acceptfrom_with(self.get(id)?, SocketFlags::CLOEXEC)?.0;
                let id = self.keep(accepted);
                self.describe(id)
            }
            Command::Set(id, flag) => set(self.get(id)?, flag).and_then(|()| self.describe(id)),
            Command::Bind(id, address) => bind(self.get(id)?, &address).and_then(|()| self.describe(id)),
            Command::Listen(id) => listen(self.get(id)?, 16).and_then(|()| self.describe(id)),
            Command::Connect(id, address) => {
                connect(self.get(id)?, &address).and_then(|()| self.describe(id))
            }
            Command::SendTo(id, address) => {
                sendto(self.get(id)?, b"x", SendFlags::empty(), &address)?;
                self.describe(id)
            }
            Command::Close(id) => {
                self.get(id)?;
                self.open[id] = None;
                Ok(Reply::default())
            }
            Command::BindUnix(name) => {
                let socket =
                    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
                let bound = bind(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes())?);
                self.keep(socket);
                bound.map(|()| Reply::default())
            }
            Command::BecomeUser(uid) => {
                rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(uid)).map(|()| Reply::default())
            }
            Command::Move(what) => self.make(what),
            Command::Raw(call) => self.obey_raw(call),
        }
    }

    pub(crate) fn keep(&mut self, socket: OwnedFd) -> SocketId {
        self.open.push(Some(socket));
        self.open.len() - 1
    }

    pub(crate) fn get(&self, id: SocketId) -> Result<&OwnedFd, Errno> {
        self.open.get(id).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub(crate) fn describe(&self, id: SocketId) -> Result<Reply, Errno> {
        let socket = self.get(id)?;
        Ok(Reply {
            errno: 0,
            socket: Some(id),
            local: getsockname(socket).ok().and_then(|address| SocketAddr::try_from(address).ok()),
            remote: getpeername(socket).ok().flatten().and_then(|address| SocketAddr::try_from(address).ok()),
            inode: Some(fstat(socket)?.st_ino),
            descriptor: Some(socket.as_raw_fd()),
            pid: None,
            children: Vec::new(),
        })
    }
}

pub(crate) fn open(transport: Transport) -> Result<OwnedFd, Errno> {
    let family = if transport.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = if transport.is_tcp() { SocketType::STREAM } else { SocketType::DGRAM };
    let protocol = RawProtocol::new(transport.number().cast_unsigned()).map(Protocol::from_raw);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    for direction in [Timeout::Recv, Timeout::Send] {
        sockopt::set_socket_timeout(&socket, direction, Some(CALL_TIMEOUT))?;
    }
    Ok(socket)
}

fn set(socket: impl AsFd, flag: Flag) -> Result<(), Errno> {
    match flag {
        Flag::ReuseAddress => sockopt::set_socket_reuseaddr(socket, true),
        Flag::ReusePort => sockopt::set_socket_reuseport(socket, true),
        Flag::V6Only => sockopt::set_ipv6_v6only(socket, true),
    }
}
