//! Settings of a namespace that make lost ports likelier, or that are not the same everywhere.

use super::look::View;
use super::remedy;
use crate::model::{Action, Advice, Finding, FindingKind, State};
use crate::ports::PortList;
use std::collections::BTreeMap;

/// Below it lie most ports that services are configured with.
const SERVICES_END: u16 = 16_384;
/// The kernel's own.
const DEFAULT_RANGE: (u16, u16) = (32_768, 60_999);
/// Reserved ports in a row from which on it is told that the one after them is chosen more often: 33 times as often, by
/// those who connect to a peer for the first time.
const LONG_BLOCK: u16 = 64;
/// Namespaces that are listed by name.
const LISTED: usize = 4;

/// What is odd in one namespace.
pub(super) fn of_view(view: &View) -> Vec<Finding> {
    wide(view).into_iter().chain(blocks(view)).collect()
}

fn wide(view: &View) -> Option<Finding> {
    let (low, high) = view.range.filter(|(low, _)| *low < SERVICES_END)?;
    let is_listener = |port: &&u16| (low..=high).contains(*port) && !view.is_reserved(**port);
    let listeners = view.standing.iter().filter(|entry| entry.state == State::Listen);
    let mut ports: Vec<u16> = listeners.filter_map(|entry| Some(entry.local?.port())).collect();
    ports.sort_unstable();
    ports.dedup();
    let at_risk = ports.iter().filter(is_listener).count();
    let mut finding = remedy::blank(view, FindingKind::WideRange);
    finding.why = format!(
        "the ephemeral range {low}-{high} begins among the ports that services are configured with; {at_risk} listeners lie in it now"
    );
    if let Some(inside) = remedy::inside(view) {
        let (first, last) = (DEFAULT_RANGE.0, high.max(DEFAULT_RANGE.1));
        let why = format!(
            "begin at {first} again, or at {SERVICES_END} if that many ports are needed; what then still lies in the range has to be reserved"
        );
        let command = format!("{inside}sysctl -w net.ipv4.ip_local_port_range='{first} {last}'");
        finding.advice.push(Advice { action: Action::NarrowRange, why, commands: vec![command] });
    }
    Some(finding)
}

fn blocks(view: &View) -> Vec<Finding> {
    let Some((low, high)) = view.range else { return Vec::new() };
    let reserved = PortList::parse(&view.reserved).unwrap_or_default();
    let inside = reserved.ranges().iter().map(|&(first, last)| (first.max(low), last.min(high)));
    let long =
        inside.filter(|(first, last)| last.checked_sub(*first).is_some_and(|more| more + 1 >= LONG_BLOCK));
    let finding = |(first, last): (u16, u16)| {
        let count = last - first + 1;
        let after = if last < high { last + 1 } else { low };
        let mut finding = remedy::blank(view, FindingKind::ReservedBlock);
        (finding.port, finding.last_port) = (Some(first), Some(last));
        finding.why = format!(
            "{count} reserved ports in a row: a first connection to a peer that meets them ends at {after} or {}, which are chosen {} times as often as others",
            if after < high { after + 1 } else { low },
            count / 2 + 1
        );
        let why = "reserve the ports that somebody listens on instead of whole blocks; keep services off the two ports after the block";
        finding.advice.push(Advice { action: Action::Inspect, why: why.to_owned(), commands: Vec::new() });
        finding
    };
    long.map(finding).collect()
}

/// Namespaces whose settings are not those of portwatch's own: what was set on the host is not set there.
pub(super) fn differing(views: &[View]) -> Vec<Finding> {
    let Some(own) = views.iter().find(|view| view.is_own) else { return Vec::new() };
    let settings = |view: &View| (view.range, view.reserved.clone());
    let mut groups: BTreeMap<_, Vec<&View>> = BTreeMap::new();
    for view in views.iter().filter(|view| settings(view) != settings(own)) {
        groups.entry(settings(view)).or_default().push(view);
    }
    groups.into_values().map(|group| different(own, &group)).collect()
}

fn different(own: &View, group: &[&View]) -> Finding {
    let name = |view: &&View| view.name.clone().unwrap_or_else(|| view.netns.to_string());
    let mut names: Vec<String> = group.iter().take(LISTED).map(name).collect();
    if group.len() > LISTED {
        names.push(format!("{} more", group.len() - LISTED));
    }
    let among = if group.len() > 1 { format!(". So in {}", names.join(", ")) } else { String::new() };
    let first = group[0];
    let range =
        |view: &View| view.range.map_or("not known".to_owned(), |(low, high)| format!("{low}-{high}"));
    let reserved =
        |view: &View| if view.reserved.is_empty() { "none".to_owned() } else { shortened(&view.reserved) };
    let mut finding = remedy::blank(first, FindingKind::NamespacesDiffer);
    finding.why = format!(
        "range {}, reserved {}; in portwatch's own network namespace {}, {}{}",
        range(first),
        reserved(first),
        range(own),
        reserved(own),
        among
    );
    let why = "each network namespace has its own range and reserved ports: a port that is reserved on the host is not reserved there";
    finding.advice.push(Advice { action: Action::Inspect, why: why.to_owned(), commands: Vec::new() });
    finding
}

/// A list may have thousands of entries.
fn shortened(list: &str) -> String {
    const SHOWN: usize = 60;
    match list.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &list[..at]),
        None => list.to_owned(),
    }
}
