//! `lineup`: real port conflicts whose culprit is known, and the question whether portwatch names the right one.
//!
//! One static program in several roles: process 1 of a virtual machine, director of the scenarios, and every actor.

mod actor;
mod actor_main;
mod advice;
mod agent;
mod audit;
mod bench;
mod case;
mod cgroup;
mod checks;
mod clock;
mod document;
mod exhaustion;
mod feature;
mod fields;
mod hearing;
mod init;
mod link;
mod load;
mod moves;
mod netns;
mod odds;
mod offspring;
mod portrait;
mod product;
mod program;
mod record;
mod reserve;
mod rule;
mod run;
mod say;
mod scenario;
mod score;
mod several;
mod soak;
mod stage;
mod tunnel;
mod verdict;
mod who;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::product::Backend;

#[derive(Parser)]
#[command(about = "Stages real port conflicts and checks what portwatch says about them", version)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Subcommand)]
enum Role {
    /// Play the scenarios under portwatch and score its reports
    Run {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// Kernel hooks to force; repeat for one row after the other
        #[arg(long, required = true, value_name = "NAME")]
        backend: Vec<Backend>,
        /// Only scenarios of this name
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Play scenarios while portwatch records, and compare a replay with what it said, byte for byte
    Record {
        /// The program to record with
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// Kernel hooks to force
        #[arg(long, value_name = "NAME")]
        backend: Backend,
        /// Only scenarios of this name
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        /// Print the recording and the reports, for the host of a virtual machine
        #[arg(long)]
        print: bool,
    },
    /// Play the scenarios without portwatch and check that the kernel refuses as they claim
    Stage {
        /// Only scenarios of this name
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Put every kind of holder on ports and compare what `portwatch who` says of them
    Who {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
    },
    /// Fill ephemeral ranges in every way, compare the reports, and do what they advise
    Exhaustion {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// Kernel hooks to force; repeat for one after the other
        #[arg(long, required = true, value_name = "NAME")]
        backend: Vec<Backend>,
        /// The page whose example is run too; it needs sh, unshare and python3
        #[arg(long, value_name = "PATH")]
        page: Option<PathBuf>,
    },
    /// Reserve ports for real, two at once, killed and on full disks, and compare the kernel's list and the files for boot
    Reserve {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// Changes of each of two at once, and kills
        #[arg(long, default_value_t = 50)]
        rounds: u16,
    },
    /// Make a conflict of every cause, do what portwatch advises, and see the victim start
    Advice {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// Kernel hooks to force; repeat for those to try if the kernel does not admit the first
        #[arg(long, required = true, value_name = "NAME")]
        backend: Vec<Backend>,
    },
    /// Run a real agent, and compare what history, why, metrics and the live tail say with what really happened
    Agent {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
    },
    /// Stand listeners in and beside ephemeral ranges and compare what `portwatch audit` finds
    Audit {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
    },
    /// Restart servers many hundred times under load, and compare what they lost with what `portwatch audit` had said
    Odds {
        /// The program to judge
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// Restarts of each server
        #[arg(long, default_value_t = 300)]
        restarts: u32,
        /// Only settings of this name
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Run the commands of a page, and compare what they print with what it says they print
    Document {
        /// The program that the commands call
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// The page
        #[arg(long, value_name = "PATH")]
        file: PathBuf,
        /// Only blocks below a heading with these words
        #[arg(long, value_name = "WORDS")]
        only: Vec<String>,
        /// How many seconds a block may take
        #[arg(long, default_value_t = 60)]
        limit: u64,
    },
    /// Measure what taking and giving back a port costs, with portwatch and without
    Bench {
        /// The program to measure
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// none, kernel hooks to force, floor-BACKEND for empty programs in their place, or the path of another tool; repeat
        /// for one after the other
        #[arg(long, required = true, value_name = "NAME")]
        watcher: Vec<bench::Watcher>,
        /// Only operations of this name
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
        /// Rounds that count, after those that warm up
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// How long a round lasts at least, in milliseconds of the machine's own clock
        #[arg(long, default_value_t = 250)]
        milliseconds: u64,
    },
    /// Bind random sockets for real and compare the kernel's answers with the rule that portwatch goes by
    Rule {
        /// How many arrangements of two to four sockets
        #[arg(long, default_value_t = 20_000)]
        pairs: u64,
        /// Draws the same arrangements again
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only this arrangement, shown
        #[arg(long, value_name = "N")]
        only: Option<u64>,
    },
    /// Stage thousands of random conflicts and compare every report with what really happened
    Soak(soak::Args),
    /// Stage conflicts (started by `soak`)
    #[command(hide = true)]
    Troupe(soak::TroupeArgs),
    /// Take and give back ports (started by `soak`)
    #[command(hide = true)]
    Bystander(soak::BystanderArgs),
    /// Put portwatch under load and measure how it holds up
    Load {
        #[command(subcommand)]
        load: load::Load,
    },
    /// Take part in a scenario (started by the other roles)
    #[command(hide = true)]
    Actor {
        #[arg(long)]
        netns: PathBuf,
        #[arg(long, allow_hyphen_values = true)]
        comm: OsString,
    },
    /// Keep what was inherited and do nothing (started by actors)
    #[command(hide = true)]
    Idle {
        #[arg(long)]
        lineup: u32,
        #[arg(long, allow_hyphen_values = true)]
        comm: OsString,
    },
}

fn main() -> ExitCode {
    if init::is_machine() {
        init::main();
    }
    let result = match Arguments::parse().role {
        Role::Run { portwatch, backend, only } => run::run(&portwatch, &backend, &only),
        Role::Record { portwatch, backend, only, print } => record::run(&portwatch, backend, &only, print),
        Role::Stage { only } => stage::run(&only),
        Role::Who { portwatch } => who::run(&portwatch),
        Role::Exhaustion { portwatch, backend, page } => {
            exhaustion::run(&portwatch, &backend, page.as_deref())
        }
        Role::Reserve { portwatch, rounds } => reserve::run(&portwatch, rounds),
        Role::Advice { portwatch, backend } => advice::run(&portwatch, &backend),
        Role::Agent { portwatch } => agent::run(&portwatch),
        Role::Audit { portwatch } => audit::run(&portwatch),
        Role::Odds { portwatch, restarts, only } => odds::run(&portwatch, restarts, &only),
        Role::Document { portwatch, file, only, limit } => document::run(&portwatch, &file, &only, limit),
        Role::Bench { portwatch, watcher, only, rounds, milliseconds } => {
            let length = Duration::from_millis(milliseconds);
            bench::run(&portwatch, &watcher, &only, bench::Effort { rounds, length })
        }
        Role::Load { load } => load::run(&load),
        Role::Rule { pairs, seed, only } => rule::run(pairs, seed, only),
        Role::Soak(args) => soak::run(&args),
        Role::Troupe(args) => soak::perform(&args).map(|()| true),
        Role::Bystander(args) => soak::pass_by(&args).map(|()| true),
        Role::Actor { netns, comm } => actor_main::serve(&netns, &comm).map(|()| true),
        Role::Idle { lineup, comm } => {
            moves::serve_idle(lineup, &comm).map(|()| true).map_err(anyhow::Error::from)
        }
    };
    match result {
        Ok(true) if say::is_read() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lineup: {error:#}");
            ExitCode::FAILURE
        }
    }
}
