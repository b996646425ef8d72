//! One request through `io_uring`, by the bare system calls: what a server of the newer kind does instead of calling.

use std::io;
use std::mem::size_of;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::net::SocketAddrAny;
use rustix::net::addr::SocketAddrArg;

use crate::wire::raw::RingCall;

const OP_CONNECT: u8 = 16;
const OP_BIND: u8 = 56;
const OP_LISTEN: u8 = 57;
const OFF_RING: i64 = 0;
const OFF_ENTRIES: i64 = 0x1000_0000;
const ENTER_GETEVENTS: u32 = 1;

/// `struct io_uring_params`, whose offsets the kernel fills in.
#[repr(C)]
#[derive(Default)]
struct Params {
    /// Entries, flags, features and the like.
    head: [u32; 10],
    /// Of the submission queue: head, tail, mask, entries, flags, dropped, array.
    submission: [u32; 10],
    /// Of the completion queue: head, tail, mask, entries, overflow, completions.
    completion: [u32; 10],
}

/// `struct io_uring_sqe`.
#[repr(C)]
#[derive(Default)]
struct Request {
    opcode: u8,
    flags: u8,
    priority: u16,
    socket: i32,
    offset: u64,
    address: u64,
    length: u32,
    rest: [u32; 7],
}

/// `struct io_uring_cqe`.
#[repr(C)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

/// A piece of memory that is shared with the kernel.
struct Shared {
    at: *mut libc::c_void,
    length: usize,
}

impl Shared {
    fn map(ring: &OwnedFd, length: usize, offset: i64) -> Result<Self, Errno> {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_POPULATE);
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let at = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, ring.as_raw_fd(), offset) };
        if at == libc::MAP_FAILED { Err(last_errno()) } else { Ok(Self { at, length }) }
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        assert!(offset as usize + size_of::<u32>() <= self.length && offset.is_multiple_of(4));
        // SAFETY: the word lies within the mapping, which lives as long as `self`; the kernel writes it atomically.
        unsafe { AtomicU32::from_ptr(self.at.byte_add(offset as usize).cast()) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference into it outlives the value.
        unsafe { libc::munmap(self.at, self.length) };
    }
}

/// Has one request carried out and waits for its end.
pub(crate) fn request(socket: &OwnedFd, call: &RingCall) -> Result<(), Errno> {
    let mut params = Params::default();
    // SAFETY: the kernel reads and writes one `io_uring_params`, and `params` is one.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params) };
    let ring = i32::try_from(ring).ok().filter(|&fd| fd >= 0).ok_or_else(last_errno)?;
    // SAFETY: the descriptor is new and nobody else's.
    let ring = unsafe { OwnedFd::from_raw_fd(ring) };
    let Params { head, submission, completion } = params;
    let requests_end = submission[6] as usize + head[0] as usize * size_of::<u32>();
    let completions_end = completion[5] as usize + head[1] as usize * size_of::<Completion>();
    // Both queues lie in one mapping since 5.4 (IORING_FEAT_SINGLE_MMAP).
    let queues = Shared::map(&ring, requests_end.max(completions_end), OFF_RING)?;
    let entries = Shared::map(&ring, head[0] as usize * size_of::<Request>(), OFF_ENTRIES)?;

    with_request(socket, call, |request| {
        // SAFETY: the mapping holds at least one entry, which nobody reads before the tail moves.
        unsafe { ptr::write(entries.at.cast::<Request>(), request) };
        queues.word(submission[6]).store(0, Ordering::Relaxed);
        queues.word(submission[1]).store(1, Ordering::Release);
        // SAFETY: the address that the request points to lives until this closure returns.
        let entered = unsafe {
            libc::syscall(
                libc::SYS_io_uring_enter,
                ring.as_raw_fd(),
                1,
                1,
                ENTER_GETEVENTS,
                ptr::null::<libc::sigset_t>(),
                0,
            )
        };
        if entered != 1 || queues.word(completion[1]).load(Ordering::Acquire) != 1 {
            return Err(last_errno());
        }
        // The result comes after the eight bytes of user data.
        let result = queues.word(completion[5] + 8).load(Ordering::Relaxed).cast_signed();
        if result < 0 { Err(Errno::from_raw_os_error(-result)) } else { Ok(()) }
    })
}

/// Makes the request that stands for a call; the address in it lives as long as `submit` runs.
fn with_request<T>(socket: &OwnedFd, call: &RingCall, submit: impl FnOnce(Request) -> T) -> T {
    let request = |opcode| Request { opcode, socket: socket.as_raw_fd(), ..Request::default() };
    let (opcode, to): (_, &SocketAddr) = match call {
        RingCall::Listen => return submit(Request { length: 16, ..request(OP_LISTEN) }),
        RingCall::Bind(at) => (OP_BIND, at),
        RingCall::Connect(to) => (OP_CONNECT, to),
    };
    let to = SocketAddrAny::from(*to);
    // SAFETY: `submit` only hands the pointer to the kernel, which reads as many bytes as it is told there are.
    unsafe {
        to.with_sockaddr(|address, length| {
            submit(Request { offset: length.into(), address: address as u64, ..request(opcode) })
        })
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
