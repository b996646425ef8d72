//! `lineup run`: every scenario under portwatch, once a backend, with a score at the end of each.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::actor::Actor;
use crate::case::{Case, Holder};
use crate::netns::Netns;
use crate::product::{Backend, Portwatch, Started};
use crate::say;
use crate::scenario::{self, RANGE, Scenario, Stage, Watch};
use crate::score::{Outcome, Score};
use crate::verdict::{self, Grade};

/// How long a report may take on a machine of ordinary speed.
const REPORT_DEADLINE: Duration = Duration::from_secs(5);

/// Runs the scenarios on each backend; whether all is well and somebody was named right.
pub(crate) fn run(program: &Path, backends: &[Backend], only: &[String]) -> Result<bool> {
    let scenarios = scenario::selected(only)?;
    let (mut failed, mut right) = (0, 0);
    for &backend in backends.iter().take_while(|_| say::is_read()) {
        let (score, _) = Row::new(program, backend)?.play(&scenarios)?;
        failed += score.failed;
        right += score.right;
    }
    Ok(failed == 0 && right > 0)
}

/// Runs the scenarios on one backend that records into `file`. What portwatch said on stdout is the second answer; `None`
/// if this kernel does not admit the backend.
pub(crate) fn record(
    program: &Path,
    backend: Backend,
    only: &[String],
    file: &Path,
) -> Result<(bool, Option<Vec<u8>>)> {
    let scenarios = scenario::selected(only)?;
    let mut row = Row::new(program, backend)?;
    row.record = Some(file.to_path_buf());
    let (score, live) = row.play(&scenarios)?;
    Ok((score.failed == 0 && score.right > 0, live))
}

/// `<kernel release>/<arch>/<backend>`.
pub(crate) fn row_name(backend: Backend) -> String {
    let uname = rustix::system::uname();
    format!("{}/{}/{}", uname.release().to_string_lossy(), uname.machine().to_string_lossy(), backend.name())
}

/// How many times slower than a machine of ordinary speed this one is, by the time that it takes to start a process.
pub(crate) fn patience() -> Result<u32> {
    const ORDINARY: Duration = Duration::from_millis(10);
    let netns = Netns::new(RANGE)?;
    let start = Instant::now();
    drop(Actor::start(&netns, "speed-test".as_ref())?);
    let times = start.elapsed().as_nanos() / ORDINARY.as_nanos();
    Ok(u32::try_from(times)?.clamp(1, 12))
}

/// One backend on one kernel.
struct Row<'a> {
    program: &'a Path,
    backend: Backend,
    exe: PathBuf,
    patience: u32,
    name: String,
    /// Struck stages and what was reported on them: their namespaces keep their numbers until the row is over.
    stages: Vec<(&'static Scenario, Stage, HashSet<String>)>,
    /// Those on which the kernel did not do what the scenario wants: kept for the same reason.
    spoiled: Vec<Stage>,
    /// Where portwatch is to record.
    record: Option<PathBuf>,
}

impl<'a> Row<'a> {
    fn new(program: &'a Path, backend: Backend) -> Result<Self> {
        let exe = fs::read_link("/proc/self/exe").context("reading /proc/self/exe")?;
        let (patience, name) = (patience()?, row_name(backend));
        Ok(Self {
            program,
            backend,
            exe,
            patience,
            name,
            stages: Vec::new(),
            spoiled: Vec::new(),
            record: None,
        })
    }

    fn start(&self) -> Result<Started> {
        match &self.record {
            Some(file) => Portwatch::start_recording(self.program, self.backend, self.patience, file),
            None => Portwatch::start(self.program, self.backend, self.patience),
        }
    }

    /// The score, and what portwatch said if it recorded.
    fn play(mut self, scenarios: &[&'static Scenario]) -> Result<(Score, Option<Vec<u8>>)> {
        let mut score = Score::default();
        let mut playable = Vec::new();
        for &scenario in scenarios {
            match scenario.needs.lacking(Some(self.backend)) {
                None => playable.push(scenario),
                Some(reason) => {
                    let outcome = Outcome::Skipped(reason.to_owned());
                    score.note(self.backend, scenario.name, Duration::ZERO, outcome);
                }
            }
        }
        let (early, late): (Vec<_>, Vec<_>) =
            playable.into_iter().partition(|scenario| scenario.watch == Watch::AfterHolder);
        // Whoever must hold before portwatch starts does so now.
        let early: Vec<_> = early.into_iter().map(|scenario| (scenario, scenario.set_up())).collect();
        let mut portwatch = match self.start() {
            Ok(Started::Ready(portwatch)) => portwatch,
            Ok(Started::Unavailable(reason)) => {
                say::line(format_args!("LINEUP-SKIP row={} reason={reason}", self.name));
                return Ok((score, None));
            }
            Err(error) => {
                score.note(self.backend, "start", Duration::ZERO, Outcome::Broken(format!("{error:#}")));
                score.close(&self.name);
                return Ok((score, None));
            }
        };
        for (scenario, set_up) in early.into_iter().take_while(|_| say::is_read()) {
            let played = set_up.and_then(|(stage, holder)| self.strike(scenario, stage, holder));
            self.scenario(&portwatch, scenario, played, &mut score);
        }
        for scenario in late.into_iter().take_while(|_| say::is_read()) {
            let played = self.stage(scenario).or_else(|_| self.stage(scenario));
            self.scenario(&portwatch, scenario, played, &mut score);
        }
        self.finish(&mut portwatch, &mut score)?;
        score.close(&self.name);
        Ok((score, portwatch.raw()))
    }

    /// Plays a scenario. Where the kernel has refused nothing there is nothing to judge portwatch by, so it may be tried again:
    /// one that is busy now and then ends a connection before it was seen in the wanted state, or while it is wanted.
    fn stage(&mut self, scenario: &'static Scenario) -> Result<(Stage, Vec<Case>)> {
        let played = scenario.set_up().and_then(|(stage, holder)| self.strike(scenario, stage, holder));
        played.inspect_err(|error| say::line(format_args!("again {} {error:#}", scenario.name)))
    }

    /// Plays the second half of a scenario.
    fn strike(
        &mut self,
        scenario: &Scenario,
        mut stage: Stage,
        holder: Holder,
    ) -> Result<(Stage, Vec<Case>)> {
        match scenario.play(&mut stage, holder) {
            Ok(cases) => Ok((stage, cases)),
            Err(error) => {
                self.spoiled.push(stage);
                Err(error)
            }
        }
    }

    /// Judges what is said about a scenario.
    fn scenario(
        &mut self,
        portwatch: &Portwatch,
        scenario: &'static Scenario,
        played: Result<(Stage, Vec<Case>)>,
        score: &mut Score,
    ) {
        let start = Instant::now();
        let (mut stage, cases) = match played {
            Ok(played) => played,
            Err(error) => {
                let outcome = Outcome::Broken(format!("{error:#}"));
                score.note(self.backend, scenario.name, Duration::ZERO, outcome);
                return;
            }
        };
        let mut reported = HashSet::new();
        for case in cases {
            let report = self.report(portwatch, &case, &reported);
            reported.extend(report.iter().map(id));
            score.note(self.backend, scenario.name, start.elapsed(), self.judge(&case, report));
        }
        stage.dismiss();
        self.stages.push((scenario, stage, reported));
    }

    /// The report on a case, once it has counted every refusal; failing that, whatever there is. A report answers for
    /// one case only.
    fn report(&self, portwatch: &Portwatch, case: &Case, taken: &HashSet<String>) -> Option<Value> {
        let is_about = |report: &Value| {
            report["netns"] == case.netns
                && report["port"] == case.refusal.port
                && !taken.contains(&id(report))
        };
        let is_complete = |report: &Value| {
            is_about(report)
                && report["count"].as_u64() >= Some(case.refusal.count)
                && verdict::grade(case, report) != Grade::Wrong
                && verdict::is_victim(case, report)
        };
        portwatch
            .wait_for(REPORT_DEADLINE * self.patience, is_complete)
            .or_else(|| portwatch.wait_for(Duration::ZERO, is_about))
    }

    fn judge(&self, case: &Case, report: Option<Value>) -> Outcome {
        let Some(report) = report else {
            return Outcome::Missed { expected: case.to_string() };
        };
        let mismatches = verdict::check(case, self.backend, &self.exe.to_string_lossy(), &report);
        Outcome::Reported { grade: verdict::grade(case, &report), mismatches, report }
    }

    /// Ends portwatch, and then looks for reports that nobody was entitled to.
    fn finish(&self, portwatch: &mut Portwatch, score: &mut Score) -> Result<()> {
        let faults = portwatch.stop()?;
        if !faults.is_empty() {
            score.note(self.backend, "stop", Duration::ZERO, Outcome::Broken(faults.join("; ")));
        }
        let reports = portwatch.reports();
        for (scenario, stage, reported) in &self.stages {
            let mut seen = reported.clone();
            for report in &reports {
                let is_here = report["netns"].as_u64().is_some_and(|netns| stage.is_here(netns));
                if is_here && seen.insert(id(report)) {
                    score.stray(self.backend, scenario.name, report);
                }
            }
        }
        Ok(())
    }
}

fn id(report: &Value) -> String {
    report["id"].to_string()
}
