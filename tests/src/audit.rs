//! `lineup audit`: real listeners inside and outside of real ranges, and the question whether `portwatch audit` finds
//! exactly those that a client may take the port of, says whose they are, and how to prevent it.

mod judge;
mod stage;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::netns::{Netns, Range};
use judge::{Named, ask, compare, find, finding, kinds, namespace, parse, portwatch, reserve, shell, words};
use stage::{Scene, Truth};

/// Nobody in particular: owns no process here.
const NOBODY: u32 = 65_534;
/// Long enough for two glances.
const SAMPLE: &str = "50ms";

/// Asks one thing, and judges the answer.
type Check = fn(&Path, &Scene) -> Result<String>;

/// Stages and compares; whether all is right.
pub(crate) fn run(program: &Path) -> Result<bool> {
    let scene = stage::set()?;
    let checks: [(&str, Check); 10] = [
        ("audit-everybody", everybody),
        ("audit-one-namespace", one_namespace),
        ("audit-configured", configured),
        ("audit-check", check),
        ("audit-without-bpf", without_bpf),
        ("audit-unprivileged", unprivileged),
        ("audit-settings", settings),
        ("audit-long-list", long_list),
        ("audit-table", table),
        // Changes what is reserved, so it is the last.
        ("audit-advice", advice),
    ];
    Ok(crate::checks::tell(checks, |check| check(program, &scene)))
}

/// All of them in both namespaces, each with its process, and nobody else.
fn everybody(program: &Path, scene: &Scene) -> Result<String> {
    let audit = ask(program, &[])?;
    let seen = compare(&audit, &scene.truth, Named::Yes)?;
    for netns in [&scene.first, &scene.second] {
        let told = namespace(&audit, netns)?;
        ensure!(told["low"] == netns.range.low && told["high"] == netns.range.high, "another range: {told}");
        let kinds = kinds(&audit, netns);
        ensure!(
            kinds.iter().any(|kind| kind == "namespaces-differ"),
            "its settings are not the host's: {kinds:?}"
        );
    }
    let first = namespace(&audit, &scene.first)?;
    let of = |protocol: &str, state: &str| {
        let all = first["protocols"].as_array().into_iter().flatten();
        all.clone().find(|one| one["protocol"] == protocol).and_then(|one| one["in_use"][state].as_u64())
    };
    let listeners = scene.listeners_in_range();
    ensure!(of("tcp", "listen") == Some(listeners), "{listeners} ports with a listener: {first}");
    let reserved = stage::RESERVED_PORT.to_string();
    ensure!(first["reserved"] == *reserved, "what is reserved: {first}");
    ensure!(first["choosable"] == 999, "a thousand less the reserved one: {first}");
    Ok(format!("{seen} listeners, {listeners} ports in use by some in the first namespace"))
}

fn one_namespace(program: &Path, scene: &Scene) -> Result<String> {
    let path = scene.second.path();
    let audit = ask(program, &["--netns", &path.to_string_lossy()])?;
    let seen = compare(&audit, &scene.of(&scene.second), Named::Yes)?;
    let count = audit["namespaces"].as_array().map_or(0, Vec::len);
    ensure!(count == 1, "{count} namespaces were looked into");
    Ok(format!("{seen} listeners"))
}

/// Ports that nobody has open: asked for, listed in a file, named in /etc/services. What is open is told once, as that.
fn configured(program: &Path, scene: &Scene) -> Result<String> {
    let list = std::env::temp_dir().join(format!("lineup-ports-{}", std::process::id()));
    std::fs::write(&list, "# ours\n42710/udp resolver\n42720-42729 workers\n8080 safe\n")?;
    let output = scene.first.within(|| {
        let mut command = Command::new(program);
        command
            .args(["audit", "-o", "json", "--sample", SAMPLE, "--netns", "self", "--check", "--file"])
            .arg(&list);
        command.args(["42700", "42050", "42300", "8080"]).stdin(Stdio::null());
        command.output().context("starting portwatch")
    })?;
    std::fs::remove_file(&list)?;
    ensure!(output.status.code() == Some(3), "findings, and it ended with {}", output.status);
    let audit: Value = serde_json::from_slice(&output.stdout).context("reading an audit")?;
    compare(&audit, &scene.of(&scene.first), Named::Yes)?;
    let all = audit["findings"].as_array().into_iter().flatten();
    let mut told: Vec<String> = all
        .filter(|told| told["kind"] == "configured-in-range" && told["configured"]["by"] != "systemd-socket")
        .map(|told| {
            let (protocol, by) = (&told["protocol"], &told["configured"]["by"]);
            format!("{} {}-{} {}", protocol, told["port"], told["last_port"], by).replace('"', "")
        })
        .collect();
    told.sort();
    let expected = ["tcp 42700-42700 command-line", "tcp 42720-42729 file", "udp 42710-42710 file"];
    ensure!(told == expected, "{expected:?} are not open, and told is {told:?}");
    has_lost(program, scene)?;
    let missing = portwatch(program, &["audit", "--file", "/nonexistent/ports"])?;
    ensure!(missing.status.code() == Some(2), "a list that is not there is wrong usage: {}", missing.status);
    let unknown = portwatch(program, &["audit", "--service", "no-such-service-here"])?;
    ensure!(unknown.status.code() == Some(2), "an unknown service is wrong usage: {}", unknown.status);
    Ok(told.join(", "))
}

/// A port that is configured and that a client has already: the next start fails for sure.
fn has_lost(program: &Path, scene: &Scene) -> Result<()> {
    let port = scene.client_port.to_string();
    let output = scene.first.within(|| {
        let mut command = Command::new(program);
        command
            .args(["audit", "-o", "json", "--sample", SAMPLE, "--netns", "self", &port])
            .stdin(Stdio::null());
        command.output().context("starting portwatch")
    })?;
    let audit = parse(&output)?;
    let all = audit["findings"].as_array().into_iter().flatten();
    let told = all.filter(|told| told["port"] == scene.client_port).collect::<Vec<_>>();
    ensure!(told.len() == 1 && told[0]["odds"]["restart"] == 1.0, "a client has {port} now: {told:?}");
    Ok(())
}

/// Exit code 3 if there is something, 0 if not, or if that kind is to be left out; 2 for nonsense.
fn check(program: &Path, scene: &Scene) -> Result<String> {
    let quiet = Netns::new(Range { low: 42_000, high: 42_999 })?;
    let code = |netns: &Netns, more: &[&str]| {
        let path = netns.path();
        let path = path.to_string_lossy();
        let words = [&["audit", "--check", "--sample", SAMPLE, "--netns", path.as_ref()], more].concat();
        portwatch(program, &words).map(|output| output.status.code())
    };
    ensure!(code(&scene.second, &[])? == Some(3), "a listener in the range is found");
    ensure!(code(&quiet, &[])? == Some(0), "a namespace without listeners has no finding");
    let without = ["--ignore", "listener-in-range"];
    ensure!(code(&scene.second, &without)? == Some(0), "there is nothing else in the second namespace");
    for wrong in [["--ignore", "everything"], ["--sample", "0s"], ["--downtime", "-1s"]] {
        ensure!(code(&quiet, &wrong)? == Some(2), "{wrong:?} is wrong usage");
    }
    let closed = portwatch(program, &["audit", "--netns", "/etc/passwd"])?;
    ensure!(closed.status.code() == Some(2), "a path that is no namespace is wrong usage");
    Ok("3, 0, 0, 2".to_owned())
}

/// Without BPF nobody knows which ports the kernel chose: TCP listeners all count, and of UDP it is said.
fn without_bpf(program: &Path, scene: &Scene) -> Result<String> {
    let path = scene.first.path();
    let audit = ask(program, &["--no-bpf", "--netns", &path.to_string_lossy()])?;
    let truth: Vec<Truth> =
        scene.of(&scene.first).into_iter().filter(|truth| truth.protocol == "tcp").collect();
    let truth: Vec<Truth> =
        truth.into_iter().map(|truth| Truth { kind: "listener-in-range", ..truth }).collect();
    let seen = compare(&audit, &truth, Named::Yes)?;
    let unseen = words(&audit);
    ensure!(unseen.contains("UDP ports"), "nothing is said of UDP: {unseen}");
    Ok(format!("{seen} listeners; says that it cannot tell UDP servers from clients"))
}

/// Who is not root sees the listeners of its namespace, not whose they are.
fn unprivileged(program: &Path, scene: &Scene) -> Result<String> {
    let file = File::open(program).with_context(|| format!("opening {}", program.display()))?;
    // Nobody may not be able to walk to the program, which a descriptor needs not.
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let output = scene.second.within(|| {
        let mut command = Command::new(&by_descriptor);
        command.args(["audit", "-o", "json", "--sample", SAMPLE, "--netns", "self"]);
        command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
        command.output().context("starting portwatch as nobody")
    })?;
    let audit = parse(&output)?;
    let seen = compare(&audit, &scene.of(&scene.second), Named::No)?;
    Ok(format!("{seen} listeners, nobody named"))
}

/// A range from 1024 on and a long block of reserved ports are told, and what is advised ends the first.
fn settings(program: &Path, _: &Scene) -> Result<String> {
    let netns = Netns::new(Range { low: 1_024, high: 65_535 })?;
    netns.within(|| reserve("50000-50199"))?;
    let path = netns.path();
    let ask = || ask(program, &["--netns", &path.to_string_lossy()]);
    let audit = ask()?;
    let wide = finding(&audit, "wide-range")?;
    let block = finding(&audit, "reserved-block")?;
    ensure!(block["port"] == 50_000 && block["last_port"] == 50_199, "another block: {block}");
    let why = block["why"].as_str().unwrap_or_default();
    ensure!(why.contains("50200") && why.contains("101 times"), "what comes after the block: {why}");
    let command = wide["advice"][0]["commands"][0].as_str().context("no command")?;
    netns.within(|| shell(command))?;
    ensure!(finding(&ask()?, "wide-range").is_err(), "the range is as wide as before: {command}");
    Ok("wide range, reserved block".to_owned())
}

/// A list that does not fit into what a small read returns.
fn long_list(program: &Path, _: &Scene) -> Result<String> {
    let netns = Netns::new(Range { low: 42_000, high: 42_999 })?;
    let all: Vec<String> = (42_000..42_900).step_by(2).map(|port| port.to_string()).collect();
    netns.within(|| reserve(&all.join(",")))?;
    let path = netns.path();
    let audit = ask(program, &["--netns", &path.to_string_lossy()])?;
    let told = namespace(&audit, &netns)?;
    ensure!(told["choosable"] == 550, "450 of 1000 ports are reserved: {told}");
    Ok("450 entries".to_owned())
}

/// Fits from 60 to 200 columns, and names the same.
fn table(program: &Path, scene: &Scene) -> Result<String> {
    let mut lines = 0;
    for form in ["table", "wide"] {
        for columns in ["60", "80", "200"] {
            let mut command = Command::new(program);
            command
                .args(["audit", "--sample", SAMPLE, "-o", form])
                .env("COLUMNS", columns)
                .env("NO_COLOR", "1");
            let output = command.output()?;
            ensure!(output.status.success(), "ended with {}", output.status);
            let text = String::from_utf8(output.stdout).context("the table is not UTF-8")?;
            let is_command =
                |line: &str| ["sysctl", "portwatch reserve"].iter().any(|word| line.contains(word));
            for line in text.lines().filter(|line| !is_command(line)) {
                ensure!(line.chars().count() <= columns.parse()?, "wider than {columns} columns: {line}");
            }
            for truth in &scene.truth {
                let pid = format!("[{}]", truth.pid);
                ensure!(text.contains(&pid), "{pid} is not in the {form} of {columns} columns:\n{text}");
            }
            lines += text.lines().count();
        }
    }
    Ok(format!("{lines} lines"))
}

/// What is advised about a listener ends the finding, in whichever namespace it is.
fn advice(program: &Path, scene: &Scene) -> Result<String> {
    let audit = ask(program, &[])?;
    let mut done = 0;
    for truth in scene.truth.iter().filter(|truth| truth.kind == "listener-in-range") {
        let told = find(&audit, truth).context("it was there a moment ago")?;
        let advice = &told["advice"][0];
        ensure!(advice["action"] == "reserve-port", "reserving comes first: {advice}");
        // Each finding's command has what was reserved when it was looked at: a person follows one, and looks again.
        let fresh = ask(program, &[])?;
        let told = find(&fresh, truth).context("it was there a moment ago")?;
        let command = told["advice"][0]["commands"][0].as_str().context("no command")?;
        shell(command)?;
        let after = ask(program, &[])?;
        ensure!(find(&after, truth).is_none(), "still at risk after {command}");
        done += 1;
    }
    let kept =
        scene.first.within(|| Ok(std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_reserved_ports")?))?;
    ensure!(kept.contains(&stage::RESERVED_PORT.to_string()), "what others reserved is gone: {kept}");
    Ok(format!("{done} ports reserved by following it"))
}
