//! A network namespace that only this process knows: it is gone with the last process and descriptor that hold it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::thread;

use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// The namespace, held open.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a namespace with loopback up and an `ip_local_port_range` of its own. Nothing outside it changes.
    ///
    /// # Errors
    /// Without CAP_SYS_ADMIN and CAP_NET_ADMIN, or where /proc/sys is read-only.
    pub fn with_range(low: u16, high: u16) -> io::Result<Self> {
        let file = in_a_thread(move || {
            // SAFETY: only this short-lived thread changes its namespace.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }?;
            loopback_up()?;
            fs::write("/proc/sys/net/ipv4/ip_local_port_range", format!("{low} {high}"))?;
            File::open("/proc/thread-self/ns/net")
        })?;
        Ok(Self { file })
    }

    /// Its inode number: what reports call `netns`.
    ///
    /// # Errors
    /// When the descriptor cannot be asked.
    pub fn inode(&self) -> io::Result<u64> {
        self.file.metadata().map(|meta| meta.ino())
    }

    /// Reserves a port in it, as `sysctl -w net.ipv4.ip_local_reserved_ports=…` would.
    ///
    /// # Errors
    /// When the namespace cannot be entered or the file not written.
    pub fn reserve(&self, port: u16) -> io::Result<()> {
        let namespace: OwnedFd = self.file.as_fd().try_clone_to_owned()?;
        in_a_thread(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            fs::write("/proc/sys/net/ipv4/ip_local_reserved_ports", port.to_string())
        })
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Namespaces belong to threads: whoever must be in another one for a moment does so in a thread that ends.
fn in_a_thread<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    thread::spawn(work)
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
}

/// `ip link set lo up`.
fn loopback_up() -> io::Result<()> {
    use std::os::fd::AsRawFd as _;
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: an all-zero ifreq is valid: an empty name and no flags.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request names an interface and lives through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
