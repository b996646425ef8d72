//! What is run on a kernel, one program after the other, and how each is judged.

use std::fmt;

use anyhow::{Result, ensure};

use super::depth::Depth;
use super::play::Played;
use super::{prototypes, rule, soak};
use crate::kernels::Arch;
use crate::project;

/// The name of the part that has a row for every backend, and scenarios in it.
pub(super) const LINEUP: &str = "lineup";

/// The name of the part that types the commands of a page.
pub(super) const PAGE: &str = "document";

/// Where the programs are run, and where they are found there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) lineup: &'a str,
    pub(super) portwatch: &'a str,
    /// A virtual machine: slower, and its kernel is one that must admit the backends.
    pub(super) is_emulated: bool,
    /// Its kernel preempts hooks, and skips them for whoever comes to the same one on that CPU meanwhile.
    pub(super) preempts: bool,
    /// Its kernel is this machine's, the oldest of the matrix or the newest: what rests on settings is tried at these ends.
    pub(super) is_end: bool,
    pub(super) arch: Arch,
    pub(super) depth: Depth,
}

impl Place<'_> {
    /// A command of the lineup.
    pub(super) fn lineup(&self, words: &[&str]) -> Vec<String> {
        std::iter::once(&self.lineup).chain(words).map(|word| (*word).to_owned()).collect()
    }
}

/// What a program came to, in a line; or what is wrong.
type Judge = Box<dyn Fn(&Played) -> Result<String> + Send + Sync>;

/// One program to run on a kernel.
pub(super) struct Part {
    /// What it is called in messages and logs.
    pub(super) name: &'static str,
    pub(super) command: Vec<String>,
    pub(super) judge: Judge,
}

impl fmt::Debug for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.name, self.command.join(" "))
    }
}

/// All of them, for these backends.
pub(super) fn all(place: &Place<'_>, backends: &[&str]) -> Vec<Part> {
    if place.is_emulated && place.depth == Depth::Default {
        return vec![prototypes::part(place), the_lineup(place, backends), rule::part(place)];
    }
    let mut parts = vec![
        prototypes::part(place),
        the_lineup(place, backends),
        who(place),
        rule::part(place),
        soak::part(place, backends),
    ];
    if place.is_end {
        parts.push(audit(place));
        parts.push(reserve(place));
    }
    // What it adds to `trace` does not depend on the kernel; lane 4 has it on another one.
    if !place.is_emulated {
        parts.push(agent(place));
        parts.push(storm(place));
        parts.push(scale(place));
        parts.push(exhaustion(place, backends));
        parts.push(advice(place, backends));
        parts.push(page(place));
        // Its load must keep a pace, which a busy machine cannot: not what decides about a change.
        if place.depth == Depth::Full {
            parts.push(odds(place));
        }
    }
    parts
}

fn the_lineup(place: &Place<'_>, backends: &[&str]) -> Part {
    let each = backends.iter().flat_map(|backend| ["--backend".to_owned(), (*backend).to_owned()]);
    let only = if place.is_emulated { place.depth.scenarios(place.arch) } else { &[] };
    let only = only.iter().flat_map(|name| ["--only".to_owned(), (*name).to_owned()]);
    let command = place.lineup(&["run", "--portwatch", place.portwatch]).into_iter().chain(each).chain(only);
    let command = command.collect();
    // Its rows are judged one by one, by `Score`.
    Part { name: LINEUP, command, judge: Box::new(|_| Ok(String::new())) }
}

/// Everybody on a port, as `portwatch who` tells it.
fn who(place: &Place<'_>) -> Part {
    let command = place.lineup(&["who", "--portwatch", place.portwatch]);
    Part { name: "who", command, judge: Box::new(|played| all_ok("who", played)) }
}

/// Listeners that a client may take the port of, as `portwatch audit` finds them.
fn audit(place: &Place<'_>) -> Part {
    let command = place.lineup(&["audit", "--portwatch", place.portwatch]);
    Part { name: "audit", command, judge: Box::new(|played| all_ok("audit", played)) }
}

/// What `portwatch reserve` makes of the kernel's list and of the files for boot. An emulated machine needs seconds for what
/// takes milliseconds here.
fn reserve(place: &Place<'_>) -> Part {
    let rounds = if place.is_emulated { "8" } else { "50" };
    let command = place.lineup(&["reserve", "--portwatch", place.portwatch, "--rounds", rounds]);
    Part { name: "reserve", command, judge: Box::new(|played| all_ok("reserve", played)) }
}

/// The odds that `portwatch audit` gives a restart, against thousands of restarts. An emulated machine is too slow for
/// the load.
fn odds(place: &Place<'_>) -> Part {
    let command = place.lineup(&["odds", "--portwatch", place.portwatch]);
    Part { name: "odds", command, judge: Box::new(|played| all_ok("odds", played)) }
}

/// Ranges without a port left: reports, numbers, and advice that is followed.
fn exhaustion(place: &Place<'_>, backends: &[&str]) -> Part {
    let mut command = place.lineup(&["exhaustion", "--portwatch", place.portwatch]);
    command.extend(backends.iter().flat_map(|backend| ["--backend".to_owned(), (*backend).to_owned()]));
    let page = project::root().join("docs/metrics.md");
    command.extend(["--page".to_owned(), page.to_string_lossy().into_owned()]);
    Part { name: "exhaustion", command, judge: Box::new(|played| all_ok("exhaustion", played)) }
}

/// The page about port conflicts: its commands print what it says they print. A virtual machine has no python3.
fn page(place: &Place<'_>) -> Part {
    let file = project::root().join("docs/port-conflicts.md");
    let command =
        place.lineup(&["document", "--portwatch", place.portwatch, "--file", &file.to_string_lossy()]);
    let judge = |played: &Played| {
        let count = |word: &str| played.lines.iter().filter(|line| line.starts_with(word)).count();
        let ok = all_ok(PAGE, played)?;
        Ok(format!("{ok}, {} skipped, {} only for readers", count("SKIP "), count("left ")))
    };
    Part { name: PAGE, command, judge: Box::new(judge) }
}

/// Every piece of advice carried out, with the first of the backends that this kernel admits. What it types needs `ss` and
/// `nsenter`, which the virtual machines have not.
fn advice(place: &Place<'_>, backends: &[&str]) -> Part {
    let each = backends.iter().flat_map(|backend| ["--backend".to_owned(), (*backend).to_owned()]);
    let command = place.lineup(&["advice", "--portwatch", place.portwatch]).into_iter().chain(each).collect();
    Part { name: "advice", command, judge: Box::new(|played| all_ok("advice", played)) }
}

/// A real agent: history, why, metrics, live tail, and what befalls it.
fn agent(place: &Place<'_>) -> Part {
    let command = place.lineup(&["agent", "--portwatch", place.portwatch]);
    Part { name: "agent", command, judge: Box::new(|played| all_ok("agent", played)) }
}

/// Some seconds of refusals, every one of which must be counted; `cargo xtask bench --part storm` is the whole of it.
fn storm(place: &Place<'_>) -> Part {
    let rest = ["--backend", "tracepoint", "--seconds", "5", "--rate", "5000"];
    let command = place.lineup(&[&["load", "storm", "--portwatch", place.portwatch], &rest[..]].concat());
    Part { name: "storm", command, judge: Box::new(|played| all_ok("storm", played)) }
}

/// A table that is too small: what does not fit must be counted. Others may bind ports meanwhile, hence the tries.
fn scale(place: &Place<'_>) -> Part {
    let rest = ["--backend", "tracepoint", "--tries", "3"];
    let command = place.lineup(&[&["load", "full", "--portwatch", place.portwatch], &rest[..]].concat());
    Part { name: "scale", command, judge: Box::new(|played| all_ok("scale", played)) }
}

/// Lines that begin with `ok` or `FAIL`; there must be some, and all must be good.
pub(super) fn all_ok(what: &str, played: &Played) -> Result<String> {
    let count = |word: &str| played.lines.iter().filter(|line| line.starts_with(word)).count();
    let (good, bad) = (count("ok "), count("FAIL "));
    ensure!(good > 0 && bad == 0 && played.code == 0, "{good} ok, {bad} failed, exit code {}", played.code);
    Ok(format!("{what}: {good} ok"))
}
