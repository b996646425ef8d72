//! What to do about a finding, with the exact commands for its network namespace.

use super::look::View;
use crate::advise::reserve_port;
use crate::model::{Action, Advice, Finding, FindingKind, Process};
use crate::owner::free_port::candidates;
use crate::ports::PortList;
use crate::text;

/// A finding of a namespace of which nothing else is known yet.
pub(super) fn blank(view: &View, kind: FindingKind) -> Finding {
    Finding {
        kind,
        netns: view.netns,
        netns_name: view.name.clone(),
        protocol: None,
        port: None,
        last_port: None,
        address: None,
        state: None,
        process: None,
        unnamed_reason: None,
        others: Vec::new(),
        configured: None,
        odds: None,
        why: String::new(),
        advice: Vec::new(),
    }
}

/// For a port that a client may be given.
pub(super) fn for_port(view: &View, port: u16, process: Option<&Process>) -> Vec<Advice> {
    let mut all = Vec::new();
    let contained = process.is_some_and(|process| process.container.is_some());
    if let Some(inside) = inside(view) {
        let mut why =
            format!("keeps the kernel from choosing {port}; whoever asks for it by number still gets it");
        if !view.is_own || contained {
            why.push_str(
                ". It ends with the network namespace: put the sysctl into the container's or pod's settings",
            );
        }
        let commands = reserve_port(port, Some(&view.reserved), &inside);
        all.push(Advice { action: Action::ReservePort, why, commands });
    }
    all.push(move_port(view, Some(port)));
    all
}

/// For ports of which there are many.
pub(super) fn for_ports(view: &View, first: u16, last: u16) -> Vec<Advice> {
    let Some(inside) = inside(view) else { return Vec::new() };
    let mut list = PortList::parse(&view.reserved).unwrap_or_default();
    list.insert(first, last);
    let why = format!(
        "keeps the kernel from choosing one of {first}-{last}; better still, begin the ephemeral range above them: whoever meets a long block of reserved ports comes to the one after it"
    );
    let commands = vec![format!("{inside}sysctl -w net.ipv4.ip_local_reserved_ports={list}")];
    vec![Advice { action: Action::ReservePort, why, commands }]
}

/// To a number that the kernel does not give away.
pub(super) fn move_port(view: &View, from: Option<u16>) -> Advice {
    let (low, high) = view.range.unwrap_or_default();
    let free = match free_port(view, from) {
        Some(port) => format!("; {port} is free now"),
        None => String::new(),
    };
    let why = format!("configure a port outside {low}-{high}: it is never given to a client{free}");
    Advice { action: Action::ChangePort, why, commands: Vec::new() }
}

/// The next number outside the range that nobody stands on.
fn free_port(view: &View, from: Option<u16>) -> Option<u16> {
    let (low, high) = view.range?;
    candidates(from.unwrap_or(low), low, high).find(|port| view.taken.binary_search(port).is_err())
}

/// What comes before a command that acts in the namespace; `None` where no way in is known.
pub(super) fn inside(view: &View) -> Option<String> {
    match &view.door {
        _ if view.is_own => Some(String::new()),
        Some(door) => Some(format!("{} ", text::command_line(&["nsenter", &format!("--net={door}")]))),
        None => None,
    }
}
