//! `lineup who`: puts every kind of holder on ports of two namespaces, and compares what `portwatch who` says of them.
//!
//! The answer must have each of them, named right or with the right reason, and nobody else.

mod judge;
mod stage;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use judge::Known;
use stage::{FREE_PORT, Scene};

/// Nobody in particular: owns no process here.
const NOBODY: u32 = 65_534;
/// What portwatch says where it cannot see sockets that are only bound.
const BOUND_UNSEEN: &str = "TCP sockets that are only bound";

/// Asks one thing, and judges the answer.
type Check = fn(&Path, &Scene) -> Result<String>;

/// Stages and compares; whether all is right.
pub(crate) fn run(program: &Path) -> Result<bool> {
    let scene = stage::set()?;
    let checks: [(&str, Check); 6] = [
        ("who-everybody", everybody),
        ("who-without-bpf", without_bpf),
        ("who-one-namespace", one_namespace),
        ("who-one-protocol", one_protocol),
        ("who-unprivileged", unprivileged),
        ("who-table", table),
    ];
    Ok(crate::checks::tell(checks, |check| check(program, &scene)))
}

/// All of them, in both namespaces, those that are only bound on kernels whose sock_diag does not tell of them too.
fn everybody(program: &Path, scene: &Scene) -> Result<String> {
    let answers = ask(program, scene, &[])?;
    let seen = judge::compare(&answers, &scene.truth, Known::Everything)?;
    let unseen = words(&answers);
    ensure!(!unseen.contains(BOUND_UNSEEN), "bound-only sockets are not seen: {unseen}");
    ensure!(unseen.contains("no portwatch agent runs"), "nothing is said about earlier holders: {unseen}");
    let nobody = answer(&answers, FREE_PORT)?;
    ensure!(nobody["holders"] == Value::Array(Vec::new()), "somebody on a free port: {nobody}");
    Ok(format!("{seen} sockets on {} ports", scene.ports().len()))
}

/// The same, but for bound-only sockets where the kernel tells only BPF of them. Then that must be said.
fn without_bpf(program: &Path, scene: &Scene) -> Result<String> {
    let answers = ask(program, scene, &["--no-bpf"])?;
    let is_blind = words(&answers).contains(BOUND_UNSEEN);
    let known = if is_blind { Known::ButBound } else { Known::Everything };
    let truth: Vec<_> = scene.truth.iter().filter(|truth| !truth.is_for_bpf_only()).cloned().collect();
    let seen = judge::compare(&answers, &truth, known)?;
    Ok(format!("{seen} sockets{}", if is_blind { "; says that it sees no bound-only ones" } else { "" }))
}

fn one_namespace(program: &Path, scene: &Scene) -> Result<String> {
    let path = scene.second.path();
    let answers = ask(program, scene, &["--netns", &path.to_string_lossy()])?;
    let inside: Vec<_> =
        scene.truth.iter().filter(|truth| truth.netns == scene.second.inode).cloned().collect();
    let seen = judge::compare(&answers, &inside, Known::Everything)?;
    Ok(format!("{seen} sockets in the second namespace, none of the first"))
}

fn one_protocol(program: &Path, scene: &Scene) -> Result<String> {
    let port = stage::SERVER_PORT;
    let output = portwatch(program, &["who", &format!("{port}/udp"), "-o", "json"])?;
    let answers = parse(&output)?;
    let inside: Vec<_> =
        scene.truth.iter().filter(|t| t.local.port() == port && t.protocol == "udp").cloned().collect();
    ensure!(!inside.is_empty() && inside.len() < scene.truth.len(), "the stage has no such socket");
    let seen = judge::compare(&answers, &inside, Known::Everything)?;
    Ok(format!("{seen} sockets"))
}

/// Without privileges the sockets of its own namespace are seen, the processes of others are not, and that is said.
fn unprivileged(program: &Path, scene: &Scene) -> Result<String> {
    let file = File::open(program).with_context(|| format!("opening {}", program.display()))?;
    // Nobody may not be able to walk to the program, which a descriptor needs not.
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let port = stage::SERVER_PORT.to_string();
    let output = scene.first.within(|| {
        let mut command = Command::new(&by_descriptor);
        command.args(["who", &port, "-o", "json"]).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
        command.output().context("starting portwatch as nobody")
    })?;
    let answers = parse(&output)?;
    let inside: Vec<_> = scene
        .truth
        .iter()
        .filter(|truth| truth.netns == scene.first.inode && truth.local.port() == stage::SERVER_PORT)
        .map(judge::Truth::hidden)
        .collect();
    let seen = judge::compare(&answers, &inside, Known::Everything)?;
    let unseen = words(&answers);
    ensure!(unseen.contains("as root"), "nothing says that root would see more: {unseen}");
    Ok(format!("{seen} sockets, nobody named"))
}

/// The table names the same processes, fits 80 columns, and says it in a sentence when nobody holds a port.
fn table(program: &Path, scene: &Scene) -> Result<String> {
    let mut arguments = vec!["who".to_owned()];
    arguments.extend(scene.ports().iter().map(u16::to_string));
    let mut command = Command::new(program);
    let output = command.args(&arguments).env("COLUMNS", "80").env("NO_COLOR", "1").output()?;
    ensure!(output.status.success(), "ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("the table is not UTF-8")?;
    for line in text.lines().filter(|line| !line.contains("prevent:")) {
        ensure!(line.chars().count() <= 80, "wider than 80 columns: {line}");
    }
    for process in scene.truth.iter().filter_map(|truth| truth.process.as_ref()) {
        let name = format!("{}[{}]", String::from_utf8_lossy(&process.comm), process.pid);
        ensure!(text.contains(&name), "{name} is not in the table:\n{text}");
    }
    ensure!(text.contains(&format!("port {FREE_PORT}: nobody holds it")), "no sentence for nobody:\n{text}");
    ensure!(text.contains("ends in "), "TIME_WAIT does not say when it ends:\n{text}");
    let wrong = Command::new(program).args(["who", "0"]).output()?;
    ensure!(wrong.status.code() == Some(2), "port 0 is wrong usage, and ended with {}", wrong.status);
    Ok(format!("{} lines", text.lines().count()))
}

fn ask(program: &Path, scene: &Scene, more: &[&str]) -> Result<Vec<Value>> {
    let ports: Vec<String> = scene.ports().iter().map(u16::to_string).collect();
    let mut arguments = vec!["who", "-o", "json"];
    arguments.extend(more);
    arguments.extend(ports.iter().map(String::as_str));
    let answers = parse(&portwatch(program, &arguments)?)?;
    ensure!(answers.len() == ports.len(), "{} answers about {} ports", answers.len(), ports.len());
    Ok(answers)
}

fn portwatch(program: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().with_context(|| format!("starting {}", program.display()))
}

fn parse(output: &Output) -> Result<Vec<Value>> {
    if !output.status.success() {
        bail!("portwatch ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).context("reading an answer")).collect()
}

fn answer(answers: &[Value], port: u16) -> Result<&Value> {
    answers.iter().find(|answer| answer["port"] == port).with_context(|| format!("no answer about {port}"))
}

/// Everything that the answers say was not seen.
fn words(answers: &[Value]) -> String {
    let lists = answers.iter().filter_map(|answer| answer["unseen"].as_array());
    let words: Vec<_> = lists.flatten().filter_map(Value::as_str).collect();
    words.join(" | ")
}
