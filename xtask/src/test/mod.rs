//! `cargo xtask test`: all tests. Lane 1 needs no privilege, lane 2 this kernel and root, lane 3 other kernels in virtual
//! machines, lane 4 the real programs that portwatch works with.

mod cells;
mod depth;
mod document;
mod jobs;
mod lane_1;
mod matrix;
mod parts;
mod play;
mod prometheus;
mod prototypes;
mod rule;
mod score;
mod services;
mod soak;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::build::{self, Binaries, Profile};
use crate::kernels::Arch;
use crate::setup::apt;
use crate::{bench, kernels, run};
use cells::Cell;
use depth::Depth;
use jobs::{Job, Verdict};
use matrix::{MATRIX, Row};
use parts::{LINEUP, PAGE, Part, Place};
use play::{Play, Played};
use score::Score;

/// Run the tests: all lanes, or some
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// 1: no privilege; 2: this kernel, as root; 3: other kernels in virtual machines; 4: real services, systemd first
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=4))]
    lane: Vec<u8>,
    /// Lane 3: only kernels of this series
    #[arg(long, value_parser = ["5.10", "6.1", "6.12", "7.x"])]
    kernel: Vec<String>,
    /// Lane 3: only this architecture
    #[arg(long, value_enum)]
    arch: Vec<Arch>,
    /// Lanes 2 and 3: only this backend
    #[arg(long, value_parser = BACKENDS)]
    backend: Vec<String>,
    /// Lane 2: only this part
    #[arg(long, value_parser = PARTS)]
    part: Vec<String>,
    /// All scenarios, parts and proofs on every kernel: before a release
    #[arg(long)]
    full: bool,
    /// Lane 3: look for newer kernels than the cached ones
    #[arg(long)]
    refresh: bool,
    /// Write docs/kernels.md and the table of the README from this run, with --full and the whole of lane 3
    #[arg(long, requires = "full")]
    update_docs: bool,
}

/// Parts of lane 2.
const PARTS: [&str; 15] = [
    "prototypes",
    LINEUP,
    "who",
    "audit",
    "reserve",
    "rule",
    "soak",
    "exhaustion",
    "advice",
    "agent",
    "storm",
    "scale",
    "odds",
    PAGE,
    PROMETHEUS,
];
const PROMETHEUS: &str = "prometheus";
const BACKENDS: [&str; 3] = ["fexit", "kprobe", "tracepoint"];

impl Args {
    fn wants_lane(&self, lane: u8) -> bool {
        self.lane.is_empty() || self.lane.contains(&lane)
    }

    fn wants_part(&self, part: &str) -> bool {
        self.part.is_empty() || self.part.iter().any(|one| one == part)
    }

    fn backends(&self, all: &[&'static str]) -> Vec<&'static str> {
        let wanted =
            |backend: &&str| self.backend.is_empty() || self.backend.iter().any(|one| one == backend);
        all.iter().copied().filter(wanted).collect()
    }

    /// The rows of lane 3 with what is to run on each.
    fn rows(&self) -> Vec<(Row, Vec<&'static str>)> {
        let wanted = |row: &Row| {
            (self.kernel.is_empty() || self.kernel.iter().any(|kernel| kernel == row.series))
                && (self.arch.is_empty() || self.arch.contains(&row.arch))
        };
        let rows = MATRIX.into_iter().filter(wanted).map(|row| (row, self.backends(row.backends)));
        rows.filter(|(_, backends)| !backends.is_empty()).collect()
    }

    fn depth(&self) -> Depth {
        if self.full { Depth::Full } else { Depth::Default }
    }

    fn is_whole_matrix(&self) -> bool {
        self.wants_lane(3) && self.kernel.is_empty() && self.arch.is_empty() && self.backend.is_empty()
    }
}

pub(crate) fn run(args: &Args) -> Result<i32> {
    ensure!(
        !args.update_docs || args.is_whole_matrix(),
        "--update-docs needs the whole of lane 3: no --kernel, --arch or --backend with it"
    );
    let begun = Instant::now();
    let mut score = Score::default();
    if args.wants_lane(1) {
        lane_1::run(&mut score);
    }
    let rows = if args.wants_lane(3) { args.rows() } else { Vec::new() };
    for (row, _) in rows.iter().filter(|_| args.refresh) {
        score.judge("the newest kernel", kernels::refresh(row.arch, row.series));
    }
    let is_measured =
        args.full && rows.iter().any(|(row, backends)| bench::is_measured(row.arch, row.series, backends));
    let cells = Mutex::new(Vec::new());
    jobs::run(jobs(args, rows, &cells, &mut score), &mut score);
    if args.full && args.wants_lane(3) {
        let mut cells = cells.into_inner().unwrap_or_else(PoisonError::into_inner);
        cells::sort(&mut cells);
        documents(args, &cells, &mut score);
    }
    if is_measured {
        println!("  instructions, against xtask/bench-limits.toml");
        score.judge("instructions", bench::check_instructions().map(|said| println!("    {said}")));
    }
    run::print_steps(begun.elapsed());
    score.print();
    Ok(i32::from(!score.is_green()))
}

/// Lanes 2 to 4 as jobs, this machine's own first: it takes longest, and waits most of the time.
fn jobs<'a>(
    args: &'a Args,
    rows: Vec<(Row, Vec<&'static str>)>,
    cells: &'a Mutex<Vec<Cell>>,
    score: &mut Score,
) -> Vec<Job<'a>> {
    let mut jobs: Vec<Job<'a>> = Vec::new();
    if args.wants_lane(2) {
        println!("lane 2: this kernel");
        match prepare_here(args) {
            Ok(binaries) if args.full => {
                // What is measured against the clock has the machine for itself.
                lane_2(args, &binaries)(score);
            }
            Ok(binaries) => jobs.push(Box::new(move || lane_2(args, &binaries))),
            Err(error) => score.judge("this kernel", Err(error)),
        }
    }
    if args.wants_lane(3) {
        println!("lane 3: other kernels, emulated");
    }
    for (row, backends) in rows {
        match matrix::prepare(row, backends.clone()) {
            Ok(ready) => jobs.push(Box::new(move || lane_3(args, &ready, cells))),
            Err(error) => score.machine(&row.name(), Err(error), &backends),
        }
    }
    if args.wants_lane(4) {
        println!("lane 4: real services");
        jobs.push(Box::new(|| {
            let outcome = services::with_systemd();
            Box::new(move |score: &mut Score| score.judge("systemd and journald", outcome))
        }));
    }
    jobs
}

/// The documents tell what a whole and green run gave.
fn documents(args: &Args, cells: &[Cell], score: &mut Score) {
    if !args.is_whole_matrix() || !score.is_green() {
        return;
    }
    if args.update_docs {
        score.judge("docs/kernels.md", document::write(cells));
    } else {
        score.judge("docs/kernels.md", document::check(cells));
    }
}

/// What the programs on this machine need.
fn prepare_here(args: &Args) -> Result<Binaries> {
    // The same build serves the virtual machines of lane 3.
    let binaries = build::static_for(Arch::OWN, Profile::Lab)?;
    if args.wants_part(PAGE) {
        apt::install(&[apt::PYTHON, apt::IPROUTE], "for the commands of docs/port-conflicts.md")?;
    }
    Ok(binaries)
}

/// Everything on this kernel.
fn lane_2<'a>(args: &Args, binaries: &Binaries) -> Verdict<'a> {
    let backends = args.backends(&BACKENDS);
    let [lineup, portwatch] = [&binaries.lineup, &binaries.portwatch].map(|path| path.to_string_lossy());
    let place = Place {
        lineup: &lineup,
        portwatch: &portwatch,
        is_emulated: false,
        preempts: false,
        is_end: true,
        arch: Arch::OWN,
        depth: args.depth(),
    };
    let parts = parts::all(&place, &backends).into_iter().filter(|part| args.wants_part(part.name));
    let played: Vec<_> = parts.map(|part| (here(&part), part)).collect();
    let scraped = args.wants_part(PROMETHEUS).then(|| prometheus::check(&binaries.portwatch));
    Box::new(move |score| {
        for (played, part) in played {
            if part.name == LINEUP {
                score.host(played, &backends);
            } else {
                score.part("this kernel", &part, played);
            }
        }
        if let Some(scraped) = scraped {
            score.judge("the real Prometheus", scraped.map(|said| println!("    {said}")));
        }
    })
}

fn here(part: &Part) -> Result<Played> {
    let (program, arguments) = part.command.split_first().context("a part without a command")?;
    let mut command = run::as_root(Path::new(program))?;
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    let output = child.stdout.take().with_context(|| format!("{program} has no output"))?;
    let mut play = Play::begin("this kernel", part.name)?;
    for line in BufReader::new(output).lines() {
        play.hear(line?);
    }
    let status = child.wait()?;
    Ok(play.end(status.code().unwrap_or(1)))
}

/// Everything on another kernel.
fn lane_3<'a>(args: &Args, ready: &matrix::Ready, cells: &'a Mutex<Vec<Cell>>) -> Verdict<'a> {
    let (row, backends) = (ready.row, ready.backends.clone());
    let place = Place {
        lineup: "/init",
        portwatch: "/bin/portwatch",
        is_emulated: true,
        preempts: row.series == "7.x",
        is_end: matches!(row.series, "5.10" | "7.x"),
        arch: row.arch,
        depth: args.depth(),
    };
    let parts = parts::all(&place, &backends);
    let played = matrix::play(ready, &parts);
    Box::new(move |score| match played {
        Ok(played) => {
            for (part, played) in parts.iter().zip(played) {
                if part.name == LINEUP {
                    let of_this = cells::of(row, &backends, &played);
                    cells.lock().unwrap_or_else(PoisonError::into_inner).extend(of_this);
                    score.machine(&row.name(), Ok(played), &backends);
                } else {
                    score.part(&row.name(), part, Ok(played));
                }
            }
        }
        Err(error) => score.machine(&row.name(), Err(error), &backends),
    })
}
