//! Sockets on ports that the kernel may give away → findings, with odds and what to do.

use super::look::View;
use super::{Known, odds, remedy};
use crate::correlate::{Lookups, ProcessInfo, describe_found};
use crate::model::{Finding, FindingKind, Odds, Process, Protocol, State, UnnamedReason};
use crate::owner::socket_tables::Entry;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Workers that share a port are listed up to here.
const SHARERS: usize = 16;

/// What a socket is to its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// Somebody wants this very number.
    Wanted,
    /// The kernel chose the number for a listener.
    AnyPort,
    /// A client, which takes any.
    Client,
    /// A datagram socket of which only BPF would know.
    Doubtful,
}

/// The listeners of one namespace that lie in its range and are not reserved: one finding for all that share an address.
pub(super) fn of_sockets(
    view: &View,
    known: &Known,
    lookups: &mut dyn Lookups,
    unseen: &mut Vec<String>,
) -> Vec<Finding> {
    let mut by_address: BTreeMap<(Protocol, SocketAddr), Vec<&Entry>> = BTreeMap::new();
    for entry in &view.standing {
        if let Some(local) = entry.local.filter(|local| !view.is_reserved(local.port())) {
            by_address.entry((entry.protocol, local)).or_default().push(entry);
        }
    }
    let mut doubtful = 0;
    let mut found = Vec::new();
    for ((protocol, local), entries) in by_address {
        let kind =
            match entries.iter().map(|entry| claim(view, entry, known)).min_by_key(|claim| *claim as u8) {
                Some(Claim::Wanted) => FindingKind::ListenerInRange,
                Some(Claim::AnyPort) => FindingKind::PortZeroListener,
                claim => {
                    doubtful += usize::from(claim == Some(Claim::Doubtful));
                    continue;
                }
            };
        let standing = Finding { kind, ..standing(view, protocol, local, &entries, known, lookups) };
        found.push(match kind {
            FindingKind::ListenerInRange => at_risk(view, known, standing),
            _ => port_zero(view, standing),
        });
    }
    if doubtful > 0 {
        unseen.push(format!(
            "{doubtful} UDP ports in the range of network namespace {} may be servers' or clients': it takes BPF to tell",
            view.netns
        ));
    }
    found
}

fn claim(view: &View, entry: &Entry, known: &Known) -> Claim {
    let is_chosen = known.chosen.get(&(view.netns, entry.inode)).copied();
    match (entry.state, is_chosen) {
        (State::Listen, Some(true)) => Claim::AnyPort,
        (State::Listen, _) => Claim::Wanted,
        _ if !entry.protocol.is_datagram() => Claim::Client,
        (_, Some(false)) => Claim::Wanted,
        (_, Some(true)) => Claim::Client,
        // With BPF a socket is unknown only if it is gone, or is the kernel's own.
        (_, None) if known.chosen.is_empty() => Claim::Doubtful,
        (_, None) if entry.inode == 0 => Claim::Wanted,
        (_, None) => Claim::Client,
    }
}

/// What is known of the sockets of one address, whatever it comes to.
fn standing(
    view: &View,
    protocol: Protocol,
    local: SocketAddr,
    entries: &[&Entry],
    known: &Known,
    lookups: &mut dyn Lookups,
) -> Finding {
    let mut infos: Vec<&ProcessInfo> = Vec::new();
    for info in entries.iter().flat_map(|entry| known.processes(entry.inode)) {
        if !infos.iter().any(|known| known.id == info.id) {
            infos.push(info);
        }
    }
    infos.sort_by_key(|info| (info.id.start_ticks, info.id.tgid));
    let mut processes: Vec<Process> =
        infos.into_iter().take(SHARERS).map(|info| describe_found(info, lookups)).collect();
    let others = processes.split_off(processes.len().min(1));
    let process = processes.pop();
    let blind = entries.iter().find_map(|entry| known.holders.get(&entry.inode)?.blind);
    let unnamed_reason = process.is_none().then(|| blind.unwrap_or(UnnamedReason::NoProcess));
    Finding {
        protocol: Some(protocol),
        port: Some(local.port()),
        last_port: Some(local.port()),
        address: Some(local.ip()),
        state: entries.first().map(|entry| entry.state),
        process,
        unnamed_reason,
        others,
        ..remedy::blank(view, FindingKind::ListenerInRange)
    }
}

fn at_risk(view: &View, known: &Known, mut finding: Finding) -> Finding {
    let (Some(protocol), Some(port)) = (finding.protocol, finding.port) else { return finding };
    let Some((land, pace)) = view.land(protocol) else { return finding };
    let unit = finding.process.as_ref().and_then(|process| process.unit.as_deref());
    let odds = odds::odds(land, port, *pace, known.downtime(unit));
    finding.why = why(view, &finding, port, &odds);
    finding.advice = remedy::for_port(view, port, finding.process.as_ref());
    finding.odds = Some(odds);
    finding
}

fn why(view: &View, finding: &Finding, port: u16, odds: &Odds) -> String {
    let (low, high) = view.range.unwrap_or_default();
    let range = format!("{port} lies in {low}-{high}, out of which the kernel gives ports to clients");
    let is_first_parity = (port - low).is_multiple_of(2);
    let parity = match finding.protocol {
        Some(protocol) if protocol.is_datagram() => "",
        _ if is_first_parity => "; connect() takes the ports of its parity first",
        _ => {
            "; connect() comes to its parity only when the other is used up, bind() to port 0 begins with it"
        }
    };
    let run = match odds.run {
        0..16 => String::new(),
        run => format!(
            "; {run} ports of its parity before it are unavailable, and whoever meets them comes to this one"
        ),
    };
    let own = match odds.own_connections {
        0 => String::new(),
        count => format!(
            "; as long as one of its {count} own connections is left, in TIME_WAIT too, no client is given it"
        ),
    };
    format!("{range}{parity}{run}{own}")
}

fn port_zero(view: &View, mut finding: Finding) -> Finding {
    let port = finding.port.unwrap_or_default();
    finding.why = format!(
        "the kernel chose {port}: after a restart it is another one, which may be the port of somebody who is down just then"
    );
    finding.advice = vec![remedy::move_port(view, None)];
    finding
}
