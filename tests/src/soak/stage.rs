//! The director: starts portwatch, troupes and bystanders, passes on what they say, and ends them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::judge::{Outcome, Scene};
use super::players::{Event, Player, listen, start};
use super::ports::{CHOSEN, FEWEST, chosen};
use super::referee::{Answered, Referee};
use super::summary::{explained, lost, refused_calls};
use crate::clock;
use crate::netns::Netns;
use crate::product::{Backend, Portwatch, Started};
use crate::run::row_name;

/// Namespaces in which nothing is staged.
const ELSEWHERE: u32 = 2;
/// How often the director looks around.
const TURN: Duration = Duration::from_millis(2);
/// Between two lines on how far it is.
const NEWS: Duration = Duration::from_secs(10);
/// How long a report may take. An emulated machine on a busy host is a hundred times slower than a real one, and a report that
/// is late is not one that is missed.
const REPORT_DEADLINE: Duration = Duration::from_secs(240);
/// A soak in which nobody does anything for so long is stuck.
const STILL: Duration = Duration::from_secs(300);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The program to judge
    #[arg(long, value_name = "PATH")]
    portwatch: PathBuf,
    /// Kernel hooks to force; repeat for one row after the other
    #[arg(long, required = true, value_name = "NAME")]
    backend: Vec<Backend>,
    /// Conflicts to stage on each backend
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    conflicts: u32,
    /// What the random choices begin with; a new one each time unless given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Bystanders, who take and give back ports all the time
    #[arg(long, value_name = "N", default_value_t = 6)]
    churn: u32,
    /// Processes that stage conflicts, each in a network namespace of its own
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    troupes: u32,
    /// Conflicts of a troupe that wait for their reports at one time
    #[arg(long, value_name = "N", default_value_t = 6)]
    in_flight: u32,
    /// Ports that the kernel chooses from; a few hundred are used for the same connection again and again
    #[arg(long, value_name = "N", default_value_t = CHOSEN, value_parser = clap::value_parser!(u16).range(FEWEST as i64..=CHOSEN as i64))]
    ports: u16,
    /// Let pids come round after so many: for a machine of one's own, since it is set for all of it
    #[arg(long, value_name = "N")]
    pids: Option<u32>,
}

/// One row a backend that this kernel admits; whether there is one, and all are as they must be.
pub(crate) fn run(args: &Args) -> Result<bool> {
    if let Some(pids) = args.pids {
        let path = "/proc/sys/kernel/pid_max";
        fs::write(path, pids.to_string()).with_context(|| format!("writing {path}"))?;
    }
    let seed = args.seed.unwrap_or_else(|| clock::now().0.unsigned_abs() % 1_000_000_000);
    let (mut all_well, mut played) = (true, 0);
    for &backend in &args.backend {
        let row = row_name(backend);
        match Portwatch::start(&args.portwatch, backend, 4)? {
            Started::Unavailable(reason) => {
                println!("SOAK-SKIP row={row} reason={reason}");
                all_well = false;
            }
            Started::Ready(portwatch) => {
                played += 1;
                all_well &= Soak::begin(args, seed, backend, portwatch)?.play(&row)?;
            }
        }
    }
    Ok(all_well && played > 0)
}

struct Soak {
    portwatch: Portwatch,
    referee: Referee,
    troupes: Vec<Player>,
    bystanders: Vec<Player>,
    events: Receiver<Event>,
    conflicts: u32,
    seed: u64,
    begun: Instant,
    /// Held open: a namespace that ends gives its number to the next.
    _namespaces: Vec<Netns>,
}

impl Soak {
    fn begin(args: &Args, seed: u64, backend: Backend, portwatch: Portwatch) -> Result<Self> {
        let exe = fs::read_link("/proc/self/exe").context("reading /proc/self/exe")?;
        let exe = exe.to_string_lossy().into_owned();
        let range = chosen(args.ports);
        let namespaces: Vec<Netns> =
            (0..args.troupes + ELSEWHERE).map(|_| Netns::new(range)).collect::<Result<_>>()?;
        let stages = &namespaces[..args.troupes as usize];
        let scene = |netns: &Netns| Scene { backend, netns: netns.inode, range, exe: exe.clone() };
        let referee = Referee::new(stages.iter().map(scene).collect(), REPORT_DEADLINE, seed);
        let (sender, events) = channel();
        let mut troupes = Vec::new();
        for (netns, first) in stages.iter().zip(0..) {
            netns.within(leave_lingering_numbers_alone)?;
            let share = args.conflicts / args.troupes + u32::from(first < args.conflicts % args.troupes);
            let options = [
                ("--conflicts", u64::from(share)),
                ("--in-flight", args.in_flight.into()),
                ("--seed", seed),
                ("--first", first.into()),
                ("--step", args.troupes.into()),
            ];
            let mut player = start("troupe", netns, &options, &[])?;
            listen(&mut player, first as usize, sender.clone())?;
            troupes.push(player);
        }
        let mut bystanders = Vec::new();
        for first in 0..args.churn {
            // The last namespaces first: there the numbers must be taken when the soak begins.
            let place = namespaces.len() - 1 - first as usize % namespaces.len();
            let is_elsewhere = place >= stages.len();
            // One is enough to take every number.
            if is_elsewhere && first as usize >= namespaces.len() {
                continue;
            }
            let words: &[&str] = if is_elsewhere { &["--elsewhere"] } else { &[] };
            let options = [("--seed", seed), ("--first", first.into())];
            bystanders.push(start("bystander", &namespaces[place], &options, words)?);
        }
        Ok(Self {
            portwatch,
            referee,
            troupes,
            bystanders,
            events,
            conflicts: args.conflicts,
            seed,
            begun: Instant::now(),
            _namespaces: namespaces,
        })
    }

    fn play(mut self, row: &str) -> Result<bool> {
        let mut faults = Vec::new();
        if let Err(error) = self.follow() {
            faults.push(format!("{error:#}"));
        }
        for bystander in &mut self.bystanders {
            // One that has ended by itself was refused something, or failed: the soak was not what it claims.
            if let Some(status) = bystander.process.try_wait()? {
                faults.push(format!("a bystander ended ({status}); its own words are above"));
            }
            bystander.end();
        }
        self.end_portwatch(&mut faults)?;
        let summary = self.portwatch.summary().unwrap_or_default();
        let by_probes = row.ends_with(Backend::Kprobe.name());
        let (lost, explained) = (lost(&summary, by_probes), explained(&summary, by_probes));
        self.referee.table.print();
        for fault in &faults {
            println!("FAIL {fault}");
        }
        println!("{:.0} s", self.begun.elapsed().as_secs_f32());
        println!("{}", self.referee.table.closing(row, lost, self.seed));
        let table = &self.referee.table;
        let is_complete = table.conflicts() == u64::from(self.conflicts);
        if explained > 0 {
            println!(
                "{explained} events or records of any process were skipped or overwritten, by its own count"
            );
        }
        let unexplained = table.failures() - table.total(Outcome::Unnamed).min(explained);
        Ok(is_complete && faults.is_empty() && unexplained == 0 && table.strays == 0 && lost == 0)
    }

    /// Until every troupe has ended and every report is there, or was waited for in vain.
    fn follow(&mut self) -> Result<()> {
        let mut playing = self.troupes.len();
        let (mut news, mut progress, mut before) = (Instant::now(), Instant::now(), 0);
        while playing > 0 || self.referee.is_waiting() {
            let mut answered = Vec::new();
            for report in self.portwatch.take_reports(TURN) {
                answered.extend(self.referee.reported(report));
            }
            for event in self.events.try_iter() {
                match event {
                    Event::Staged(troupe, truth) => answered.extend(self.referee.staged(troupe, *truth)),
                    Event::Ended => playing -= 1,
                    Event::Garbled(why) => bail!("a troupe said what nobody understands: {why}"),
                }
            }
            answered.extend(self.referee.give_up(false));
            self.answer(&answered);
            let done = self.referee.table.conflicts();
            if done != before {
                (before, progress) = (done, Instant::now());
            }
            ensure!(progress.elapsed() < STILL, "nothing has happened for {STILL:?}");
            if news.elapsed() >= NEWS {
                news = Instant::now();
                let rate = done as f32 / self.begun.elapsed().as_secs_f32();
                println!(
                    "{done} of {} conflicts, {rate:.0}/s, {} failed",
                    self.conflicts,
                    self.referee.table.failures()
                );
            }
        }
        let missing = u64::from(self.conflicts) - self.referee.table.conflicts().min(self.conflicts.into());
        ensure!(
            missing == 0,
            "the troupes failed before the last {missing} conflicts; their words are above"
        );
        Ok(())
    }

    fn answer(&mut self, answered: &[Answered]) {
        for Answered { troupe, number } in answered {
            let orders = self.troupes.get_mut(*troupe).and_then(|troupe| troupe.orders.as_mut());
            // A troupe that has gone is reported by its end, and needs no answer.
            let _ = orders.map(|orders| writeln!(orders, "{number}"));
        }
    }

    /// Ends portwatch, takes in its last words, and compares its own counts with the reports.
    fn end_portwatch(&mut self, faults: &mut Vec<String>) -> Result<()> {
        faults.extend(self.portwatch.stop()?);
        for report in self.portwatch.take_reports(Duration::ZERO) {
            self.referee.reported(report);
        }
        self.referee.give_up(true);
        faults.extend(self.referee.close());
        match self.portwatch.summary() {
            None => faults.push("portwatch gave no summary".to_owned()),
            Some(summary) => {
                println!("{summary}");
                if refused_calls(&summary) != Some(self.referee.told()) {
                    let told = self.referee.told();
                    faults.push(format!(
                        "its reports stand for {told} refused calls, its summary says otherwise"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Loopback connections may be given a number in TIME_WAIT (`tcp_tw_reuse` = 2): two would then have held it.
fn leave_lingering_numbers_alone() -> Result<()> {
    let path = Path::new("/proc/sys/net/ipv4/tcp_tw_reuse");
    fs::write(path, "0").with_context(|| format!("writing {}", path.display()))
}
