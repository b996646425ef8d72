//! Counts what the arrangements consisted of, so that a reader sees that they were not all trivial.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use portwatch::rule::{self, Endpoint, Era, Local, Table};

use super::generator::CROWDED;
use super::play::{Comparison, Met};

/// How often a thing was there when the kernel refused, and when it did not.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    refused: u64,
    allowed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Coverage {
    pub(super) refused: u64,
    allowed: u64,
    cells: BTreeMap<(&'static str, String), Cell>,
}

impl Coverage {
    pub(super) fn count(&mut self, comparison: &Comparison, era: Era) {
        let Comparison { operation, binder, holders, kernel_refused, .. } = comparison;
        let is_crowd = binder.local == Local::V4(CROWDED.octets());
        if holders.is_empty() || is_crowd {
            return; // nobody there to conflict with
        }
        let total = if *kernel_refused { &mut self.refused } else { &mut self.allowed };
        *total += 1;
        let mut add = |what, value: String| {
            let cell = self.cells.entry((what, value)).or_default();
            let count = if *kernel_refused { &mut cell.refused } else { &mut cell.allowed };
            *count += 1;
        };
        if comparison.is_let_in_unasked() {
            add("lenient", "the rule refuses, the kernel need not".to_owned());
        }
        add("operation", (*operation).to_owned());
        add(
            "sockets there",
            if holders.len() > 10 { "a crowd".to_owned() } else { holders.len().to_string() },
        );
        add("binder protocol", format!("{:?}", binder.table));
        add("binder address", words(binder.local));
        add("binder", options(binder));
        add("binder uid", binder.uid.to_string());
        for Met { fate, endpoint: holder, .. } in holders {
            add("holder came by", format!("{fate:?}"));
            add("holder address", words(holder.local));
            add("holder", options(holder));
            let owner = if holder.orphan { "nobody".to_owned() } else { holder.uid.to_string() };
            add("holder uid", owner);
            let relation = match (binder.device, holder.device) {
                (0, 0) => "none",
                (0, _) => "holder's only",
                (_, 0) => "binder's only",
                (a, b) if a == b => "the same",
                _ => "two",
            };
            add("devices", relation.to_owned());
            add("why", why(binder, holder, era).to_owned());
        }
    }

    pub(super) fn print(&self) {
        println!("{:<16} {:<42} {:>8} {:>8}", "", "", "refused", "let in");
        let mut last = "";
        for ((what, value), Cell { refused, allowed }) in &self.cells {
            let heading = if last == *what { "" } else { what };
            println!("{heading:<16} {value:<42} {refused:>8} {allowed:>8}");
            last = what;
        }
        println!("{:<16} {:<42} {:>8} {:>8}", "all", "", self.refused, self.allowed);
    }
}

/// Why these two get on, or do not, in the rule's words.
fn why(binder: &Endpoint, holder: &Endpoint, era: Era) -> &'static str {
    let conflicts = |binder: &Endpoint, holder: &Endpoint| rule::conflicts(binder, holder, era);
    let strict = Endpoint { reuse: false, reuseport: false, ..*binder };
    if conflicts(binder, holder) {
        return "conflict";
    }
    if conflicts(&strict, holder) {
        let by_reuse = !conflicts(&Endpoint { reuseport: false, ..*binder }, holder);
        return if by_reuse { "both SO_REUSEADDR" } else { "both SO_REUSEPORT" };
    }
    if binder.table != holder.table {
        return "another protocol";
    }
    let anywhere = Endpoint { device: 0, ..strict };
    if conflicts(&anywhere, holder) { "another device" } else { "addresses apart" }
}

fn words(local: Local) -> String {
    match local {
        Local::V4([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        Local::V6 { address, only } => format!("{address}{}", if only { " v6only" } else { "" }),
    }
}

fn options(endpoint: &Endpoint) -> String {
    let Endpoint { reuse, reuseport, grouped, .. } = *endpoint;
    let words = [(reuse, "reuseaddr"), (reuseport, "reuseport"), (grouped, "grouped")];
    let set: Vec<_> = words.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word).collect();
    if set.is_empty() { "no option".to_owned() } else { set.join(" ") }
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, binder, holders, kernel_refused, rule_refuses, .. } = self;
        writeln!(out, "  {operation} by {}, with on the port:", Shown(binder))?;
        for met in holders {
            writeln!(out, "    {}", Shown(&met.endpoint))?;
        }
        let answer = |refuses: bool| if refuses { "refuses" } else { "lets it in" };
        write!(out, "  the kernel {}, the rule {}", answer(*kernel_refused), answer(*rule_refuses))
    }
}

/// An endpoint in one line.
struct Shown<'a>(&'a Endpoint);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { local, device, table, uid, state, orphan, .. } = *self.0;
        let owner = if orphan { ", nobody's" } else { "" };
        let state = if table == Table::Tcp { format!(", {state}") } else { String::new() };
        write!(
            out,
            "{table:?} {}, {}, uid {uid}, device {device}{state}{owner}",
            words(local),
            options(self.0)
        )
    }
}
