//! `lineup rule`: proves the rule by which portwatch blames against the kernel that refuses.
//!
//! Random sockets come to one port, one after the other, for real. At every bind() and listen() the kernel's answer and
//! the rule's must be the same.

mod coverage;
mod fate;
mod generator;
mod plan;
mod play;
mod random;
mod socket;
mod world;

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use anyhow::{Context as _, Result, anyhow};
use portwatch::probe::Kernel;
use portwatch::rule::{Era, Table};
use rustix::io::Errno;

use crate::netns::Netns;
use coverage::Coverage;
use plan::Plan;
use play::Comparison;
use random::Random;
use socket::Socket;
use world::World;

/// Arrangements in one namespace: each has a port of its own, since TIME_WAIT keeps ports for a minute.
const PER_NAMESPACE: u64 = 2_000;
/// Disagreements that are shown; the rest is counted.
const SHOWN: u64 = 20;

/// What all arrangements of a run share.
#[derive(Debug)]
struct Prover {
    seed: u64,
    era: Era,
    /// The protocols that this kernel has.
    tables: Vec<Table>,
    is_verbose: bool,
    coverage: Coverage,
    disagreements: u64,
}

/// Plays the arrangements; says whether kernel and rule always agreed.
pub(crate) fn run(pairs: u64, seed: u64, only: Option<u64>) -> Result<bool> {
    let kernel = Kernel::read().map_err(|reason| anyhow!("{}", reason.what))?;
    let mut prover = Prover {
        seed,
        era: kernel.era(),
        tables: tables()?,
        is_verbose: only.is_some(),
        coverage: Coverage::default(),
        disagreements: 0,
    };
    let numbers = only.map_or(0..pairs, |number| number..number + 1);
    let mut start = numbers.start;
    while start < numbers.end {
        let end = numbers.end.min(start + PER_NAMESPACE);
        let netns = Netns::new(world::RANGE)?;
        netns.within(|| prover.play(start..end))?;
        start = end;
    }
    prover.coverage.print();
    let uname = rustix::system::uname();
    println!(
        "RULE kernel={}/{} pairs={} conflicts={} disagreements={} seed={seed}",
        uname.release().to_string_lossy(),
        uname.machine().to_string_lossy(),
        numbers.end - numbers.start,
        prover.coverage.refused,
        prover.disagreements
    );
    Ok(prover.disagreements == 0)
}

impl Prover {
    /// Plays some arrangements in the namespace of this thread.
    fn play(&mut self, numbers: Range<u64>) -> Result<()> {
        let world = World::set_up()?;
        for (number, port) in numbers.zip(world::FIRST_PORT..) {
            let plan = generator::draw(&mut Random::of(self.seed, number), &self.tables);
            if self.is_verbose {
                print!("arrangement {number}:\n{}", plan.words());
            }
            let comparisons = play::play(&world, &plan, port, self.era)
                .with_context(|| format!("arrangement {number} cannot be played:\n{}", plan.words()))?;
            for comparison in &comparisons {
                self.judge(number, &plan, comparison);
            }
        }
        Ok(())
    }

    fn judge(&mut self, number: u64, plan: &Plan, comparison: &Comparison) {
        self.coverage.count(comparison, self.era);
        let agree = comparison.agrees();
        self.disagreements += u64::from(!agree);
        if self.is_verbose {
            println!("{comparison}");
        } else if !agree && self.disagreements <= SHOWN {
            print!("DISAGREEMENT in arrangement {number}:\n{}", plan.words());
            println!("{comparison}");
            println!("  again: lineup rule --seed {} --only {number}", self.seed);
        }
    }
}

/// UDP-Lite was removed from Linux in 7.1.
fn tables() -> Result<Vec<Table>> {
    let mut tables = vec![Table::Tcp, Table::Tcp, Table::Tcp, Table::Udp];
    match Socket::open(Table::UdpLite, IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0) {
        Ok(_) => tables.push(Table::UdpLite),
        Err(Errno::PROTONOSUPPORT) => println!("this kernel has no UDP-Lite: left out"),
        Err(errno) => return Err(errno).context("opening a UDP-Lite socket"),
    }
    Ok(tables)
}
