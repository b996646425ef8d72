//! Connections a second on this very kernel, with portwatch and without, in pairs.

use std::fmt::Write as _;

use anyhow::Result;

use super::facts::{here, this_machine, words};
use super::{Args, Section};

const CLIENTS: [&str; 2] = ["1", "8"];

pub(super) fn section(_: &Args) -> Result<Section> {
    let facts =
        here(&CLIENTS.map(|clients| words("load live", &["--backend", "tracepoint", "--clients", clients])))?;
    let mut out = format!("{}:\n\n", this_machine()?);
    out.push_str(
        "| backend | clients | pairs | connections a second without | with | ratio | processor time a connection without, µs | with | ratio |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let keys = [
        "backend",
        "clients",
        "pairs",
        "without_rate",
        "with_rate",
        "rate_ratio",
        "without_us",
        "with_us",
        "cpu_ratio",
    ];
    for facts in facts.iter().filter(|facts| facts.is_about("live")) {
        for key in keys {
            write!(out, "| {} ", facts.word(key)?)?;
        }
        out.push_str("|\n");
    }
    Ok(Section { text: out, faults: Vec::new() })
}
