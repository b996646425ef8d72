//! What must be reported, number by number.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::stage::Held;
use crate::netns::Range;

/// Ports by state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InUse {
    pub(super) listen: u32,
    pub(super) established: u32,
    pub(super) bound: u32,
    pub(super) time_wait: u32,
}

impl InUse {
    fn total(&self) -> u32 {
        self.listen + self.established + self.bound + self.time_wait
    }
}

/// A destination, its ports, and how many of them in TIME_WAIT.
pub(super) type Towards = (SocketAddr, u32, u32);

/// What really has the ports.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    pub(super) range: Range,
    pub(super) reserved: u32,
    pub(super) reserved_list: &'static str,
    pub(super) in_use: InUse,
    pub(super) unavailable: u32,
    /// Of the refused call.
    pub(super) destination: Option<Towards>,
    /// Beside that.
    pub(super) others: Vec<Towards>,
    /// The largest first.
    pub(super) holders: Vec<Held>,
}

impl Truth {
    pub(super) fn of(range: Range) -> Self {
        Self {
            range,
            reserved: 0,
            reserved_list: "",
            in_use: InUse::default(),
            unavailable: 0,
            destination: None,
            others: Vec::new(),
            holders: Vec::new(),
        }
    }

    pub(super) fn destination_json(&self) -> Value {
        self.destination.map_or(Value::Null, towards)
    }
}

fn towards((to, ports, time_wait): Towards) -> Value {
    json!({"local": "127.0.0.1", "remote": to.to_string(), "ports": ports, "time_wait": time_wait})
}

/// Compares every number; what was compared, in words.
pub(super) fn compare(report: &Value, truth: &Truth) -> Result<String> {
    let told = &report["exhaustion"];
    let size = u32::from(truth.range.high - truth.range.low) + 1;
    let ports = size - truth.reserved;
    let mut destinations: Vec<_> =
        truth.destination.iter().chain(&truth.others).filter(|(_, ports, _)| *ports > 0).collect();
    destinations.sort_by_key(|(_, ports, _)| std::cmp::Reverse(*ports));
    let InUse { listen, established, bound, time_wait } = truth.in_use;
    let expected = [
        ("low", json!(truth.range.low)),
        ("high", json!(truth.range.high)),
        ("reserved", json!(truth.reserved)),
        ("reserved_list", json!(truth.reserved_list)),
        ("ports", json!(ports)),
        (
            "in_use",
            json!({"listen": listen, "established": established, "bound": bound, "closing": 0, "time_wait": time_wait}),
        ),
        ("close_wait", json!(0)),
        ("unavailable", json!(truth.unavailable)),
        ("shared", json!(truth.in_use.total() - truth.unavailable)),
        ("destination", truth.destination_json()),
        ("destinations", destinations.into_iter().copied().map(towards).collect()),
        ("unseen", json!([])),
    ];
    for (name, value) in &expected {
        ensure!(told[*name] == *value, "exhaustion.{name} is {}, not {value}", told[*name]);
    }
    let holders: Vec<Held> = report["holders"].as_array().into_iter().flatten().filter_map(held).collect();
    ensure!(holders == truth.holders, "holders are {holders:?}, not {:?}", truth.holders);
    Ok(format!(
        "{} of {ports} ports in use, {} numbers right",
        truth.in_use.total(),
        expected.len() + holders.len()
    ))
}

fn held(holder: &Value) -> Option<Held> {
    let number = |value: &Value| u32::try_from(value.as_u64()?).ok();
    Some(Held { pid: number(&holder["process"]["pid"])?, sockets: number(&holder["sockets"])? })
}

/// A list of texts.
pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}
