//! Network namespaces of the lineup's own: loopback up, ephemeral range narrowed, kept alive by a descriptor.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

/// First and last port that the kernel may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) low: u16,
    pub(crate) high: u16,
}

impl Range {
    pub(crate) fn contains(self, port: u16) -> bool {
        (self.low..=self.high).contains(&port)
    }
}

/// A network namespace. It lives as long as this value: the kernel hands the inode number of a dead one to the next,
/// which would make two scenarios look like one.
pub(crate) struct Netns {
    file: File,
    /// Inode number, the namespace's identity in a report.
    pub(crate) inode: u64,
    pub(crate) range: Range,
}

impl Netns {
    /// Makes a namespace. Needs CAP_SYS_ADMIN.
    pub(crate) fn new(range: Range) -> Result<Self> {
        // A scratch thread moves, so that the caller stays where it is.
        let file = thread::spawn(move || prepare(range))
            .join()
            .map_err(|_| anyhow!("the thread that makes a network namespace panicked"))??;
        let inode = file.metadata().context("reading the inode of a network namespace")?.ino();
        Ok(Self { file, inode, range })
    }

    /// Makes the ephemeral range smaller still.
    pub(crate) fn narrow(&mut self, range: Range) -> Result<()> {
        self.within(|| set_range(range))?;
        self.range = range;
        Ok(())
    }

    /// Does something in this namespace, on a scratch thread so that the caller stays where it is.
    pub(crate) fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let moved = || self.enter().and_then(|()| work());
        thread::scope(|scope| scope.spawn(moved).join())
            .map_err(|_| anyhow!("a thread in a network namespace panicked"))?
    }

    /// Where another process finds this namespace, as long as this one lives.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    fn enter(&self) -> Result<()> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .context("entering a network namespace")
    }
}

/// Moves the calling thread into the namespace behind a path.
pub(crate) fn enter_path(path: &Path) -> Result<()> {
    let file =
        File::open(path).with_context(|| format!("opening the network namespace {}", path.display()))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("entering the network namespace {}", path.display()))
}

fn prepare(range: Range) -> Result<File> {
    // SAFETY: NEWNET does not touch the descriptor table, which is what makes other flags of unshare() unsafe.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
        .context("making a network namespace (this needs root: sudo lineup ...)")?;
    loopback_up()?;
    set_range(range)?;
    File::open("/proc/thread-self/ns/net").context("opening /proc/thread-self/ns/net")
}

fn set_range(range: Range) -> Result<()> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    fs::write(path, format!("{} {}", range.low, range.high)).with_context(|| format!("writing {path}"))
}

/// `ip link set lo up`, in the namespace of the calling thread.
pub(crate) fn loopback_up() -> Result<()> {
    // Any socket serves: the request goes to the namespace, not to the socket.
    let socket = UdpSocket::bind("0.0.0.0:0").context("opening a socket to bring lo up")?;
    // SAFETY: ifreq is plain data for which all zeroes is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads one ifreq, and `request` is one that outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw const request) };
    ensure!(result == 0, "bringing lo up: {}", std::io::Error::last_os_error());
    Ok(())
}
