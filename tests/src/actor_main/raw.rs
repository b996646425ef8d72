//! The calls of an actor that need the kernel's own numbers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{SendFlags, bind, sendto};

use super::{Sockets, open, ring};
use crate::clock;
use crate::wire::raw::{Child, RawCall};
use crate::wire::{Reply, Transport};

impl Sockets {
    pub(super) fn obey_raw(&mut self, call: RawCall) -> Result<Reply, Errno> {
        match call {
            RawCall::Open { family, kind, protocol } => {
                let id = self.keep(open_raw(family, kind, protocol)?);
                self.describe(id)
            }
            RawCall::Bind(id, address) => bind_raw(self.get(id)?, &address).and_then(|()| self.describe(id)),
            RawCall::Set { socket, level, name, value } => {
                set_raw(self.get(socket)?, level, name, &value).and_then(|()| self.describe(socket))
            }
            RawCall::Listen { socket, backlog } => {
                rustix::net::listen(self.get(socket)?, backlog).and_then(|()| self.describe(socket))
            }
            RawCall::Send { socket, flags, to } => {
                sendto(self.get(socket)?, b"x", SendFlags::from_bits_retain(flags), &to)?;
                self.describe(socket)
            }
            RawCall::Describe(id) => self.describe(id),
            RawCall::Ring(id, call) => ring::request(self.get(id)?, &call).and_then(|()| self.describe(id)),
            RawCall::Restarts { transport, wanted, times } => {
                let children = (0..times).map(|_| restart(transport, wanted)).collect::<Result<_, _>>()?;
                Ok(Reply { children, ..Reply::default() })
            }
        }
    }
}

/// socket() of any family.
pub(crate) fn open_raw(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: socket() takes numbers only.
    let socket = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    // SAFETY: the descriptor is new and nobody else's.
    done(socket).map(|()| unsafe { OwnedFd::from_raw_fd(socket) })
}

fn bind_raw(socket: &OwnedFd, address: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(address.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel copies `length` bytes and interprets them by itself.
    done(unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), length) })
}

/// setsockopt() of any option.
pub(crate) fn set_raw(socket: &OwnedFd, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel copies at most `length` bytes.
    done(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) })
}

/// One life of a service: a child that asks for its port and ends with the answer.
fn restart(transport: Transport, wanted: SocketAddr) -> Result<Child, Errno> {
    // SAFETY: an actor has one thread, so that the child finds no lock taken.
    let pid = unsafe { libc::fork() };
    done(pid)?;
    if pid == 0 {
        let errno = open(transport).and_then(|socket| bind(&socket, &wanted)).err();
        // SAFETY: ends the child at once, without a word of the parent's that is still in a buffer.
        unsafe { libc::_exit(errno.map_or(0, Errno::raw_os_error)) }
    }
    let id = pid.cast_unsigned();
    // SAFETY: siginfo_t is plain data for which all zeroes is a valid value.
    let mut end: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // Its start can be read as long as it was not waited for.
    // SAFETY: waitid() writes one siginfo_t, and `end` is one.
    done(unsafe { libc::waitid(libc::P_PID, id, &raw mut end, libc::WEXITED | libc::WNOWAIT) })?;
    let start = clock::process_start(id).map_err(|_| Errno::SRCH);
    // SAFETY: as above.
    done(unsafe { libc::waitid(libc::P_PID, id, &raw mut end, libc::WEXITED) })?;
    // SAFETY: waitid() has filled in the fields of a child's end.
    let errno = unsafe { end.si_status() };
    Ok(Child { pid: id, start: start?, errno })
}

fn done(result: libc::c_int) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
}
