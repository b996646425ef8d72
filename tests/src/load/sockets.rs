//! `lineup load sockets`: processes that hold thousands of bound TCP sockets, and the handle that the others have on them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use crate::netns::{self, Netns};

/// Sockets of one process.
const EACH: u32 = 10_000;
/// The first port of each; none below needs a right of its own.
const FIRST: u16 = 10_000;

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The network namespace
    #[arg(long, value_name = "PATH")]
    netns: PathBuf,
    /// Which of the processes
    #[arg(long, value_name = "N")]
    number: u8,
    /// How many sockets
    #[arg(long, value_name = "N")]
    count: u32,
}

/// Where a socket is bound: an address a process, a port a socket.
fn address(process: u8, socket: u32) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 1, process), FIRST + socket as u16).into()
}

/// Binds them, says so, and keeps them until nobody wants them any more.
pub(crate) fn run(args: &Args) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the lineup")?;
    netns::enter_path(&args.netns)?;
    let files = Some(u64::from(args.count) + 64);
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files }).context("wanting more files")?;
    let mut kept = Vec::new();
    for number in 0..args.count {
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let at = address(args.number, number);
        bind(&socket, &at).with_context(|| format!("binding {at}"))?;
        kept.push(socket);
    }
    println!("bound");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// So many sockets, in as many processes as they need; gone on drop.
pub(super) struct Crowd {
    holders: Vec<Holder>,
    count: u32,
}

struct Holder {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Crowd {
    pub(super) fn gather(netns: &Netns, count: u32) -> Result<Self> {
        ensure!(count.div_ceil(EACH) < 255, "no more than {} sockets", 254 * EACH);
        let mut crowd = Self { holders: Vec::new(), count };
        for number in 0..count.div_ceil(EACH) {
            let some = EACH.min(count - number * EACH);
            crowd.holders.push(Holder::start(&netns.path(), u8::try_from(number)?, some)?);
        }
        // All at once, and waited for in the end.
        crowd.holders.iter_mut().try_for_each(Holder::wait)?;
        Ok(crowd)
    }

    /// Where one of them is bound.
    pub(super) fn address(&self, number: u32) -> SocketAddr {
        let number = number % self.count.max(1);
        address((number / EACH) as u8, number % EACH)
    }

    /// Who has that one.
    pub(super) fn owner(&self, number: u32) -> Option<u32> {
        let number = number % self.count.max(1);
        self.holders.get((number / EACH) as usize).map(|holder| holder.child.id())
    }
}

impl Holder {
    fn start(netns: &Path, number: u8, count: u32) -> Result<Self> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["load", "sockets", "--netns"]).arg(netns);
        command.args(["--number", &number.to_string(), "--count", &count.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting a holder of sockets")?;
        let Some(stdout) = child.stdout.take() else { bail!("a holder of sockets came without a pipe") };
        Ok(Self { child, said: BufReader::new(stdout) })
    }

    fn wait(&mut self) -> Result<()> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        ensure!(line == "bound\n", "a holder of sockets did not bind them; its own words are above");
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Both fail only when it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
