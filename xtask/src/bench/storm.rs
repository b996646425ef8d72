//! Ten thousand refusals a second: is each counted, what does it take, and how soon is a line there?

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;

use super::facts::{Facts, Words, here, in_machine, this_machine, words};
use super::targets::Targets;
use super::{Args, Section};
use crate::kernels::{self, Arch};
use crate::vm::Machine;

/// Refusals a second and seconds; an emulated machine is far slower, and has fewer services, so that each is refused often enough
/// for one telling in twenty.
const STORM: Weather = Weather { is: &["--rate", "10000"], lasts: ["--seconds", "60"] };
const EMULATED: Weather = Weather { is: &["--rate", "200", "--victims", "8"], lasts: ["--seconds", "20"] };
const SAMPLES_EMULATED: [&str; 2] = ["--samples", "50"];
/// The one series of machines, unless told otherwise.
const KERNEL: &str = "6.12";

const IDLE_MICROS: f64 = 5_000.0;
/// Growth after the first sixth of the storm.
const GROWTH: f64 = 1.10;
const GROWTH_KIB: f64 = 2_048.0;

pub(super) fn section(args: &Args) -> Result<Section> {
    let facts = here(&commands("tracepoint", &STORM, &[]))?;
    let mut targets = Targets::default();
    let mut out = format!("{}:\n\n", this_machine()?);
    describe(&facts, &mut out)?;
    judge("this machine", &facts, true, &mut targets)?;
    let series = if args.kernel.is_empty() { vec![KERNEL] } else { args.kernels() };
    for series in series {
        let kernel = kernels::obtain(Arch::X86_64, series)?;
        let machine = Machine { timeout: Duration::from_secs(1_200), ..Machine::usual(&kernel) };
        let both =
            ["fexit", "kprobe"].map(|backend| commands(backend, &EMULATED, &SAMPLES_EMULATED)).concat();
        let facts = in_machine(&machine, &both)?;
        write!(out, "\nLinux {}, emulated, {} processors:\n\n", kernel.release, machine.cpus)?;
        describe(&facts, &mut out)?;
        judge(&format!("Linux {}", kernel.release), &facts, false, &mut targets)?;
    }
    Ok(targets.section(&out))
}

/// A storm, and how long it lasts where it is not sampled.
struct Weather {
    is: &'static [&'static str],
    lasts: [&'static str; 2],
}

fn commands(backend: &str, weather: &Weather, samples: &[&str]) -> Vec<Words> {
    let storm = [&["--backend", backend], weather.is].concat();
    vec![
        words("load storm", &[&storm[..], &weather.lasts].concat()),
        words("load latency", &[&storm[..], samples].concat()),
    ]
}

fn describe(facts: &[Facts], out: &mut String) -> Result<()> {
    out.push_str(
        "| backend | refusals a second | refused | counted | in the history | lost | conflicts | told | resident, KiB | processor |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for facts in facts.iter().filter(|facts| facts.is_about("storm")) {
        let word = |key| facts.word(key);
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {}, then {} | {:.0} % |",
            word("backend")?,
            word("rate")?,
            word("refused")?,
            word("counted")?,
            word("kept")?,
            word("lost")?,
            word("conflicts")?,
            word("tellings")?,
            word("early_kib")?,
            word("late_kib")?,
            facts.number("cpu")? * 100.0
        )?;
    }
    out.push_str(
        "\nFrom the refusal to its line:\n\n| backend | beside it | samples | median, ms | 99 of 100, ms |\n|---|---|---:|---:|---:|\n",
    );
    for facts in facts.iter().filter(|facts| facts.is_about("latency")) {
        let beside = match facts.word("rate")? {
            "0" => "nothing".to_owned(),
            rate => format!("{rate} refusals a second"),
        };
        let millis = |key| Ok::<_, anyhow::Error>(facts.number(key)? / 1_000.0);
        let (backend, samples) = (facts.word("backend")?, facts.word("samples")?);
        let (median, p99) = (millis("median_us")?, millis("p99_us")?);
        writeln!(out, "| {backend} | {beside} | {samples} | {median:.2} | {p99:.2} |")?;
    }
    Ok(())
}

/// Only a real machine says anything about time.
fn judge(place: &str, facts: &[Facts], is_real: bool, targets: &mut Targets) -> Result<()> {
    for facts in facts.iter().filter(|facts| facts.is_about("storm")) {
        let (number, backend) = (|key| facts.number(key), facts.word("backend")?);
        let (refused, counted, kept) = (number("refused")?, number("counted")?, number("kept")?);
        let what = format!("{place}, {backend}: every refusal counted once, by metrics and history");
        targets.add(what, format!("{refused}, {counted}, {kept}"), refused == counted && refused == kept);
        let (told, seconds) = (number("tellings")?, number("seconds")?);
        targets.add(
            format!("{place}, {backend}: the store is told less than a twentieth as often"),
            format!("{told}"),
            told < refused / 20.0,
        );
        // At once, then once a second, and what is left in the end: what coalescing promises, whatever the rate.
        targets.add(
            format!("{place}, {backend}: the store is told of each conflict once a second"),
            format!("{told}"),
            told <= number("conflicts")? * (seconds + 2.0),
        );
        let (early, late) = (number("early_kib")?, number("late_kib")?);
        let is_flat = late <= early * GROWTH + GROWTH_KIB;
        targets.add(
            format!("{place}, {backend}: memory grows by no more than a tenth and 2 MiB"),
            format!("{early} KiB, then {late} KiB"),
            is_flat,
        );
        if is_real {
            let cpu = number("cpu")?;
            targets.add(format!("{place}: at most one core"), format!("{:.0} %", cpu * 100.0), cpu <= 1.0);
        }
    }
    for facts in facts.iter().filter(|facts| is_real && facts.is_about("latency")) {
        let median = facts.number("median_us")?;
        if facts.word("load")? == "idle" {
            let measured = format!("{:.2} ms", median / 1_000.0);
            targets.add(format!("{place}: a line in 5 ms, median, idle"), measured, median <= IDLE_MICROS);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_weather_for_both() {
        let both = commands("kprobe", &EMULATED, &SAMPLES_EMULATED);
        assert_eq!(
            [both[0].join(" "), both[1].join(" ")],
            [
                "load storm --portwatch /bin/portwatch --backend kprobe --rate 200 --victims 8 --seconds 20",
                "load latency --portwatch /bin/portwatch --backend kprobe --rate 200 --victims 8 --samples 50",
            ]
        );
    }
}
