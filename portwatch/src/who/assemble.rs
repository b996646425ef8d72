//! A look and the owners → one port, told. Pure but for the lookups that describe a process.

use super::owners::Owners;
use super::{Look, PROTOCOLS, Query, View, notes};
use crate::advise::reserve_port;
use crate::correlate::{Lookups, describe_found};
use crate::model::{
    Action, Advice, AssignedBy, Evidence, HeldPort, HeldSocket, NamespaceRange, Process, Range, Role, SCHEMA,
    State, UnnamedReason,
};
use crate::owner::socket_tables::Entry;
use crate::ports::PortList;
use crate::text;
use jiff::Timestamp;
use std::net::SocketAddr;

pub(super) fn port(
    query: Query,
    look: &Look,
    owners: &Owners,
    time: Timestamp,
    lookups: &mut dyn Lookups,
) -> HeldPort {
    let mut holders = Vec::new();
    let mut advice = Vec::new();
    for view in &look.views {
        let sockets = in_view(query, view, owners, lookups);
        advice.extend(reserve(query.port, view, &sockets));
        holders.extend(sockets);
    }
    let mut unseen = look.unseen.clone();
    notes::of_holders(&mut unseen, &holders);
    HeldPort {
        schema: SCHEMA,
        time,
        port: query.port,
        protocols: PROTOCOLS.into_iter().filter(|protocol| query.wants(*protocol)).collect(),
        holders,
        namespaces: look.views.iter().map(|view| namespace(query.port, view)).collect(),
        earlier: Vec::new(),
        unseen,
        advice,
    }
}

fn namespace(port: u16, view: &View) -> NamespaceRange {
    NamespaceRange {
        netns: view.netns,
        netns_name: view.name.clone(),
        own: view.is_own,
        range: view.range.map(|(low, high)| Range {
            low,
            high,
            in_range: (low..=high).contains(&port),
            reserved: is_reserved(port, view),
        }),
    }
}

fn is_reserved(port: u16, view: &View) -> bool {
    view.reserved
        .as_deref()
        .and_then(|text| PortList::parse(text).ok())
        .is_some_and(|list| list.contains(port))
}

/// The sockets of one namespace, sorted as they are shown.
fn in_view(query: Query, view: &View, owners: &Owners, lookups: &mut dyn Lookups) -> Vec<HeldSocket> {
    let wanted = |entry: &&Entry| query.wants(entry.protocol);
    let on_port =
        view.sockets.iter().filter(|standing| standing.port == query.port).map(|standing| &standing.entry);
    let entries: Vec<&Entry> = on_port.filter(wanted).collect();
    let listeners: Vec<SocketAddr> =
        entries.iter().filter(|entry| entry.state == State::Listen).filter_map(|entry| entry.local).collect();
    let mut sockets: Vec<HeldSocket> = entries
        .into_iter()
        .map(|entry| socket(query.port, view, entry, role(entry, &listeners), owners, lookups))
        .collect();
    sockets.sort_by_cached_key(|socket| {
        let pid = socket.process.as_ref().map_or(u32::MAX, |process| process.pid);
        (socket.role, socket.protocol, pid, socket.ends_in_ms, socket.local, socket.remote)
    });
    sockets
}

/// What a socket does on the port, by its state and by who listens there.
fn role(entry: &Entry, listeners: &[SocketAddr]) -> Role {
    let is_orphan = entry.inode == 0;
    match entry.state {
        State::Listen => Role::Listener,
        State::TimeWait => Role::TimeWait,
        State::SynRecv => Role::Unaccepted,
        State::Unknown => Role::Unknown,
        state if state.is_on_its_way_out() && is_orphan => Role::Closing,
        _ if entry.remote.is_none() => Role::Bound,
        _ if entry.protocol.is_datagram() => Role::Client,
        state => match (is_covered(entry, listeners), is_orphan) {
            (true, _) if state == State::SynSent => Role::Client,
            (true, true) => Role::Unaccepted,
            (true, false) => Role::Accepted,
            (false, true) => Role::Closing,
            (false, false) => Role::Client,
        },
    }
}

/// Whether the connection can have come through one of the listeners.
fn is_covered(entry: &Entry, listeners: &[SocketAddr]) -> bool {
    let Some(local) = entry.local.map(|local| local.ip()) else { return false };
    listeners.iter().map(SocketAddr::ip).any(|listener| {
        listener.is_ipv4() == local.is_ipv4() && (listener.is_unspecified() || listener == local)
    })
}

fn socket(
    port: u16,
    view: &View,
    entry: &Entry,
    role: Role,
    owners: &Owners,
    lookups: &mut dyn Lookups,
) -> HeldSocket {
    let mut processes: Vec<Process> =
        owners.of(entry.inode).iter().map(|info| describe_found(info, lookups)).collect();
    let others = processes.split_off(processes.len().min(1));
    let process = processes.pop();
    let unnamed_reason = process.is_none().then(|| reason(view.netns, entry, role, owners));
    let in_range = view.range.is_some_and(|(low, high)| (low..=high).contains(&port));
    let came_from_here = matches!(role, Role::Client | Role::Closing | Role::TimeWait);
    let is_shared = view.sockets.iter().any(|standing| {
        standing.port == port
            && standing.entry.state == State::Listen
            && standing.entry.protocol == entry.protocol
    });
    HeldSocket {
        netns: view.netns,
        netns_name: view.name.clone(),
        protocol: entry.protocol,
        local: entry.local,
        remote: entry.remote,
        state: entry.state,
        role,
        inode: (entry.inode != 0).then_some(entry.inode),
        uid: entry.uid,
        user: entry.uid.and_then(|uid| lookups.user_name(uid)),
        evidence: process.is_some().then_some(Evidence::SocketDump),
        process,
        unnamed_reason,
        others,
        assigned_by: AssignedBy::Preexisting,
        ephemeral: in_range && came_from_here && !is_shared,
        creator: None,
        ends_in_ms: entry.ends_in_ms,
    }
}

fn reason(netns: u32, entry: &Entry, role: Role, owners: &Owners) -> UnnamedReason {
    match role {
        Role::TimeWait | Role::Closing => UnnamedReason::NotRecorded,
        Role::Unaccepted => UnnamedReason::NotAccepted,
        _ if entry.inode == 0 => UnnamedReason::NoProcess,
        _ => owners.reason(netns, entry.inode),
    }
}

/// A client that the kernel gave the port, and may give it again.
fn reserve(port: u16, view: &View, sockets: &[HeldSocket]) -> Option<Advice> {
    let is_client = |socket: &&HeldSocket| socket.ephemeral && socket.role == Role::Client;
    sockets.iter().find(is_client).filter(|_| !is_reserved(port, view))?;
    let inside = match &view.door {
        _ if view.is_own => String::new(),
        Some(door) => format!("{} ", text::command_line(&["nsenter", &format!("--net={door}")])),
        None => return None,
    };
    let why = format!(
        "keeps the kernel from choosing {port} for clients; who asks for it by number still gets it. It does not free the port now"
    );
    let commands = reserve_port(port, view.reserved.as_deref(), &inside);
    Some(Advice { action: Action::ReservePort, why, commands })
}
