//! What portwatch says, asked and compared with what is there.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::SAMPLE;
use super::stage::Truth;
use crate::netns::Netns;

/// Whether processes are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Yes,
    No,
}

/// Every socket that is there is told, right, and no other in the namespaces of the stage.
pub(super) fn compare(audit: &Value, truth: &[Truth], named: Named) -> Result<usize> {
    ensure!(audit["schema"] == 1, "another schema: {}", audit["schema"]);
    for one in truth {
        let told = find(audit, one).with_context(|| format!("not told: {one:?}"))?;
        let (pid, reason) = (&told["process"]["pid"], &told["unnamed_reason"]);
        match named {
            Named::Yes => ensure!(*pid == one.pid && reason.is_null(), "it is {one:?}, and told as {told}"),
            Named::No => ensure!(pid.is_null() && reason == "no-permission", "nobody could know: {told}"),
        }
        ensure!(told["odds"].is_null() == (one.kind == "port-0-listener"), "odds: {told}");
        ensure!(
            told["why"].as_str().is_some_and(|why| why.contains(&one.local.port().to_string())),
            "{told}"
        );
    }
    let here: Vec<u64> = truth.iter().map(|one| one.netns).collect();
    let told = ports(audit).filter(|told| told["netns"].as_u64().is_some_and(|netns| here.contains(&netns)));
    let count = told.count();
    ensure!(count == truth.len(), "{count} told, {} there: {}", truth.len(), audit["findings"]);
    Ok(count)
}

pub(super) fn find<'a>(audit: &'a Value, truth: &Truth) -> Option<&'a Value> {
    ports(audit).find(|told| {
        told["kind"] == truth.kind
            && told["netns"] == truth.netns
            && told["protocol"] == truth.protocol
            && told["port"] == truth.local.port()
            && told["address"] == truth.local.ip().to_string()
    })
}

/// The findings that are about a port.
fn ports(audit: &Value) -> impl Iterator<Item = &Value> {
    let is_port = |told: &&Value| told["kind"] == "listener-in-range" || told["kind"] == "port-0-listener";
    audit["findings"].as_array().into_iter().flatten().filter(is_port)
}

pub(super) fn finding<'a>(audit: &'a Value, kind: &str) -> Result<&'a Value> {
    let mut all = audit["findings"].as_array().into_iter().flatten();
    all.find(|told| told["kind"] == kind).with_context(|| format!("no {kind} in {}", audit["findings"]))
}

pub(super) fn kinds(audit: &Value, netns: &Netns) -> Vec<String> {
    let all = audit["findings"].as_array().into_iter().flatten().filter(|told| told["netns"] == netns.inode);
    all.filter_map(|told| told["kind"].as_str().map(str::to_owned)).collect()
}

pub(super) fn namespace<'a>(audit: &'a Value, netns: &Netns) -> Result<&'a Value> {
    let mut all = audit["namespaces"].as_array().into_iter().flatten();
    all.find(|told| told["netns"] == netns.inode)
        .with_context(|| format!("nothing of namespace {}", netns.inode))
}

pub(super) fn words(audit: &Value) -> String {
    let all = audit["unseen"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.collect::<Vec<_>>().join(" | ")
}

pub(super) fn ask(program: &Path, more: &[&str]) -> Result<Value> {
    parse(&portwatch(program, &[&["audit", "-o", "json", "--sample", SAMPLE], more].concat())?)
}

pub(super) fn parse(output: &Output) -> Result<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "portwatch ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).context("reading an audit")
}

pub(super) fn portwatch(program: &Path, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().with_context(|| format!("starting {}", program.display()))
}

pub(super) fn shell(command: &str) -> Result<()> {
    let output = Command::new("sh").args(["-c", command]).output().context("starting sh")?;
    ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

pub(super) fn reserve(list: &str) -> Result<()> {
    let path = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    std::fs::write(path, list).with_context(|| format!("writing {path}"))
}
