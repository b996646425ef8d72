//! Why the two clash, by the kernel's rule (see [`crate::rule`]) and by what is known of them. No option is claimed that the
//! conflict does not tell.

use super::words;
use crate::model::{
    AssignedBy, Cause, Conflict, Exhaustion, Holder, Operation, Protocol, SocketOptions, State,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The sentences; empty if there is nothing to explain.
pub(super) fn explain(conflict: &Conflict) -> String {
    if conflict.port == 0 {
        return exhausted(conflict);
    }
    let Some(holder) = conflict.culprit() else { return String::new() };
    let sentences = [
        same_numbers(conflict, holder),
        addresses(conflict, holder),
        lingering(conflict, holder),
        checked_again(conflict, holder),
        sharing(conflict, holder),
    ];
    let sentences: Vec<String> = sentences.into_iter().flatten().collect();
    sentences.join(" ")
}

fn exhausted(conflict: &Conflict) -> String {
    let (low, high) = (conflict.range.low, conflict.range.high);
    let count = u32::from(high.saturating_sub(low)) + 1;
    let choice = match conflict.operation {
        Operation::Bind => "bind() to port 0 leaves the choice to the kernel",
        Operation::Listen => "listen() without bind() leaves the choice to the kernel",
        Operation::Connect | Operation::Sendto | Operation::Autobind => {
            "Without bind() the kernel chooses the source port"
        }
    };
    let shared = match conflict.operation {
        Operation::Connect => {
            " connect() may use one port towards several destinations; towards this one none was left."
        }
        _ => "",
    };
    let told = conflict.exhaustion.as_ref().map_or_else(String::new, |full| fullness(conflict, full));
    format!(
        "{choice}, and it has the {count} ports from {low} to {high} to choose from, less those that are reserved.{shared}{told}"
    )
}

/// With what the range was full, as sentences behind others.
fn fullness(conflict: &Conflict, full: &Exhaustion) -> String {
    let mut told = format!(
        " {} were reserved, {} were left to the kernel, and {} of those were in use",
        full.reserved,
        full.ports,
        full.in_use.total()
    );
    if !conflict.protocol.is_datagram() {
        told.push_str(&format!(
            ": {} by listeners and bound sockets, whose port no connection shares, and {} by connections, each of which takes its port only towards its own destination",
            full.unavailable, full.shared
        ));
    }
    told.push('.');
    if let Some(to) = &full.destination {
        let closed = match to.time_wait {
            0 => String::new(),
            count => format!(", {count} of them only in TIME_WAIT"),
        };
        told.push_str(&format!(
            " Towards {} from {}, where this connection was to go, {} of the shared ones were taken{closed}.",
            to.remote, to.local, to.ports
        ));
    }
    let destinations = full.destinations_in_words();
    if !destinations.is_empty() {
        told.push_str(&format!(" Most went to {}.", destinations.join("; ")));
    }
    for unseen in &full.unseen {
        told.push_str(&format!(" Not all was counted: {}.", crate::text::printable(unseen)));
    }
    told
}

/// Clients and servers draw from one set of numbers.
fn same_numbers(conflict: &Conflict, holder: &Holder) -> Option<String> {
    let (port, range) = (conflict.port, conflict.range);
    if !holder.ephemeral {
        return None;
    }
    let ephemeral = format!("the ephemeral range {}-{}", range.low, range.high);
    Some(match (range.in_range, range.reserved) {
        (true, false) => format!(
            "A port is taken whether a server or a client has it. {port} lies in {ephemeral} and was not reserved, so the kernel may give it to any client."
        ),
        (true, true) => format!(
            "A port is taken whether a server or a client has it. {port} lies in {ephemeral}; it was reserved by then, but had been given before."
        ),
        (false, _) => format!(
            "A port is taken whether a server or a client has it. {port} lies outside {ephemeral} by now, but had been given."
        ),
    })
}

/// An address as the kernel compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// 0.0.0.0
    Any4,
    V4(Ipv4Addr),
    /// ::
    Any6,
    V6(Ipv6Addr),
}

impl Place {
    /// An address of IPv4 that is written as one of IPv6 is compared as what it is.
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_unspecified() => Self::Any4,
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) if v6.is_unspecified() => Self::Any6,
            IpAddr::V6(v6) => Self::V6(v6),
        }
    }
}

fn addresses(conflict: &Conflict, holder: &Holder) -> Option<String> {
    use Place::{Any4, Any6, V4, V6};
    let (wanted, local) = (conflict.wanted(), holder.local?);
    let only = |options: Option<SocketOptions>| options.map(|options| options.v6_only);
    Some(match (Place::of(wanted.ip()), Place::of(local.ip())) {
        (a, b) if a == b => match a {
            Any4 => "Both want the port on every IPv4 address (0.0.0.0).".to_owned(),
            Any6 => "Both want the port on every address ([::]).".to_owned(),
            V4(_) | V6(_) => format!("Both want the same address and port, {wanted}."),
        },
        (Any4, V4(b)) => format!("0.0.0.0 means every IPv4 address of the host, {b} among them."),
        (V4(a), Any4) => {
            format!("The holder has the port on 0.0.0.0, every IPv4 address of the host, {a} among them.")
        }
        (Any6, V6(b)) => format!("[::] means every address of the host, {b} among them."),
        (V6(a), Any6) => {
            format!("The holder has the port on [::], every address of the host, {a} among them.")
        }
        (Any4 | V4(_), Any6) if only(holder.options) != Some(true) => {
            format!("The holder's [::] takes the port for IPv4 as well{}.", dual_stack(only(holder.options)))
        }
        (Any6, Any4 | V4(_)) if only(conflict.options) != Some(true) => format!(
            "[::] takes the port for IPv4 as well{}, and there the holder has it ({local}).",
            dual_stack(only(conflict.options))
        ),
        (Any4, V6(b)) if only(holder.options) != Some(true) => format!(
            "0.0.0.0 is IPv4 and {b} is IPv6, and they clash all the same: the kernel compares 0.0.0.0 with every socket on the port that is not for IPv6 alone (IPV6_V6ONLY), and clients of IPv6 are not."
        ),
        _ if conflict.protocol == Protocol::Sctp => format!(
            "An SCTP socket may be bound to more addresses than it shows: the kernel counted {local} and {wanted} as one."
        ),
        _ => format!("The kernel counted {local} and {wanted} as the same."),
    })
}

/// Both families through one socket: the end of a sentence about it.
const fn dual_stack(v6_only: Option<bool>) -> &'static str {
    match v6_only {
        Some(_) => ", since IPV6_V6ONLY is not set on it",
        None => " unless IPV6_V6ONLY is set on it",
    }
}

/// What keeps a closed connection on its port.
fn lingering(conflict: &Conflict, holder: &Holder) -> Option<String> {
    if !matches!(conflict.cause, Cause::TimeWait | Cause::Closing) {
        return None;
    }
    let text = match holder.state {
        State::TimeWait => {
            "Whoever closes a TCP connection first keeps its port for 60 seconds more (TIME_WAIT), in case late packets come; the process need not be there for it."
        }
        State::FinWait1 => {
            "The connection was closed on this side, and the other side had not confirmed it (FIN_WAIT1); the kernel keeps the port until then."
        }
        State::FinWait2 => {
            "The connection was closed on this side, and not yet on the other (FIN_WAIT2); the kernel keeps the port until then, or until it gives up waiting."
        }
        State::LastAck | State::Closing => {
            "Both sides had closed the connection, and the last confirmation was missing; the kernel keeps the port until it comes, or until it gives up waiting."
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// A refused listen(): the port was the victim's already.
fn checked_again(conflict: &Conflict, holder: &Holder) -> Option<String> {
    let reuses = |options: Option<SocketOptions>| options.is_some_and(|options| options.reuse_address);
    let both = reuses(conflict.options) && reuses(holder.options) && holder.state == State::Listen;
    (conflict.operation == Operation::Listen).then(|| match both {
        true => "bind() had gone well, because both sockets had set SO_REUSEADDR; listen() checks once more, and by then the other one listened.".to_owned(),
        false => "listen() checks the port once more, though bind() had gone well.".to_owned(),
    })
}

/// What would have let the two share the port, and why it did not.
fn sharing(conflict: &Conflict, holder: &Holder) -> Option<String> {
    if conflict.cause == Cause::ReuseportMismatch {
        return Some(format!(
            "SO_REUSEPORT, which both set, shares a port only among the sockets of one user{}.",
            users(conflict, holder)
        ));
    }
    let is_settled = matches!(conflict.cause, Cause::KernelSocket | Cause::OwnSocket);
    if is_settled || (conflict.operation == Operation::Listen && holder.state == State::Listen) {
        return None;
    }
    let sentences: Vec<String> =
        [by_reuse_address(conflict, holder), by_reuse_port(conflict, holder)].into_iter().flatten().collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// `: the victim's is root's, the holder's is hdfs's`, where the processes tell.
fn users(conflict: &Conflict, holder: &Holder) -> String {
    let Some(owner) = holder.creator.as_ref().or(holder.process.as_ref()) else { return String::new() };
    let (Some(a), Some(b)) = (conflict.victim.uid, owner.uid) else { return String::new() };
    if a == b {
        return String::new();
    }
    let name = |uid: u32, user: &Option<String>| match user {
        Some(user) => format!("{} (uid {uid})", crate::text::printable(user)),
        None => format!("uid {uid}"),
    };
    format!(": the victim runs as {}, the holder as {}", name(a, &conflict.victim.user), name(b, &owner.user))
}

fn by_reuse_address(conflict: &Conflict, holder: &Holder) -> Option<String> {
    let victim = words::called(&conflict.victim);
    let ours = conflict.options.map(|options| options.reuse_address);
    let theirs = holder.options.map(|options| options.reuse_address);
    if holder.state == State::Listen && !conflict.protocol.is_datagram() {
        return Some(match ours {
            Some(true) => {
                format!("SO_REUSEADDR, which {victim} did set, does not help against a socket that listens.")
            }
            _ => "SO_REUSEADDR would not help: it does not against a socket that listens.".to_owned(),
        });
    }
    Some(match (ours, theirs) {
        (Some(true), Some(true)) => return None,
        (Some(true), Some(false)) => {
            let seldom = match holder.assigned_by {
                AssignedBy::Connect | AssignedBy::Autobind => ", as is usual for a client",
                _ => "",
            };
            format!(
                "{victim} did set SO_REUSEADDR, but that helps only if both sockets have it, and the holder's had not{seldom}."
            )
        }
        (Some(false), Some(true)) => {
            format!(
                "The holder's socket had SO_REUSEADDR; had {victim} set it too, they could have shared the port."
            )
        }
        (Some(false), Some(false)) => {
            "Neither socket had SO_REUSEADDR, which both must have to share a port.".to_owned()
        }
        (Some(true), None) => format!(
            "{victim} did set SO_REUSEADDR, but that helps only if both sockets have it; whether the holder's had is not known."
        ),
        (Some(false), None) => {
            format!("{victim} had not set SO_REUSEADDR, which both sockets must have to share a port.")
        }
        (None, _) => {
            "They could share it only if both had set SO_REUSEADDR; whether they had is not known.".to_owned()
        }
    })
}

/// Only where one of the two tried.
fn by_reuse_port(conflict: &Conflict, holder: &Holder) -> Option<String> {
    let victim = words::called(&conflict.victim);
    let ours = conflict.options?.reuse_port;
    let theirs = holder.options?.reuse_port;
    match (ours, theirs) {
        (true, false) => {
            Some(format!("{victim} also set SO_REUSEPORT; the holder's socket did not have it."))
        }
        (false, true) => Some(format!("The holder's socket had SO_REUSEPORT; {victim} had not set it.")),
        (true, true) | (false, false) => None,
    }
}
