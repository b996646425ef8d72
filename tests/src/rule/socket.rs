//! System calls of the prover, and what a socket says about itself as the rule sees it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use portwatch::model::State;
use portwatch::rule::{Endpoint, Local, Table};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, getsockname, ipproto, socket_with};

/// What every endpoint of an arrangement has in common; the rule only compares them.
pub(super) const NETNS: u32 = 1;
const DEADLINE: Duration = Duration::from_secs(10);
/// BPF_RET | BPF_K: "return 0" is all that a program needs to make a group.
const BPF_RETURN: u16 = 0x06;

/// A socket and the user that made it, which the kernel does not tell.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: OwnedFd,
    pub(super) table: Table,
    pub(super) uid: u32,
}

impl Socket {
    /// socket(), as another user.
    pub(super) fn open(table: Table, address: IpAddr, uid: u32) -> Result<Self, Errno> {
        let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
        let (kind, protocol) = match table {
            Table::Tcp => (SocketType::STREAM, ipproto::TCP),
            Table::Udp => (SocketType::DGRAM, ipproto::UDP),
            Table::UdpLite => (SocketType::DGRAM, ipproto::UDPLITE),
            // Nobody plans such a socket.
            Table::Sctp | Table::Other => return Err(Errno::PROTONOSUPPORT),
        };
        let fd = as_user(uid, || socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol)))?;
        Ok(Self { fd, table, uid })
    }

    pub(super) fn set(&self, level: i32, option: i32, value: i32) -> Result<()> {
        set_raw(&self.fd, level, option, &value)
            .with_context(|| format!("setting socket option {level}/{option} to {value}"))
    }

    pub(super) fn set_device(&self, index: i32) -> Result<()> {
        self.set(libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, index)
    }

    /// Makes it member of a SO_REUSEPORT group while it has no port: the only way to be one before bind().
    pub(super) fn join_group(&self) -> Result<()> {
        let mut code = [libc::sock_filter { code: BPF_RETURN, jt: 0, jf: 0, k: 0 }];
        let program = libc::sock_fprog { len: 1, filter: code.as_mut_ptr() };
        set_raw(&self.fd, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &program)
            .context("attaching a program")
    }

    pub(super) fn local(&self) -> Result<SocketAddr> {
        Ok(getsockname(&self.fd)?.try_into()?)
    }

    /// The rule's view of it, read back from the kernel.
    pub(super) fn endpoint(&self) -> Result<Endpoint> {
        let only = self.local()?.is_ipv6() && sockopt::ipv6_v6only(&self.fd)?;
        let device = self.get(libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX)?;
        Ok(Endpoint {
            netns: NETNS,
            port: self.local()?.port(),
            local: local(self.local()?.ip(), only),
            device: device.cast_unsigned(),
            table: self.table,
            reuse: sockopt::socket_reuseaddr(&self.fd)?,
            reuseport: sockopt::socket_reuseport(&self.fd)?,
            grouped: false,
            uid: self.uid,
            state: self.state()?,
            orphan: false,
        })
    }

    /// Its TCP state; bound or connected UDP sockets are the same to the rule.
    pub(super) fn state(&self) -> Result<State> {
        if self.table != Table::Tcp {
            return Ok(State::Close);
        }
        // The state is the first byte of `tcp_info`, which the kernel cuts to what is asked for.
        Ok(State::from_wire(self.get(libc::IPPROTO_TCP, libc::TCP_INFO)? as u8))
    }

    /// Waits until it has got there. On loopback that is at once, unless the kernel's thread for packets has work.
    pub(super) fn await_state(&self, wanted: State) -> Result<()> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let state = self.state()?;
            if state == wanted {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "a socket is {state} and does not become {wanted}");
            std::thread::yield_now();
        }
    }

    fn get(&self, level: i32, option: i32) -> Result<i32> {
        let mut value = 0_i32;
        let mut length = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes into `value`; both outlive the call.
        let result = unsafe {
            libc::getsockopt(self.fd.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut length)
        };
        if result != 0 {
            bail!("reading socket option {level}/{option}: {}", std::io::Error::last_os_error());
        }
        Ok(value)
    }
}

/// The address as the rule wants it.
pub(super) fn local(address: IpAddr, only: bool) -> Local {
    match address {
        IpAddr::V4(address) => Local::V4(address.octets()),
        IpAddr::V6(address) => Local::V6 { address, only },
    }
}

/// Does something with the file system uid of another user: the one that a new socket gets.
pub(super) fn as_user<T>(uid: u32, work: impl FnOnce() -> T) -> T {
    set_fsuid(uid);
    let done = work();
    set_fsuid(0);
    done
}

fn set_fsuid(uid: u32) {
    // SAFETY: setfsuid() touches no memory, and the calling thread only. It cannot fail for root.
    unsafe { libc::setfsuid(uid) };
}

fn set_raw<T>(fd: &OwnedFd, level: i32, option: i32, value: &T) -> std::io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of `value`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(fd.as_fd().as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), length)
    };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
