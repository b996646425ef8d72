//! Processes made by fork alone: no program is loaded, so that thousands of them come and go in a second.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, RawFd};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, WaitOptions, waitpid};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a child can be told; the end of the pipe tells it to end.
pub(super) mod word {
    pub(crate) const CLOSE: u8 = b'c';
    pub(crate) const AWAIT_END: u8 = b'e';
    pub(crate) const LISTEN: u8 = b'l';
    pub(crate) const ACCEPT: u8 = b'a';
    pub(crate) const GO: u8 = b'g';
}

/// A child, as its parent sees it.
pub(super) struct Child {
    pub(super) pid: Pid,
    orders: Option<PipeWriter>,
    words: BufReader<PipeReader>,
}

/// The parent, as a child sees it.
pub(super) struct Parent {
    orders: PipeReader,
    words: PipeWriter,
}

/// Makes a child that does `work` and ends. The caller must have one thread only.
pub(super) fn fork(work: impl FnOnce(&mut Parent) -> Result<()>) -> Result<Child> {
    let (orders_in, orders_out) = pipe().context("making a pipe")?;
    let (words_in, words_out) = pipe().context("making a pipe")?;
    match plain_fork()? {
        None => {
            close_all_but(orders_in.as_raw_fd(), words_out.as_raw_fd());
            live(&mut Parent { orders: orders_in, words: words_out }, work)
        }
        Some(pid) => Ok(Child { pid, orders: Some(orders_out), words: BufReader::new(words_in) }),
    }
}

/// fork() and nothing else; `None` in the child.
pub(super) fn plain_fork() -> Result<Option<Pid>> {
    // SAFETY: the process has one thread, so no lock is held that its copy could wait for in vain.
    let pid = unsafe { libc::fork() };
    ensure!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    Ok(Pid::from_raw(pid))
}

/// Ends this copy of the process at once.
pub(super) fn end(code: i32) -> ! {
    // SAFETY: nothing is touched; destructors and buffers are the parent's, and must not act twice.
    unsafe { libc::_exit(code) }
}

fn live(parent: &mut Parent, work: impl FnOnce(&mut Parent) -> Result<()>) -> ! {
    match work(parent) {
        Ok(()) => end(0),
        Err(error) => {
            eprintln!("lineup soak: {error:#}");
            end(1)
        }
    }
}

/// A copy of another's descriptor would keep pipes open, and would make a holder of a process that is none.
fn close_all_but(a: RawFd, b: RawFd) {
    let (low, high) = (a.min(b).cast_unsigned(), a.max(b).cast_unsigned());
    for (first, last) in [(3, low.saturating_sub(1)), (low + 1, high - 1), (high + 1, u32::MAX)] {
        if first <= last {
            // SAFETY: closes descriptors that this copy of the process never uses and, since it ends with _exit,
            // never drops.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            debug_assert_eq!(closed, 0, "close_range is in every kernel since 5.9");
        }
    }
}

impl Child {
    /// Tells the child to do something.
    pub(super) fn tell(&mut self, word: u8) -> Result<()> {
        let orders = self.orders.as_mut().context("the child was told to end")?;
        orders.write_all(&[word]).context("a child has gone away")
    }

    /// What the child says next.
    pub(super) fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.words.read_line(&mut line).context("listening to a child")?;
        ensure!(!line.is_empty(), "the child {} ended without a word", self.pid.as_raw_pid());
        serde_json::from_str(&line).with_context(|| format!("a child said {line:?}"))
    }

    /// Tells the child to do something and waits until it has.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, word: u8) -> Result<T> {
        self.tell(word)?;
        self.hear()
    }

    /// Waits for the end of a child that ends by itself.
    pub(super) fn wait(&self) -> Result<()> {
        wait_for(self.pid)
    }

    /// Has the child end, and waits until the kernel has let go of all that it had.
    pub(super) fn dismiss(mut self) -> Result<()> {
        self.orders = None;
        self.wait()
    }

    /// Has the child end without waiting: its heir does, or somebody else reaps it.
    pub(super) fn let_go(&mut self) {
        self.orders = None;
    }
}

/// Waits for the end of a child, or of an heir of one.
pub(super) fn wait_for(pid: Pid) -> Result<()> {
    let ended = waitpid(Some(pid), WaitOptions::empty()).context("waiting for the end of a child")?;
    let is_well = ended.is_some_and(|(_, status)| status.exit_status() == Some(0));
    ensure!(is_well, "the child {} ended badly; its own words are above", pid.as_raw_pid());
    Ok(())
}

impl Parent {
    pub(super) fn say(&mut self, words: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(words)?;
        line.push(b'\n');
        self.words.write_all(&line).context("answering")
    }

    /// The next order; `None` to end.
    pub(super) fn order(&mut self) -> Result<Option<u8>> {
        let mut word = [0];
        Ok((self.orders.read(&mut word).context("waiting for an order")? == 1).then_some(word[0]))
    }
}
