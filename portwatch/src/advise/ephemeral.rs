//! What to do about somebody who got the port from the kernel.

use super::{Situation, advice, command};
use crate::model::{Action, Advice, Conflict, Holder, Protocol, State};

/// Beside a reservation.
pub(super) fn ephemeral(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let mut all: Vec<_> = reuse(conflict, situation, holder).into_iter().collect();
    all.extend(free(conflict, situation, holder));
    match will_not_come_again(conflict) {
        Some(why) => all.push(advice(Action::Inspect, why, Vec::new())),
        None => all.extend(leave(conflict, situation)),
    }
    all
}

/// Why the kernel will not hand the port out again, where that is so.
fn will_not_come_again(conflict: &Conflict) -> Option<String> {
    if !conflict.range.in_range {
        return Some(format!(
            "{} lies outside the present ephemeral range: it was given when the range was another, and will not be again",
            conflict.port
        ));
    }
    conflict.range.reserved.then(|| {
        "the port is reserved by now, and was given before: once the holder lets go it stays free".to_owned()
    })
}

/// Frees the port now. Only for who got it from the kernel: they work as well with any other.
pub(super) fn free(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let process = holder.process.as_ref().filter(|_| holder.alive);
    let may_hold = holder.alive || holder.process.is_none() || situation.outlived;
    let destroy = command::destroy(conflict, situation, holder).filter(|_| may_hold);
    let restart = process.and_then(command::restart);
    let is_tcp_client = holder.remote.is_some() && conflict.protocol == Protocol::Tcp;
    let is_service = process.filter(|process| process.pid != 1).map(|p| command::service(p).is_some());
    let by_process = match (is_service, is_tcp_client) {
        (None, _) => "frees the port now by ending the connection",
        (Some(true), false) => "frees the port now: the holder comes back with another one",
        (Some(false), false) => {
            "frees the port now by ending the holder, which may be started again and gets another one"
        }
        // Whoever closes first keeps the port, dead or not.
        (Some(true), true) => {
            "restarts the holder, which comes back with another port; its closed connection keeps this one for up to 60 seconds more (TIME_WAIT)"
        }
        (Some(false), true) => {
            "ends the holder, which may be started again and gets another port; its closed connection keeps this one for up to 60 seconds more (TIME_WAIT)"
        }
    };
    if situation.destroys == Some(true) && destroy.is_some() {
        let why =
            "frees the port now by ending this one connection: the holder goes on, and may open another";
        let one = advice(Action::FreePort, why, destroy.into_iter().collect());
        let other = restart.map(|command| advice(Action::FreePort, by_process, vec![command]));
        return std::iter::once(one).chain(other).collect();
    }
    let commands: Vec<_> = restart.into_iter().chain(destroy).collect();
    let mut why = by_process.to_owned();
    if commands.iter().any(|command| command.contains("ss -K")) {
        why.push_str("; ss -K ends only the connection, and at once, where the kernel has INET_DIAG_DESTROY");
    }
    if commands.is_empty() { Vec::new() } else { vec![advice(Action::FreePort, why, commands)] }
}

/// Keeps the service out of the way of clients: by another port, or by being there first.
pub(super) fn leave(conflict: &Conflict, situation: &Situation) -> Vec<Advice> {
    [change(conflict, situation), order(conflict)].into_iter().flatten().collect()
}

fn change(conflict: &Conflict, situation: &Situation) -> Option<Advice> {
    let free = situation.free_port?;
    let useless = match situation.holder_reuses {
        Some(true) => "",
        Some(false) => ". SO_REUSEADDR on its socket would not help: the client's socket has not set it",
        None => {
            ". SO_REUSEADDR on its socket helps only if the client had set it too, which clients seldom do"
        }
    };
    let why = format!(
        "port {free} is free and outside the ephemeral range: configured to use it, the service meets no client{useless}"
    );
    (conflict.range.in_range && !conflict.range.reserved).then(|| advice(Action::ChangePort, why, Vec::new()))
}

/// SO_REUSEADDR, where it helps: if the client's socket has set it too.
pub(super) fn reuse(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Option<Advice> {
    let is_client = holder.remote.is_some() && holder.state != State::Listen;
    let is_missing = situation.victim_reuses == Some(false) && situation.holder_reuses == Some(true);
    let why =
        "SO_REUSEADDR on the service's socket lets it start beside the client, whose socket has set it too";
    (is_client && is_missing && conflict.protocol == Protocol::Tcp)
        .then(|| advice(Action::SetOption, why, Vec::new()))
}

/// For services of systemd: be there before the clients.
fn order(conflict: &Conflict) -> Option<Advice> {
    let unit = command::service(&conflict.victim)?;
    let listen = if conflict.protocol.is_datagram() { "ListenDatagram" } else { "ListenStream" };
    let wanted = conflict.wanted();
    let stem = unit.strip_suffix(".service").unwrap_or(unit);
    let mut why = format!(
        "{stem}.socket with {listen}={wanted} in [Socket] has systemd take the port at boot and keep it while {unit} restarts, if the program accepts sockets from systemd"
    );
    let thief = conflict.culprit().and_then(|holder| holder.process.as_ref()).and_then(command::service);
    if let Some(thief) = thief.filter(|thief| *thief != unit) {
        why.push_str(&format!(
            ". Before={thief} in the [Unit] of {unit} has it start first at boot, and does not help when it restarts alone"
        ));
    }
    Some(advice(Action::StartOrder, why, Vec::new()))
}
