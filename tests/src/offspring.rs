//! Children of actors, who outlive them, and actors who become another program.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::actor::{Actor, COMM_BYTES, Process};
use crate::clock;
use crate::moves::Move;
use crate::portrait::Portrait;
use crate::wire::Command;

const PATIENCE: Duration = Duration::from_secs(10);

/// A child of an actor; killed on drop.
pub(crate) struct Offspring {
    pub(crate) process: Process,
    handle: OwnedFd,
}

impl Offspring {
    fn new(pid: u32, comm: &[u8], parent: &Portrait) -> Result<Self> {
        let id = Pid::from_raw(pid.cast_signed()).context("a child without a pid")?;
        let handle = pidfd_open(id, PidfdFlags::empty()).context("opening the pidfd of a child")?;
        wait_for_name(pid, comm)?;
        let start = clock::process_start(pid)?;
        let portrait = Portrait { thread: None, ..parent.clone() };
        let process = Process { pid, comm: comm.to_vec(), start, alive: true, portrait };
        Ok(Self { process, handle })
    }
}

impl Drop for Offspring {
    fn drop(&mut self) {
        // Both fail only when it is gone. Its cgroup can be removed only afterwards, hence the wait.
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&patience));
    }
}

impl Actor {
    /// Has a child made that keeps every socket open.
    pub(crate) fn fork(&mut self, comm: &str) -> Result<Offspring> {
        self.beget(comm, Move::Fork { comm: comm.into(), pid: None })
    }

    /// Has a child made whose pid belonged to somebody else before.
    pub(crate) fn fork_as(&mut self, comm: &str, pid: u32) -> Result<Offspring> {
        self.beget(comm, Move::Fork { comm: comm.into(), pid: Some(pid) })
    }

    /// Has a service started that gets every socket.
    pub(crate) fn launch(&mut self, comm: &str) -> Result<Offspring> {
        self.beget(comm, Move::Launch { comm: comm.into() })
    }

    fn beget(&mut self, comm: &str, how: Move) -> Result<Offspring> {
        let answer = self.must(&Command::Move(how))?;
        let pid = answer.reply.pid.context("a fork was answered without a pid")?;
        Offspring::new(pid, comm.as_bytes(), &self.process.portrait)
    }

    /// Becomes another program of another name; its sockets stay open.
    pub(crate) fn exec(&mut self, path: &Path, argument0: &[u8], comm: &[u8]) -> Result<()> {
        let bytes = path.as_os_str().as_bytes().to_vec();
        let become_it = Move::Exec { path: bytes, argument0: argument0.to_vec(), comm: comm.to_vec() };
        self.must(&Command::Move(become_it))?;
        self.process.comm = comm[..comm.len().min(COMM_BYTES)].to_vec();
        self.process.portrait.exe = Some(path.to_owned());
        self.process.portrait.argument0 = Some(argument0.to_vec());
        Ok(())
    }
}

/// Waits until a process has taken its name, the last thing that it does before it rests.
fn wait_for_name(pid: u32, comm: &[u8]) -> Result<()> {
    let path = format!("/proc/{pid}/comm");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let name = fs::read(&path).with_context(|| format!("reading {path}"))?;
        if name.strip_suffix(b"\n") == Some(comm) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the process {pid} did not take its name");
        std::thread::sleep(Duration::from_millis(1));
    }
}
