//! The answer in one sentence: who wanted what, when, and because of whom in vain.

use super::words::{self, Clock};
use crate::model::{AssignedBy, Cause, Conflict, Holder, Operation, State};
use std::net::SocketAddr;

/// The headline.
pub(super) fn headline(conflict: &Conflict, clock: &Clock<'_>) -> String {
    let victim = words::called(&conflict.victim);
    format!("{victim} {} {} because {}.", attempt(conflict), when(conflict, clock), because(conflict))
}

/// What was attempted in vain.
fn attempt(conflict: &Conflict) -> String {
    let (protocol, wanted, address) = (conflict.protocol, conflict.wanted(), conflict.address);
    match (conflict.port, conflict.operation) {
        (0, Operation::Bind | Operation::Listen) => format!("was given no {protocol} port on {address}"),
        (0, Operation::Connect) => format!("was given no {protocol} port for a connection"),
        (0, Operation::Sendto | Operation::Autobind) => format!("was given no {protocol} port to send from"),
        (_, Operation::Bind) => format!("could not bind {protocol} {wanted}"),
        (_, Operation::Listen) => format!("could not listen on {protocol} {wanted}"),
        (_, Operation::Connect | Operation::Sendto | Operation::Autobind) => {
            format!("could not use {protocol} {wanted}")
        }
    }
}

fn when(conflict: &Conflict, clock: &Clock<'_>) -> String {
    match conflict.count {
        0 | 1 => clock.at(conflict.first_time),
        count => {
            let (first, last) = (clock.at(conflict.first_time), clock.time(conflict.time));
            format!("{first} ({count} times until {last})")
        }
    }
}

/// The reason in a clause.
pub(super) fn because(conflict: &Conflict) -> String {
    let Some(holder) = conflict.culprit() else {
        return match conflict.cause {
            Cause::Exhausted => taken(conflict),
            _ => "somebody had it who is not known".to_owned(),
        };
    };
    let who = words::subject(holder);
    let to = towards(holder);
    match conflict.cause {
        Cause::Exhausted => format!("{}{}", taken(conflict), most(holder)),
        Cause::KernelSocket => "the kernel itself had it, for one of its own sockets".to_owned(),
        Cause::TimeWait => format!("a closed connection{}{to} still had it in TIME_WAIT", of_whom(holder)),
        Cause::Closing => {
            format!("a closed connection{}{to} was not over yet ({})", of_whom(holder), holder.state)
        }
        Cause::OwnSocket => own_socket(holder),
        Cause::ReuseportMismatch => {
            format!("{who} had it, and SO_REUSEPORT, which both had set, does not share it among users")
        }
        Cause::Inherited => inherited(holder),
        Cause::PreviousInstance => match holder.assigned_by {
            AssignedBy::Accept => format!("an earlier instance of it, {who}, still had connections on it"),
            _ => format!("an earlier instance of it, {who}, still had it"),
        },
        Cause::EphemeralClient => client(conflict, holder),
        Cause::EphemeralBind => match holder.assigned_by {
            AssignedBy::Listen => {
                format!("{who} listened without bind(), and the kernel had given it this port")
            }
            _ => format!("{who} had asked for any free port, and the kernel had given it this one"),
        },
        Cause::Listener => format!("{who} was listening on {}", address(holder.local)),
        Cause::ExplicitBind => bound(conflict, holder),
        Cause::Unknown => format!("{who} had it"),
    }
}

fn taken(conflict: &Conflict) -> String {
    format!("every port from {} to {} was taken", conflict.range.low, conflict.range.high)
}

fn most(holder: &Holder) -> String {
    match (holder.sockets, &holder.process) {
        (Some(sockets), Some(process)) => format!(", most of them ({sockets}) by {}", words::who(process)),
        _ => String::new(),
    }
}

fn client(conflict: &Conflict, holder: &Holder) -> String {
    let who = words::subject(holder);
    let connection = match (conflict.protocol.is_datagram(), holder.state, holder.remote) {
        (true, _, Some(remote)) => format!("for sending to {remote} over {}", conflict.protocol),
        (true, _, None) => format!("for sending over {} without bind()", conflict.protocol),
        (false, State::SynSent, Some(remote)) => format!("of a connection that it was making to {remote}"),
        (false, _, Some(remote)) => format!("of a connection to {remote}"),
        (false, _, None) => "of a client".to_owned(),
    };
    format!("{who} had it as the source port {connection}")
}

fn bound(conflict: &Conflict, holder: &Holder) -> String {
    let (who, local) = (words::subject(holder), address(holder.local));
    match (holder.assigned_by, holder.remote) {
        (AssignedBy::Accept, Some(remote)) => {
            format!("{who} still had a connection from {remote} on it")
        }
        (AssignedBy::Accept, None) => format!("{who} still had an accepted connection on it"),
        (_, Some(remote)) => format!("{who} had bound {local} itself, for a connection to {remote}"),
        (_, None) if !conflict.protocol.is_datagram() && holder.state != State::Listen => {
            format!("{who} had bound {local}, though it did not listen on it")
        }
        (_, None) => format!("{who} had bound {local}"),
    }
}

fn own_socket(holder: &Holder) -> String {
    let local = address(holder.local);
    match (holder.ephemeral, holder.remote) {
        (true, Some(remote)) => {
            format!("it had the port itself, as the source port of its own connection to {remote}")
        }
        (true, None) => "it had the port itself: the kernel had given it to another socket of it".to_owned(),
        (false, _) => format!("it had the port itself, with another socket on {local}"),
    }
}

fn inherited(holder: &Holder) -> String {
    match (&holder.process, &holder.creator) {
        (Some(process), Some(creator)) => {
            format!(
                "{} had it, with an open socket that it got from {}",
                words::who(process),
                words::who(creator)
            )
        }
        (Some(process), None) => {
            format!("{} had it, with an open socket that it got from another process", words::who(process))
        }
        (None, _) => format!("{} had it", words::subject(holder)),
    }
}

/// Nothing where nobody is known.
fn of_whom(holder: &Holder) -> String {
    let owner = holder.process.as_ref().or(holder.creator.as_ref());
    owner.map_or_else(String::new, |owner| format!(" of {}", words::who(owner)))
}

fn towards(holder: &Holder) -> String {
    let word = if holder.assigned_by == AssignedBy::Accept { "from" } else { "to" };
    holder.remote.map_or_else(String::new, |remote| format!(" {word} {remote}"))
}

fn address(local: Option<SocketAddr>) -> String {
    local.map_or_else(|| "the port".to_owned(), |local| local.to_string())
}
