//! What an actor can do with a socket beside using it: half close it, hand it on, inherit it, take it; and with itself:
//! fork, become another program, act through a thread.

use std::ffi::{CString, OsStr, OsString};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command as Program, exit};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg, send,
    sendmsg_addr, shutdown, socket_with,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getppid, pidfd_getfd, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::actor_main::Sockets;
use crate::netns;
use crate::tunnel;
use crate::wire::{Command, Reply, SocketId};

/// Something unusual that an actor is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Move {
    /// shutdown() of the sending half.
    ShutDown(SocketId),
    /// Sends until neither the other side nor this one has room left.
    Flood(SocketId),
    /// fork(): the child takes the name and keeps every socket. Answered with its pid.
    Fork { comm: Vec<u8>, pid: Option<u32> },
    /// fork() and exec(), with every socket left open, as a service manager does.
    Launch { comm: Vec<u8> },
    /// exec() with every socket left open; the sockets have no number any more. Answered by the new program.
    Exec { path: Vec<u8>, argument0: Vec<u8>, comm: Vec<u8> },
    /// An AF_UNIX socket of this name, to receive descriptors on.
    Mailbox(String),
    /// Sends a socket to a mailbox (SCM_RIGHTS).
    Post(SocketId, String),
    /// Takes a socket out of a mailbox.
    Collect(SocketId),
    /// Takes a descriptor out of another process (pidfd_getfd).
    TakeOver { pid: u32, descriptor: i32 },
    /// Has a thread of this name obey. Answered with its tid too.
    InThread(String, Box<Command>),
    /// Moves to another network namespace. The sockets stay where they were made.
    Emigrate(PathBuf),
    /// Creates a VXLAN link that is up: the kernel opens a UDP socket of its own on the port.
    Tunnel(u16),
}

impl Sockets {
    pub(crate) fn make(&mut self, what: Move) -> Result<Reply, Errno> {
        match what {
            Move::ShutDown(id) => shutdown(self.get(id)?, Shutdown::Write).map(|()| Reply::default()),
            Move::Flood(id) => flood(self.get(id)?).map(|()| Reply::default()),
            Move::Fork { comm, pid } => {
                let lineup = pidfd_open(lineup()?, PidfdFlags::empty())?;
                fork(pid, || idle(&comm, &lineup))
            }
            Move::Launch { comm } => {
                self.keep_on_exec()?;
                let lineup = lineup()?.as_raw_pid().to_string();
                fork(None, || {
                    let mut program = Program::new("/proc/self/exe");
                    program.args(["idle", "--lineup", &lineup, "--comm"]).arg(OsStr::from_bytes(&comm));
                    eprintln!("lineup: starting a service: {}", program.exec());
                    1
                })
            }
            Move::Exec { path, argument0, comm } => {
                self.keep_on_exec()?;
                let error = Program::new(OsStr::from_bytes(&path))
                    .arg0(OsString::from_vec(argument0))
                    .args([OsStr::new("actor"), OsStr::new("--netns"), self.namespace.as_os_str()])
                    .arg("--comm")
                    .arg(OsString::from_vec(comm))
                    .exec();
                Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
            }
            Move::Mailbox(name) => {
                let mailbox =
                    socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
                bind(&mailbox, &SocketAddrUnix::new_abstract_name(name.as_bytes())?)?;
                Ok(Reply { socket: Some(self.keep(mailbox)), ..Reply::default() })
            }
            Move::Post(id, mailbox) => post(self.get(id)?.as_fd(), &mailbox).map(|()| Reply::default()),
            Move::Collect(mailbox) => {
                let socket = collect(self.get(mailbox)?)?;
                let id = self.keep(socket);
                self.describe(id)
            }
            Move::TakeOver { pid, descriptor } => {
                let owner = pidfd_open(pid_of(pid)?, PidfdFlags::empty())?;
                let id = self.keep(pidfd_getfd(owner, descriptor, PidfdGetfdFlags::empty())?);
                self.describe(id)
            }
            Move::InThread(name, command) => self.in_thread(&name, *command),
            Move::Emigrate(netns) => {
                netns::enter_path(&netns).map(|()| Reply::default()).map_err(|_| Errno::PERM)
            }
            Move::Tunnel(port) => tunnel::open(port).map(|()| Reply::default()),
        }
    }

    fn keep_on_exec(&self) -> Result<(), Errno> {
        self.open.iter().flatten().try_for_each(|socket| fcntl_setfd(socket, FdFlags::empty()))
    }

    fn in_thread(&mut self, name: &str, command: Command) -> Result<Reply, Errno> {
        let (done, answer) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            let worker = thread::Builder::new().name(name.to_owned());
            let spawned = worker.spawn_scoped(scope, || {
                let tid = rustix::thread::gettid().as_raw_pid().cast_unsigned();
                let refused = |errno: Errno| Reply { errno: errno.raw_os_error(), ..Reply::default() };
                let reply = self.obey(command).unwrap_or_else(refused);
                // Fails only if nobody waits any more.
                let _ = done.send(Reply { pid: Some(tid), ..reply });
            });
            spawned.map_err(|_| Errno::AGAIN)?;
            answer.recv().map_err(|_| Errno::PIPE)
        })
    }
}

/// Sends without waiting until the kernel takes no more: the window of the other side is closed then, and data unsent.
fn flood(socket: &OwnedFd) -> Result<(), Errno> {
    let block = [0; 65_536];
    loop {
        match send(socket, &block, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

fn post(socket: BorrowedFd<'_>, mailbox: &str) -> Result<(), Errno> {
    let sockets = [socket];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(Errno::NOBUFS);
    }
    let post = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let to = SocketAddrUnix::new_abstract_name(mailbox.as_bytes())?;
    sendmsg_addr(&post, &to, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).map(drop)
}

fn collect(mailbox: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    recvmsg(mailbox, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let sent = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    sent.ok_or(Errno::NOMSG)
}

/// The arguments of `clone3` that are needed; all of the first version must be there.
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
}

/// fork(), as a given pid if there is one; the child does `work` and never returns.
fn fork(pid: Option<u32>, work: impl FnOnce() -> i32) -> Result<Reply, Errno> {
    let wanted = pid.map(u32::cast_signed);
    let arguments = CloneArguments {
        exit_signal: libc::SIGCHLD.cast_unsigned().into(),
        set_tid: wanted.as_ref().map_or(0, |pid| std::ptr::from_ref(pid).addr() as u64),
        set_tid_size: wanted.is_some().into(),
        ..CloneArguments::default()
    };
    // SAFETY: without CLONE_VM this is fork(): the child has memory of its own. `arguments` and `wanted` outlive the
    // call. Nobody else can hold a lock that the child would wait for: an actor has one thread between two commands.
    let result =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArguments>()) };
    match u32::try_from(result) {
        Ok(0) => exit(work()),
        Ok(child) => Ok(Reply { pid: Some(child), ..Reply::default() }),
        Err(_) => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// The process that started this actor.
fn lineup() -> Result<Pid, Errno> {
    getppid().ok_or(Errno::SRCH)
}

fn pid_of(pid: u32) -> Result<Pid, Errno> {
    Pid::from_raw(pid.cast_signed()).ok_or(Errno::SRCH)
}

/// What a child does: nothing, under a name of its own, until the lineup has ended.
fn idle(comm: &[u8], lineup: &OwnedFd) -> i32 {
    let named = CString::new(comm).is_ok_and(|comm| rustix::thread::set_name(&comm).is_ok());
    let ended = named.then(|| poll(&mut [PollFd::new(lineup, PollFlags::IN)], None));
    i32::from(!matches!(ended, Some(Ok(_))))
}

/// The same as a program of its own.
pub(crate) fn serve_idle(lineup: u32, comm: &OsStr) -> Result<(), Errno> {
    let lineup = pidfd_open(pid_of(lineup)?, PidfdFlags::empty())?;
    exit(idle(comm.as_bytes(), &lineup))
}
