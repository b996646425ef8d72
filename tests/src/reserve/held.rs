//! Ports that somebody has: who is named, and what `portwatch who` advises about them.

use std::fs;
use std::net::{TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::stage::{KEY, Stage, set};
use super::{expect, notes};

const PORT: u16 = 50_010;
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Whoever has the port is named, and keeps it.
pub(super) fn holder(stage: &Stage) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", PORT)).context("listening")?;
    let said = stage.json(&format!("reserve {PORT}"), 0)?;
    let own = format!("[{}]", std::process::id());
    notes(&said, "holder", &own)?;
    notes(&said, "holder", "A reservation takes it from nobody")?;
    let holder = &said["holders"][0];
    ensure!(
        holder["state"] == "LISTEN" && holder["process"]["pid"] == std::process::id(),
        "another: {holder}"
    );
    drop(listener);
    let said = stage.json(&format!("reserve {PORT}"), 0)?;
    ensure!(said["holders"] == Value::Array(Vec::new()), "somebody still: {said}");
    // Asked for by its number it is given to anybody.
    TcpListener::bind(("127.0.0.1", PORT)).context("binding a reserved port by its number")?;
    Ok(format!("named as {own}"))
}

/// A list of others that is longer than a first small read survives what `portwatch who` advises: it was once cut there.
pub(super) fn advice(stage: &Stage) -> Result<String> {
    let others: Vec<_> = (10_001..10_101).step_by(2).map(|port| port.to_string()).collect();
    let others = others.join(",");
    set(&others)?;
    let listener = TcpListener::bind("127.0.0.1:20000").context("listening")?;
    let before = fs::read(RANGE)?;
    fs::write(RANGE, format!("{PORT} {}", PORT + 1))?;
    let client = TcpStream::connect(listener.local_addr()?).context("connecting");
    let told = client.and_then(|client| {
        let port = client.local_addr()?.port();
        Ok((port, stage.run(&format!("who {port} --netns self -o json"))?.json()?))
    });
    fs::write(RANGE, before)?;
    let (port, held) = told?;
    let command = held["advice"][0]["commands"][0].as_str().with_context(|| format!("no advice: {held}"))?;
    match command.split_once(&format!("{KEY}=")) {
        Some((_, list)) => set(list)?,
        None => {
            let line = command.strip_prefix("portwatch ").with_context(|| format!("unknown: {command}"))?;
            let said = stage.run(line)?;
            ensure!(said.code == Some(0), "{command}: {}", said.err);
        }
    }
    expect(&format!("{others},{port}"))?;
    set(&others)?;
    stage.json(&format!("reserve {port}"), 0)?;
    expect(&format!("{others},{port}"))?;
    Ok(format!("{} bytes of others and the port", others.len()))
}
