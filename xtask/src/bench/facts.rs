//! What the lineup measured: its lines `BENCH key=value …`, from this kernel or from a machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::build::{self, Profile};
use crate::kernels::Arch;
use crate::run;
use crate::vm::{Machine, run_all};

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts(BTreeMap<String, String>);

impl Facts {
    fn parse(line: &str) -> Option<Self> {
        let pairs = line.strip_prefix("BENCH ")?.split(' ').map(|field| field.split_once('='));
        let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        pairs.map(|pair| pair.map(own)).collect::<Option<_>>().map(Self)
    }

    pub(super) fn word(&self, key: &str) -> Result<&str> {
        self.0.get(key).map(String::as_str).with_context(|| format!("no {key} among {:?}", self.0))
    }

    pub(super) fn number(&self, key: &str) -> Result<f64> {
        self.word(key)?.parse().with_context(|| format!("{key} is no number"))
    }

    /// Whether it tells of that.
    pub(super) fn is_about(&self, what: &str) -> bool {
        self.0.get("what").is_some_and(|about| about == what)
    }
}

/// Words after `lineup`; the path of portwatch follows the word `--portwatch`.
pub(super) type Words = Vec<String>;

/// A command of the lineup that measures portwatch.
pub(super) fn words(role: &str, rest: &[&str]) -> Words {
    let role = role.split(' ');
    role.chain(["--portwatch", PORTWATCH]).chain(rest.iter().copied()).map(str::to_owned).collect()
}

/// Where it is in a machine.
const PORTWATCH: &str = "/bin/portwatch";

/// Runs the commands on this kernel, one after the other.
pub(super) fn here(commands: &[Words]) -> Result<Vec<Facts>> {
    let binaries = build::static_for(Arch::OWN, Profile::Release)?;
    let portwatch = binaries.portwatch.to_string_lossy();
    let mut facts = Vec::new();
    for words in commands {
        let mut command = run::as_root(&binaries.lineup)?;
        command.args(words.iter().map(|word| if word == PORTWATCH { &*portwatch } else { word }));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start the lineup")?;
        let output = child.stdout.take().context("the lineup has no output")?;
        for line in BufReader::new(output).lines() {
            hear(&line?, "this kernel", &mut facts);
        }
        let status = child.wait()?;
        ensure!(status.success(), "this kernel: {} ended with {status}", words.join(" "));
    }
    Ok(facts)
}

/// Runs the commands in a machine, one after the other.
pub(super) fn in_machine(machine: &Machine<'_>, commands: &[Words]) -> Result<Vec<Facts>> {
    let binaries = build::static_for(machine.kernel.arch, Profile::Release)?;
    let release = &machine.kernel.release;
    let with_init = |words: &Words| std::iter::once("/init".to_owned()).chain(words.clone()).collect();
    let lines: Vec<Vec<String>> = commands.iter().map(with_init).collect();
    let mut facts = Vec::new();
    let codes = run_all(machine, &binaries, &lines, &mut |_, line| hear(line, release, &mut facts))?;
    for (words, code) in commands.iter().zip(codes) {
        ensure!(code == 0, "Linux {release}: {} ended with exit code {code}", words.join(" "));
    }
    Ok(facts)
}

fn hear(line: &str, place: &str, facts: &mut Vec<Facts>) {
    if !line.is_empty() {
        eprintln!("    {place} | {line}");
    }
    facts.extend(Facts::parse(line));
}

/// This machine in words: kernel, processor, cores.
pub(super) fn this_machine() -> Result<String> {
    let system = rustix::system::uname();
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("a processor without a name", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism()?;
    Ok(format!("Linux {} on {cores} cores of {model}", system.release().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let facts = Facts::parse("BENCH what=storm rate=10000 cpu=0.25").expect("facts");
        assert!(facts.is_about("storm"));
        assert_eq!(facts.number("cpu").expect("a number"), 0.25);
        assert!(facts.number("what").is_err() && facts.word("none").is_err());
        assert_eq!(Facts::parse("BENCH what"), None);
        assert_eq!(Facts::parse("ok storm"), None);
    }

    #[test]
    fn the_path_has_its_place() {
        assert_eq!(
            words("load storm", &["--rate", "1"]).join(" "),
            "load storm --portwatch /bin/portwatch --rate 1"
        );
    }
}
