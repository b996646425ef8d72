//! `cargo xtask`: everything a person or CI does with this repository, one file a subcommand.

mod bench;
mod bpf;
mod build;
mod cache;
mod demo;
mod initramfs;
mod kernels;
mod picture;
mod project;
mod record;
mod run;
mod rustc_wrapper;
mod setup;
mod soak;
mod systemd;
mod test;
mod tidy;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Everything a person or CI does with this repository
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    Demo(demo::Args),
    Test(test::Args),
    Vm(vm::Args),
    Bpf(bpf::Args),
    Bench(bench::Args),
    Soak(soak::Args),
    Tidy(tidy::Args),
    Picture(picture::Args),
    Record(record::Args),
}

fn main() -> ExitCode {
    if let Some(error) = rustc_wrapper::become_rustc() {
        eprintln!("xtask: cannot start rustc: {error}");
        return ExitCode::FAILURE;
    }
    let outcome = match &Arguments::parse().task {
        Task::Demo(args) => demo::run(args),
        Task::Test(args) => test::run(args),
        Task::Vm(args) => vm::run(args),
        Task::Bpf(args) => done(bpf::run(args)),
        Task::Soak(args) => soak::run(args),
        Task::Bench(args) => bench::run(args),
        Task::Tidy(args) => done(tidy::run(args)),
        Task::Record(args) => record::run(args),
        Task::Picture(args) => done(picture::run(args)),
    };
    match outcome {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn done(outcome: Result<()>) -> Result<i32> {
    outcome.map(|()| 0)
}
