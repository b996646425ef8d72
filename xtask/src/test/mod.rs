//! `cargo xtask test`: all tests. Lane 1 needs no privilege, lane 2 this kernel and root, lane 3 other kernels in virtual
//! machines.

mod play;
mod score;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::kernels::{self, Arch};
use crate::vm::{Machine, run_guest};
use crate::{bpf, build, project, run, tidy};
use play::{Play, Played};
use score::Score;

/// Run the tests: all lanes, or some
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 1: no privilege; 2: this kernel, as root; 3: other kernels in virtual machines
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=3))]
    lane: Vec<u8>,
    /// Lane 3: only kernels of this series
    #[arg(long, value_parser = ["5.10", "6.1", "6.12", "7.x"])]
    kernel: Vec<String>,
    /// Lanes 2 and 3: only this backend
    #[arg(long, value_parser = BACKENDS)]
    backend: Vec<String>,
}

const BACKENDS: [&str; 2] = ["fexit", "tracepoint"];
/// Kernels of lane 3. arm64 is emulated more slowly, so it has one row of each backend.
const MATRIX: [(&str, Arch); 5] = [
    ("5.10", Arch::X86_64),
    ("6.1", Arch::X86_64),
    ("6.12", Arch::X86_64),
    ("7.x", Arch::X86_64),
    ("6.12", Arch::Aarch64),
];

pub(crate) fn run(args: &Args) -> Result<i32> {
    let wanted = |lane: u8| args.lane.is_empty() || args.lane.contains(&lane);
    let backends: Vec<&str> = BACKENDS
        .into_iter()
        .filter(|b| args.backend.is_empty() || args.backend.iter().any(|a| a == b))
        .collect();
    let mut score = Score::default();
    if wanted(1) {
        lane_1(&mut score);
    }
    if wanted(2) {
        println!("lane 2: the lineup on this kernel");
        score.host(lane_2(&backends), &backends);
    }
    if wanted(3) {
        for (series, arch) in MATRIX {
            if args.kernel.is_empty() || args.kernel.iter().any(|kernel| kernel == series) {
                lane_3(series, arch, &backends, &mut score);
            }
        }
    }
    score.print();
    Ok(i32::from(!score.is_green()))
}

/// What can be judged without privilege.
fn lane_1(score: &mut Score) {
    println!("lane 1: no privilege");
    let cargo = |words: &[&str]| {
        let mut command = Command::new(project::cargo());
        command.current_dir(project::root()).args(words);
        command
    };
    let user_side = ["--workspace", "--exclude", "portwatch-ebpf"];
    let step = |what: &str, why: &str, words: &[&str]| run::quiet(&mut cargo(words), what, why);
    score.judge("formatting", step("cargo fmt --check", "one layout for all", &["fmt", "--all", "--check"]));
    score.judge("tidy", tidy::check());
    let clippy =
        [&["clippy"], &user_side[..], &["--all-targets", "--locked", "--", "-D", "warnings"]].concat();
    score.judge("clippy, user side", step("clippy, user side", "the project's lints", &clippy));
    score.judge("clippy, kernel side", bpf::clippy());
    score.judge("the committed objects are what the source gives", bpf::check());
    let tests = [&["test"], &user_side[..], &["--locked"]].concat();
    score.judge(
        "unit and property tests",
        step("cargo test", "rules, decoder, correlator, command line", &tests),
    );
}

/// Plays the lineup on this kernel.
fn lane_2(backends: &[&str]) -> Result<Played> {
    let binaries = build::host()?;
    let mut command = run::as_root(&binaries.lineup)?;
    command.args(["run", "--portwatch"]).arg(&binaries.portwatch);
    command.args(backends.iter().flat_map(|backend| ["--backend", backend]));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the lineup")?;
    let output = child.stdout.take().context("the lineup has no output")?;
    let mut play = Play::begin("this kernel")?;
    for line in BufReader::new(output).lines() {
        play.hear(line?);
    }
    let status = child.wait()?;
    Ok(play.end(status.code().unwrap_or(1)))
}

/// Plays the lineup on another kernel.
fn lane_3(series: &str, arch: Arch, backends: &[&str], score: &mut Score) {
    let row = format!("{series}/{}", arch.name());
    println!("lane 3: the lineup on Linux {row}, emulated");
    let outcome = in_a_machine(series, arch, &row, backends);
    score.machine(&row, outcome, backends);
}

fn in_a_machine(series: &str, arch: Arch, row: &str, backends: &[&str]) -> Result<Played> {
    let kernel = kernels::obtain(arch, series)?;
    let binaries = build::static_for(arch)?;
    let mut command: Vec<String> =
        ["/init", "run", "--portwatch", "/bin/portwatch"].map(str::to_owned).into();
    command.extend(backends.iter().flat_map(|backend| ["--backend".to_owned(), (*backend).to_owned()]));
    let mut play = Play::begin(row)?;
    let code =
        run_guest(&Machine::usual(&kernel), &binaries, &command, &mut |line| play.hear(line.to_owned()))?;
    Ok(play.end(code))
}
