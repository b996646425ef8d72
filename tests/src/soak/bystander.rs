//! A bystander: takes and gives back ports without pause, in its own hands and in those of children that live for a
//! moment. Whoever names it is wrong.
//!
//! In the namespace of a troupe it may not be refused anything, nor be given a number that a holder shares: it binds
//! to wildcards, and by number only where nobody else does. Elsewhere it does as it likes, with the same numbers.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::net::{SendFlags, SocketFlags, acceptfrom_with, listen, sendto};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::child;
use super::dice::Dice;
use super::ports::{BY_NUMBER, BYSTANDERS, SERVER};
use super::socket::{self, bound, connected, local, reset_on_close};
use crate::netns;
use crate::wire::Transport::{Tcp4, Udp4};

/// Between two deeds at least.
const PAUSE: Duration = Duration::from_millis(2);
/// A deed is followed by a pause so many times as long, so that a slow machine has time for the soak itself.
const REST: u32 = 4;

/// What a bystander is told at its start.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct BystanderArgs {
    #[arg(long)]
    pub(super) netns: PathBuf,
    #[arg(long)]
    pub(super) seed: u64,
    /// Its own number
    #[arg(long)]
    pub(super) first: u32,
    /// In a namespace where nobody stages anything
    #[arg(long)]
    pub(super) elsewhere: bool,
}

/// Goes on until the director ends.
pub(super) fn pass_by(args: &BystanderArgs) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("asking to end with the director")?;
    netns::enter_path(&args.netns)?;
    rustix::thread::set_name(c"bystander")?;
    let mut dice = Dice::new(args.seed, 1_000_000 + u64::from(args.first));
    let doubles = if args.elsewhere { doubles()? } else { Vec::new() };
    let mut turn = args.first;
    loop {
        turn = turn.wrapping_add(1);
        let begun = Instant::now();
        let number = BYSTANDERS.low + (args.first % 10 * 100 + turn % 100) as u16;
        if dice.once_in(3) {
            let mut heirs_dice = Dice::new(args.seed, 2_000_000 + u64::from(turn));
            let work = |_: &mut child::Parent| {
                rustix::thread::set_name(c"bystander-child")?;
                deed(&mut heirs_dice, number, args.elsewhere)
            };
            child::fork(work)?.dismiss()?;
        } else {
            deed(&mut dice, number, args.elsewhere)?;
        }
        debug_assert!(doubles.is_empty() || args.elsewhere);
        sleep(PAUSE.max(begun.elapsed() * REST));
    }
}

/// Sockets on every number that holders bind, in another namespace than theirs.
fn doubles() -> Result<Vec<OwnedFd>> {
    let mut doubles = Vec::new();
    for port in BY_NUMBER.low..=BY_NUMBER.high {
        doubles.push(listening(Tcp4.wildcard(port))?);
        doubles.push(bound(Udp4, Udp4.wildcard(port))?);
    }
    Ok(doubles)
}

fn listening(at: SocketAddr) -> Result<OwnedFd> {
    let socket = bound(Tcp4, at)?;
    listen(&socket, 16)?;
    Ok(socket)
}

fn deed(dice: &mut Dice, number: u16, is_free: bool) -> Result<()> {
    match dice.below(8) {
        0 => drop(bound(Tcp4, Tcp4.wildcard(0))?),
        1 => drop(bound(Tcp4, Tcp4.wildcard(number))?),
        2 => drop(listening(Tcp4.wildcard(0))?),
        3 => drop(bound(Udp4, Udp4.wildcard(0))?),
        4 => drop(connected(socket::open(Udp4)?, Udp4.loopback(SERVER))?),
        5 => {
            let socket = socket::open(Udp4)?;
            sendto(&socket, b"x", SendFlags::empty(), &Udp4.loopback(SERVER))?;
        }
        // Where holders are, a client must not be given a number by connect(), which it could share with them.
        _ if is_free => connection(socket::open(Tcp4)?, dice)?,
        _ => connection(bound(Tcp4, Tcp4.wildcard(0))?, dice)?,
    }
    Ok(())
}

/// A connection from beginning to end; now and then one that lingers.
fn connection(client: OwnedFd, dice: &mut Dice) -> Result<()> {
    let server = listening(Tcp4.wildcard(0))?;
    if !dice.once_in(8) {
        reset_on_close(&client)?;
    }
    let port = local(&server)?.port();
    let client = connected(client, Tcp4.loopback(port))?;
    let accepted = acceptfrom_with(&server, SocketFlags::CLOEXEC)?.0;
    drop(client);
    drop(accepted);
    Ok(())
}
