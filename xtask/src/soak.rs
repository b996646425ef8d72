//! `cargo xtask soak`: thousands of random conflicts amid churn, on this kernel or in virtual machines; no name may be
//! wrong, and no conflict without a report.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::build::{self, Profile};
use crate::kernels::{self, Arch};
use crate::run;
use crate::vm::{Machine, run_guest};

/// Compare thousands of reports on random conflicts with what really happened
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Series of a kernel to boot: 5.10, 6.1, 6.12, 7.x; repeat for more. This machine's own unless given
    #[arg(long)]
    kernel: Vec<String>,
    /// Architecture of the virtual machines
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Only this backend; repeat for more
    #[arg(long, value_name = "NAME", value_parser = BACKENDS)]
    backend: Vec<String>,
    /// Conflicts on each backend
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    conflicts: u32,
    /// What the random choices begin with; a new one each time unless given
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Bystanders, who take and give back ports all the time
    #[arg(long, value_name = "N", default_value_t = 6)]
    churn: u32,
    /// Ports that the kernel chooses from; with a few hundred the same connection comes again and again
    #[arg(long, value_name = "N")]
    ports: Option<u16>,
    /// Processes that create conflicts, each in a network namespace of its own
    #[arg(long, value_name = "N")]
    troupes: Option<u32>,
}

const BACKENDS: [&str; 3] = ["fexit", "kprobe", "tracepoint"];
/// In a virtual machine pids come round after so many: a name that goes by pid alone is soon wrong.
pub(crate) const PIDS_IN_A_MACHINE: &str = "1024";

/// What the soak is to do.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) backends: Vec<String>,
    pub(crate) conflicts: u32,
    pub(crate) seed: Option<u64>,
    pub(crate) churn: u32,
    pub(crate) ports: Option<u16>,
    pub(crate) troupes: Option<u32>,
}

/// The closing line of a backend, or why it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Row {
    Played { name: String, counts: BTreeMap<String, u64> },
    Skipped { name: String, reason: String },
}

/// What the soak said in the end, and its exit code.
#[derive(Clone, Debug, Default)]
pub(crate) struct Played {
    pub(crate) rows: Vec<Row>,
    pub(crate) code: i32,
}

pub(crate) fn run(args: &Args) -> Result<i32> {
    let backends =
        if args.backend.is_empty() { BACKENDS.map(str::to_owned).to_vec() } else { args.backend.clone() };
    let Args { conflicts, seed, churn, ports, troupes, .. } = *args;
    let order = Order { backends, conflicts, seed, churn, ports, troupes };
    let mut failures = Vec::new();
    if args.kernel.is_empty() {
        let verdict = here(&order, &mut run::pass_on).and_then(|played| judge(&played, &order, true));
        failures.extend(verdict.err().map(|error| format!("this kernel: {error:#}")));
    }
    for series in &args.kernel {
        let verdict = in_a_machine(series, args.arch, &order, &mut run::pass_on)
            .and_then(|played| judge(&played, &order, false));
        failures.extend(verdict.err().map(|error| format!("Linux {series}: {error:#}")));
    }
    for failure in &failures {
        println!("FAILED {failure}");
    }
    Ok(i32::from(!failures.is_empty()))
}

/// Runs the soak on this kernel; every line that it says goes to `on_line`.
pub(crate) fn here(order: &Order, on_line: &mut dyn FnMut(&str)) -> Result<Played> {
    let binaries = build::host()?;
    let mut command = run::as_root(&binaries.lineup)?;
    command.arg("soak").arg("--portwatch").arg(&binaries.portwatch).args(order.words());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start the soak")?;
    let output = child.stdout.take().context("the soak has no output")?;
    let mut rows = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line?;
        rows.extend(parse(&line));
        on_line(&line);
    }
    Ok(Played { rows, code: child.wait()?.code().unwrap_or(1) })
}

/// Runs the soak on another kernel.
pub(crate) fn in_a_machine(
    series: &str,
    arch: Arch,
    order: &Order,
    on_line: &mut dyn FnMut(&str),
) -> Result<Played> {
    let kernel = kernels::obtain(arch, series)?;
    let binaries = build::static_for(arch, Profile::Lab)?;
    let mut command: Vec<String> =
        ["/init", "soak", "--portwatch", "/bin/portwatch", "--pids", PIDS_IN_A_MACHINE]
            .map(str::to_owned)
            .into();
    command.extend(order.words());
    let machine = Machine { timeout: order.patience(), ..Machine::usual(&kernel) };
    let mut rows = Vec::new();
    let code = run_guest(&machine, &binaries, &command, &mut |line| {
        rows.extend(parse(line));
        on_line(line);
    })?;
    Ok(Played { rows, code })
}

/// Whether all is as it must be. Where a backend may be missing, one must have been there.
pub(crate) fn judge(played: &Played, order: &Order, may_skip: bool) -> Result<()> {
    let mut is_played = false;
    for row in &played.rows {
        match row {
            Row::Skipped { name, reason } if !may_skip => {
                bail!("{name}: the backend must run here, but: {reason}")
            }
            Row::Skipped { .. } => {}
            Row::Played { name, counts } => {
                is_played = true;
                let count = |what: &str| counts.get(what).copied();
                if count("conflicts") != Some(order.conflicts.into()) {
                    bail!("{name}: {:?} of {} conflicts were judged", count("conflicts"), order.conflicts);
                }
                for what in ["wrong", "missed", "lost", "inexact", "strays"] {
                    match count(what) {
                        Some(0) => {}
                        Some(some) => bail!("{name}: {some} {what}"),
                        None => bail!("{name}: its last line says nothing about {what}"),
                    }
                }
            }
        }
    }
    if played.rows.len() != order.backends.len() {
        bail!("{} rows for {} backends", played.rows.len(), order.backends.len());
    }
    if !is_played {
        bail!("no backend could run, so nothing was tested");
    }
    // A backend that is refused speaks for itself, and the soak ends with a code of its own because of it.
    let has_skips = played.rows.iter().any(|row| matches!(row, Row::Skipped { .. }));
    if played.code != 0 && !has_skips {
        bail!("the soak ended with exit code {}; its own words are above", played.code);
    }
    Ok(())
}

impl Order {
    /// As the arguments of `lineup soak`.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            self.backends.iter().flat_map(|backend| ["--backend".to_owned(), backend.clone()]).collect();
        let numbers = [
            ("--conflicts", Some(self.conflicts.into())),
            ("--churn", Some(self.churn.into())),
            ("--seed", self.seed),
            ("--ports", self.ports.map(u64::from)),
            ("--troupes", self.troupes.map(u64::from)),
        ];
        for (option, value) in numbers {
            words.extend(value.into_iter().flat_map(|value: u64| [option.to_owned(), value.to_string()]));
        }
        words
    }

    /// An emulated machine stages some five a second at the least.
    fn patience(&self) -> Duration {
        let each = Duration::from_secs(300) + Duration::from_millis(250) * self.conflicts;
        each * u32::try_from(self.backends.len()).unwrap_or(1)
    }
}

/// `SOAK row=R conflicts=N right=N …`, or `SOAK-SKIP row=R reason=…`.
pub(crate) fn parse(line: &str) -> Option<Row> {
    if let Some(rest) = line.strip_prefix("SOAK-SKIP row=") {
        let (name, reason) = rest.split_once(" reason=")?;
        return Some(Row::Skipped { name: name.to_owned(), reason: reason.to_owned() });
    }
    let (name, fields) = line.strip_prefix("SOAK row=")?.split_once(' ')?;
    let counts = fields
        .split(' ')
        .map(|field| {
            let (key, value) = field.split_once('=')?;
            Some((key.to_owned(), value.parse().ok()?))
        })
        .collect::<Option<_>>()?;
    Some(Row::Played { name: name.to_owned(), counts })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "SOAK row=6.12/x86_64/fexit conflicts=9 right=8 wrong=0 unnamed=1 missed=0 lost=0 seed=1 \
                        inexact=0 strays=0";
    const SKIP: &str = "SOAK-SKIP row=6.18/x86_64/fexit reason=not here";

    fn verdict(lines: &[&str], code: i32, may_skip: bool) -> Result<()> {
        let backends = vec!["fexit".to_owned()];
        let order = Order { backends, conflicts: 9, seed: None, churn: 1, ports: None, troupes: None };
        judge(&Played { rows: lines.iter().filter_map(|line| parse(line)).collect(), code }, &order, may_skip)
    }

    #[test]
    fn a_good_row_passes() {
        verdict(&["noise", GOOD], 0, false).expect("all is well");
    }

    #[test]
    fn one_of_anything_bad_fails() {
        for what in ["wrong", "missed", "lost", "inexact", "strays"] {
            let bad = GOOD.replace(&format!("{what}=0"), &format!("{what}=1"));
            assert!(verdict(&[&bad], 0, false).is_err(), "{what}");
            let silent = GOOD.replace(&format!(" {what}=0"), "");
            assert!(verdict(&[&silent], 0, false).is_err(), "no word about {what}");
        }
        assert!(verdict(&[GOOD], 1, false).is_err(), "exit code");
        assert!(verdict(&[&GOOD.replace("conflicts=9", "conflicts=8")], 0, false).is_err());
    }

    #[test]
    fn nothing_played_fails() {
        assert!(verdict(&[], 0, true).is_err());
        assert!(verdict(&[SKIP], 0, true).is_err());
        assert!(verdict(&[SKIP], 0, false).is_err());
    }
}
