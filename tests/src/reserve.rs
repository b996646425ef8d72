//! `lineup reserve`: what `portwatch reserve` and `unreserve` make of a real kernel's list and of the files for boot, alone,
//! two at once, killed in between, and where the disk takes nothing.

mod boot;
mod held;
mod stage;
mod trouble;

use std::path::Path;
use std::thread;

use anyhow::{Context, Result, ensure};
use portwatch::ports::PortList;
use serde_json::Value;

use crate::netns::{Netns, Range};
use stage::{Stage, clean, list, set};

/// Odd ports are the longest list.
const LONGEST: usize = 191_052;

/// Does one thing, and judges what came of it.
type Check = fn(&Stage) -> Result<String>;

/// Where portwatch sees the processes of the host, which it must to name them.
const OUTSIDE: [(&str, Check); 2] =
    [("reserve-holder", held::holder), ("reserve-what-who-advises", held::advice)];
/// Where process 1 is in the same network namespace, for which the file for boot is.
const INSIDE: [(&str, Check); 16] = [
    ("reserve-dry-run", dry_run),
    ("reserve-undone-exactly", undone),
    ("reserve-of-others", of_others),
    ("reserve-two-at-once", two_at_once),
    ("reserve-longest-list", longest),
    ("reserve-namespace", namespace),
    ("reserve-refused", trouble::refused),
    ("reserve-unprivileged", trouble::unprivileged),
    ("reserve-columns", trouble::columns),
    ("reserve-boot", boot::persist),
    ("reserve-boot-others", boot::others),
    ("reserve-boot-after", boot::after_boot),
    ("reserve-boot-link", boot::link),
    ("reserve-half-done", trouble::half_done),
    ("reserve-killed", trouble::killed),
    ("reserve-unfinished", trouble::unfinished),
];

/// Stages and compares; whether all is right.
pub(crate) fn run(program: &Path, rounds: u16) -> Result<bool> {
    let stage = Stage { program: program.canonicalize().context("finding portwatch")?, rounds };
    if std::env::var_os(stage::INSIDE).is_some() {
        stage::mount_proc()?;
        return Ok(play(&stage, &INSIDE));
    }
    stage::set_up()?;
    let is_good = play(&stage, &OUTSIDE);
    Ok(stage::start_inside()?.success() && is_good)
}

fn play(stage: &Stage, checks: &[(&str, Check)]) -> bool {
    let mut failed = 0;
    for (name, check) in checks {
        match clean().and_then(|()| check(stage)) {
            Ok(words) => println!("ok {name} {words}"),
            Err(error) => {
                failed += 1;
                println!("FAIL {name} {}", cut(&format!("{error:#}")));
            }
        }
    }
    failed == 0
}

/// A list may have 191,052 bytes, and a line of a log should not.
fn cut(text: &str) -> String {
    const SHOWN: usize = 600;
    let shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() { format!("{shown}… ({} bytes)", text.len()) } else { shown }
}

/// The kernel's list must be this one.
pub(super) fn expect(wanted: &str) -> Result<()> {
    let list = list()?;
    ensure!(list == wanted, "the list is {list}, not {wanted}");
    Ok(())
}

/// Whether a note of this kind says this.
pub(super) fn notes(outcome: &Value, about: &str, part: &str) -> Result<()> {
    let mut notes = outcome["notes"].as_array().into_iter().flatten();
    let is_said = notes.any(|note| note["about"] == about && note.to_string().contains(part));
    ensure!(is_said, "no note {about} says {part}: {outcome}");
    Ok(())
}

/// Says it all and changes nothing.
fn dry_run(stage: &Stage) -> Result<String> {
    set("8080,9000-9010")?;
    let said = stage.json("reserve --persist --dry-run 9005 50010", 0)?;
    let kernel = &said["kernel"];
    ensure!(kernel["before"] == "8080,9000-9010" && kernel["after"] == "8080,9000-9010,50010", "{said}");
    ensure!(kernel["added"] == "50010" && said["dry_run"] == true, "{said}");
    let lines = said["file"]["difference"].to_string();
    ensure!(lines.contains("+net.ipv4.ip_local_reserved_ports = 9005,50010"), "{said}");
    ensure!(!Path::new(stage::FILE).exists() && !Path::new("/run/portwatch-reserve").exists(), "it wrote");
    expect("8080,9000-9010")?;
    Ok("the difference is told and nothing is changed".to_owned())
}

fn undone(stage: &Stage) -> Result<String> {
    set("8080,9000-9010")?;
    let said = stage.json("reserve 9005 50010-50011 9011", 0)?;
    notes(&said, "already", "9005")?;
    notes(&said, "explicit-binds", "by its number")?;
    expect("8080,9000-9011,50010-50011")?;
    stage.json("reserve 50010", 0)?;
    let said = stage.json("unreserve 9005 50010-50011 9011 7", 0)?;
    notes(&said, "already", "7")?;
    notes(&said, "kept", "9005")?;
    expect("8080,9000-9010")?;
    Ok("what others had reserved is as it was".to_owned())
}

/// Not asked for, not portwatch's: it stays, and that is a failure that says how.
fn of_others(stage: &Stage) -> Result<String> {
    set("8080")?;
    stage.json("reserve 50010", 0)?;
    let said = stage.json("unreserve 8080 50010", 1)?;
    notes(&said, "kept", "portwatch unreserve --force 8080")?;
    expect("8080")?;
    stage.json("unreserve --force 8080", 0)?;
    expect("")?;
    Ok("taken out only by force".to_owned())
}

/// Two workers, then one that reserves and one that takes out: nobody loses anything.
fn two_at_once(stage: &Stage) -> Result<String> {
    set("8080")?;
    // Blocks, whose holders are not looked for: that would only take time.
    let block = |at: u16| format!("{}-{}", 10_000 + at * 20, 10_000 + at * 20 + 16);
    let rounds = stage.rounds;
    let all = |what: &str, first: u16| -> Result<()> {
        (first..first + rounds).try_for_each(|at| stage.json(&format!("{what} {}", block(at)), 0).map(|_| ()))
    };
    let both = |one: (&str, u16), other: (&str, u16)| {
        thread::scope(|scope| {
            let second = scope.spawn(|| all(other.0, other.1));
            all(one.0, one.1).and(second.join().expect("a worker does not panic"))
        })
    };
    let expected = |from: u16, to: u16| -> Result<String> {
        let text = (from..to).fold("8080".to_owned(), |text, at| format!("{text},{}", block(at)));
        Ok(PortList::parse(&text)?.to_string())
    };
    both(("reserve --persist", 0), ("reserve --persist", rounds))?;
    expect(&expected(0, 2 * rounds)?)?;
    both(("unreserve --persist", 0), ("reserve --persist", 2 * rounds))?;
    expect(&expected(rounds, 3 * rounds)?)?;
    let file = std::fs::read_to_string(stage::FILE)?;
    let told = expected(rounds, 3 * rounds)?.replacen("8080,", "", 1);
    ensure!(file.ends_with(&format!("= {told}\n")), "the file has lost something: {file}");
    Ok(format!("{} changes, all of them in the list and in the file", 4 * rounds))
}

/// Every second port, there and back: the list and the file.
fn longest(stage: &Stage) -> Result<String> {
    let odd = |from: u16, to: u16| {
        let ports: Vec<_> = (from..=to).step_by(2).map(|port| port.to_string()).collect();
        ports.join(",")
    };
    // One argument has room for 128 KiB.
    let line = format!("{} {}", odd(1, 29_999), odd(30_001, u16::MAX));
    let said = stage.json(&format!("reserve --persist {line}"), 0)?;
    notes(&said, "cut-at-boot", "4.0.2")?;
    let whole = odd(1, u16::MAX);
    ensure!(list()? == whole && whole.len() == LONGEST, "{} bytes came of {LONGEST}", list()?.len());
    stage.json("reserve 40000", 0)?;
    let said = stage.json("unreserve 40000", 0)?;
    ensure!(said["kernel"]["removed"] == "40000", "more is gone: {}", said["kernel"]["removed"]);
    ensure!(list()? == whole, "something is lost");
    stage.json(&format!("unreserve --persist {line}"), 0)?;
    expect("")?;
    ensure!(!Path::new(stage::FILE).exists(), "the file is still there");
    Ok(format!("{LONGEST} bytes"))
}

/// Another namespace has a list of its own, and no file.
fn namespace(stage: &Stage) -> Result<String> {
    let other = Netns::new(Range { low: 42_000, high: 42_009 })?;
    let path = other.path().to_string_lossy().into_owned();
    stage.json(&format!("reserve --netns {path} 42001"), 0)?;
    expect("")?;
    ensure!(other.within(list)? == "42001", "not in the namespace");
    let said = stage.run(&format!("reserve --netns {path} 42000-42009"))?;
    ensure!(said.code == Some(2) && said.err.contains("none would be left"), "{}", said.err);
    let said = stage.run(&format!("reserve --persist --netns {path} 42002"))?;
    ensure!(said.code == Some(2) && said.err.contains("process 1"), "{}", said.err);
    stage.json(&format!("unreserve --netns {path} 42001"), 0)?;
    ensure!(other.within(list)?.is_empty(), "still in the namespace");
    // Seen from in there, the file is another namespace's too.
    let own = other.within(|| stage.run("reserve --persist 42003"))?;
    ensure!(own.code == Some(2) && own.err.contains("nsenter --net=/proc/1/ns/net"), "{}", own.err);
    Ok("its list only, and no file for it".to_owned())
}
