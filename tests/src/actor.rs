//! An actor as the lineup sees it: a process with a known name that makes the system calls it is told to.
//!
//! The other side of the pipe is `actor_main`.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command as Program, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::clock::{self, Wall, Window};
use crate::netns::Netns;
use crate::portrait::Portrait;
use crate::wire::{Command, Flag, Reply, SocketId, Transport};

/// The kernel keeps no more of a name.
pub(crate) const COMM_BYTES: usize = 15;

/// Who a process is, in a way that outlives it.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The bytes of its name, as the kernel keeps them.
    pub(crate) comm: Vec<u8>,
    pub(crate) start: Wall,
    pub(crate) alive: bool,
    /// What else is known of it.
    pub(crate) portrait: Portrait,
}

impl fmt::Display for Process {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}[{}]", self.comm.escape_ascii(), self.pid)
    }
}

/// A reply and when the call behind it was made.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) reply: Reply,
    pub(crate) when: Window,
}

/// A process under the lineup's command; killed and reaped on drop.
pub(crate) struct Actor {
    child: Child,
    commands: ChildStdin,
    replies: BufReader<ChildStdout>,
    pub(crate) process: Process,
}

impl Actor {
    /// Starts a process named `comm` in a namespace and waits until it is there under that name.
    pub(crate) fn start(netns: &Netns, comm: &OsStr) -> Result<Self> {
        let mut child = Program::new("/proc/self/exe")
            .args([
                OsStr::new("actor"),
                OsStr::new("--netns"),
                netns.path().as_os_str(),
                OsStr::new("--comm"),
                comm,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting an actor")?;
        let (Some(commands), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("an actor came without pipes");
        };
        let mut replies = BufReader::new(stdout);
        read_reply(&mut replies).with_context(|| format!("waiting for the actor {}", comm.display()))?;
        let start = clock::process_start(child.id())?;
        let mut comm = comm.as_encoded_bytes().to_vec();
        comm.truncate(COMM_BYTES);
        let process = Process { pid: child.id(), comm, start, alive: true, portrait: Portrait::own() };
        Ok(Self { child, commands, replies, process })
    }

    /// Has one call made; a refusal by the kernel is an answer, not an error.
    pub(crate) fn ask(&mut self, command: &Command) -> Result<Answer> {
        let from = clock::now();
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line).context("an actor has gone away")?;
        let reply = read_reply(&mut self.replies)?;
        Ok(Answer { reply, when: Window { from, to: clock::now() } })
    }

    /// Has one call made that must succeed.
    pub(crate) fn must(&mut self, command: &Command) -> Result<Answer> {
        let answer = self.ask(command)?;
        let error = std::io::Error::from_raw_os_error(answer.reply.errno);
        ensure!(answer.reply.errno == 0, "{}: {command:?}: {error}", self.process);
        Ok(answer)
    }

    /// Opens a socket with options set.
    pub(crate) fn open(&mut self, transport: Transport, flags: &[Flag]) -> Result<SocketId> {
        let socket = self.new_socket(&Command::Open(transport))?;
        for &flag in flags {
            self.must(&Command::Set(socket, flag))?;
        }
        Ok(socket)
    }

    /// Takes one connection out of a listener's queue.
    pub(crate) fn accept(&mut self, listener: SocketId) -> Result<SocketId> {
        self.new_socket(&Command::Accept(listener))
    }

    fn new_socket(&mut self, command: &Command) -> Result<SocketId> {
        self.must(command)?.reply.socket.with_context(|| format!("{command:?} was answered without a socket"))
    }

    /// Ends the process at once and waits until the kernel has let go of all it had.
    pub(crate) fn kill(mut self) -> Result<Process> {
        self.child.kill().context("killing an actor")?;
        self.child.wait().context("waiting for an actor's end")?;
        Ok(Process { alive: false, ..self.process.clone() })
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // Both fail only when `kill` has been here before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_reply(replies: &mut BufReader<ChildStdout>) -> Result<Reply> {
    let mut line = String::new();
    replies.read_line(&mut line).context("reading an actor's reply")?;
    ensure!(!line.is_empty(), "the actor ended without a reply; its own words are above");
    serde_json::from_str(&line).with_context(|| format!("an actor said {line:?}"))
}
