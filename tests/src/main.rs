//! `lineup`: real port conflicts whose culprit is known, and the question whether portwatch names the right one.
//!
//! One static program in several roles: process 1 of a virtual machine, director of the scenarios, and every actor.

mod actor;
mod actor_main;
mod bench;
mod case;
mod cgroup;
mod clock;
mod fields;
mod hearing;
mod init;
mod netns;
mod product;
mod run;
mod scenario;
mod score;
mod stage;
mod verdict;
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

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
    /// Play the scenarios without portwatch and check that the kernel refuses as they claim
    Stage {
        /// Only scenarios of this name
        #[arg(long, value_name = "NAME")]
        only: Vec<String>,
    },
    /// Measure what taking and giving back a port costs, with portwatch and without
    Bench {
        /// The program to measure
        #[arg(long, value_name = "PATH")]
        portwatch: PathBuf,
        /// Kernel hooks to force, or none for the base line; repeat for one after the other
        #[arg(long, required = true, value_name = "NAME")]
        backend: Vec<Backend>,
        /// Rounds that count, after those that warm up
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Operations in a round
        #[arg(long, default_value_t = 2_000)]
        operations: u32,
    },
    /// Take part in a scenario (started by the other roles)
    #[command(hide = true)]
    Actor {
        #[arg(long)]
        netns: PathBuf,
        #[arg(long, allow_hyphen_values = true)]
        comm: OsString,
    },
}

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::main();
    }
    let result = match Arguments::parse().role {
        Role::Run { portwatch, backend, only } => run::run(&portwatch, &backend, &only),
        Role::Stage { only } => stage::run(&only),
        Role::Bench { portwatch, backend, rounds, operations } => {
            bench::run(&portwatch, &backend, bench::Effort { rounds, operations })
        }
        Role::Actor { netns, comm } => actor_main::serve(&netns, &comm).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lineup: {error:#}");
            ExitCode::FAILURE
        }
    }
}
