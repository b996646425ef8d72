//! Whether the holder still has the port, and who has it now.

use super::present::{Hold, Life, Present, is_victims};
use super::words;
use crate::model::{Conflict, HeldSocket, Role, State};
use crate::ports::PortList;

/// Sockets on the port that are told one by one.
const SHOWN: usize = 3;

/// What became of the holder, and who has the port now.
pub(super) fn standing(conflict: &Conflict, present: &Present) -> String {
    if conflict.port == 0 {
        return hoarder(conflict, present);
    }
    let mut sentences = vec![fate(conflict, present)];
    let is_told = present.process != Life::Ended && present.socket == Hold::Holds;
    if present.sees(conflict) && !is_told {
        sentences.push(holders(conflict, present));
    }
    sentences.extend(is_reserved_since(conflict, present).then(|| {
        format!("Port {} is reserved by now: the kernel gives it to no more clients.", conflict.port)
    }));
    sentences.retain(|sentence| !sentence.is_empty());
    sentences.join(" ")
}

/// Of an exhausted range: whoever had most of it.
fn hoarder(conflict: &Conflict, present: &Present) -> String {
    let who = conflict.culprit().and_then(|holder| holder.process.as_ref()).map(words::who);
    let life = match (who, present.process) {
        (_, _) if present.rebooted => "The machine was started again since. ".to_owned(),
        (Some(who), Life::Runs) => format!("{who} still runs. "),
        (Some(who), Life::Ended) => format!("{who} has ended. "),
        _ => String::new(),
    };
    match &present.range {
        Some(full) => format!("{life}Of its {} ports {} are in use now.", full.ports, full.in_use.total()),
        None => format!("{life}How full the range is now could not be looked at; `ss -s` counts sockets."),
    }
}

fn fate(conflict: &Conflict, present: &Present) -> String {
    if present.rebooted {
        return "The machine was started again since: what held the port then is gone.".to_owned();
    }
    let Some(holder) = conflict.culprit() else { return String::new() };
    let who = match &holder.process {
        Some(process) => format!("{} (pid {})", crate::text::printable(&process.comm), process.pid),
        None => "Whoever had it".to_owned(),
    };
    let taken =
        format!("the port is taken{}, and the next attempt would fail as well", ends(conflict, present));
    let is_out = holder.state == State::TimeWait || holder.state.is_on_its_way_out();
    match (present.process, present.socket) {
        (Life::Runs, Hold::Holds) if is_out => {
            format!("{who} still runs. Its closed connection is still there: {taken}.")
        }
        (Life::Runs, Hold::Holds) => format!("{who} still runs and still has the socket: {taken}."),
        (Life::Runs, Hold::HoldsAnother) => {
            format!("{who} still runs, and has the port again by another socket.")
        }
        (Life::Runs, Hold::LetGo) => format!("{who} still runs, but has let go of the port."),
        (Life::Runs, Hold::NotSeen) => {
            format!(
                "{who} still runs. Whether it still has the port cannot be seen: {}.",
                hidden(conflict, present)
            )
        }
        (Life::Ended, Hold::Holds | Hold::HoldsAnother) => {
            format!("{who} has ended, but its socket is still there: {taken}.")
        }
        (Life::Ended, Hold::LetGo) => format!("{who} has ended, and its socket is gone."),
        (Life::Ended, Hold::NotSeen) => format!("{who} has ended."),
        (Life::Unknown | Life::Unnamed, Hold::Holds) => format!("The same socket is still there: {taken}."),
        (Life::Unknown | Life::Unnamed, Hold::HoldsAnother) => {
            format!("{who} has the port again by another socket.")
        }
        (Life::Unknown | Life::Unnamed, Hold::LetGo) => "The socket that was in the way is gone.".to_owned(),
        (Life::Unknown | Life::Unnamed, Hold::NotSeen) if present.sees(conflict) => String::new(),
        (Life::Unknown | Life::Unnamed, Hold::NotSeen) => {
            format!("Whether the port is still taken cannot be seen: {}.", hidden(conflict, present))
        }
    }
}

/// When TIME_WAIT ends.
fn ends(conflict: &Conflict, present: &Present) -> String {
    let ends = present.holders(conflict).filter_map(|held| held.ends_in_ms).max();
    ends.map_or_else(String::new, |ms| format!(" for {} s more", ms.div_ceil(1_000)))
}

/// Why nothing is seen of the port.
fn hidden(conflict: &Conflict, present: &Present) -> String {
    match &present.port {
        None => "it was not looked at".to_owned(),
        Some(_) => format!("network namespace {} is gone, or may not be entered from here", conflict.netns),
    }
}

fn holders(conflict: &Conflict, present: &Present) -> String {
    let all: Vec<&HeldSocket> = present.holders(conflict).collect();
    if all.is_empty() && present.socket == Hold::Holds {
        return String::new();
    }
    if all.is_empty() {
        return format!("Nobody has {} port {} now.", conflict.protocol, conflict.port);
    }
    if let Some(mine) = all.iter().find(|held| is_victims(held, conflict)) {
        let who = words::called(&conflict.victim);
        let pid = mine.process.as_ref().map_or_else(String::new, |process| format!(" (pid {})", process.pid));
        return format!("{who}{pid} has got the port by now.");
    }
    let mut told: Vec<String> = Vec::new();
    for sentence in all.iter().map(|held| holds(held)) {
        if !told.contains(&sentence) {
            told.push(sentence);
        }
    }
    let more = told.len().saturating_sub(SHOWN);
    told.truncate(SHOWN);
    if more > 0 {
        told.push(format!("{more} more (portwatch who {})", conflict.port));
    }
    format!("Now on the port: {}.", words::listed(&told))
}

/// `nginx (nginx.service, pid 33) listening on 0.0.0.0:80`.
pub(super) fn holds(held: &HeldSocket) -> String {
    let who = match (&held.process, held.unnamed_reason) {
        (Some(process), _) => words::who(process),
        (None, _) if matches!(held.role, Role::TimeWait | Role::Closing) => {
            "somebody who is not known any more".to_owned()
        }
        (None, _) => "somebody who could not be named".to_owned(),
    };
    let (local, remote) = (
        held.local.map_or_else(|| "an address that is not known".to_owned(), |local| local.to_string()),
        held.remote.map_or_else(|| "?".to_owned(), |remote| remote.to_string()),
    );
    match held.role {
        Role::Listener => format!("{who} listening on {local}"),
        Role::Bound => format!("{who} bound to {local}"),
        Role::Client => format!("{who} with a connection to {remote}"),
        Role::Accepted => format!("{who} with an accepted connection from {remote}"),
        Role::Unaccepted => format!("a connection from {remote} that is not accepted yet"),
        Role::Closing => format!("a closing connection of {who} to {remote}"),
        Role::TimeWait => format!("a connection to {remote} in TIME_WAIT"),
        Role::Unknown => format!("{who} on {local}"),
    }
}

/// Whether the port was reserved after the conflict.
pub(super) fn is_reserved_since(conflict: &Conflict, present: &Present) -> bool {
    let now = present.situation.reserved.as_deref().and_then(|text| PortList::parse(text).ok());
    !conflict.range.reserved && now.is_some_and(|list| list.contains(conflict.port))
}
