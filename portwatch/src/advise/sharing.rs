//! Sockets that could share a port, if they were set up for it.

use super::{Situation, advice};
use crate::model::{Action, Advice, Conflict, Holder};
use std::net::IpAddr;

pub(super) fn own_socket(conflict: &Conflict, holder: &Holder) -> Advice {
    let other = holder.local.map(|local| local.ip());
    if holder.ephemeral {
        let why = "the kernel gave the port to the process itself, before it asked for it by number: listen first, connect later";
        return advice(Action::ChangePort, why, Vec::new());
    }
    let two_families = other.is_some_and(|ip| ip.is_ipv4() != conflict.address.is_ipv4());
    if two_families {
        let why = "its IPv6 socket takes the port for IPv4 too: set IPV6_V6ONLY on it before bind(), or listen on [::] only";
        advice(Action::SetOption, why, Vec::new())
    } else {
        let why = "the process asks for the port twice: look for a second listen directive, or for a socket it did not close on reload";
        advice(Action::ChangePort, why, Vec::new())
    }
}

/// One is on [::], which takes IPv4 too, the other on IPv4 only.
pub(super) fn v6_only(conflict: &Conflict, holder: &Holder) -> Option<Advice> {
    let is_all = |ip: IpAddr| ip.is_ipv6() && ip.is_unspecified();
    let local = holder.local?.ip().to_canonical();
    let why = if is_all(conflict.address) && local.is_ipv4() {
        "IPV6_V6ONLY on the new socket, set before bind(): [::] takes IPv4 too otherwise, where the holder is"
    } else if is_all(local) && conflict.address.to_canonical().is_ipv4() {
        "IPV6_V6ONLY on the holder's socket, set before its bind(): its [::] takes IPv4 too, which the new one asks for"
    } else {
        return None;
    };
    Some(advice(Action::SetOption, why, Vec::new()))
}

pub(super) fn same_user(situation: &Situation) -> Vec<Advice> {
    let who = situation.users.as_ref().map_or_else(String::new, |(victim, holder)| {
        format!(": the victim's is {victim}'s, the holder's is {holder}'s")
    });
    let why = format!("SO_REUSEPORT shares a port only among sockets that one user created{who}");
    let same = advice(Action::SameUser, why, Vec::new());
    let change = situation.free_port.map(|free| {
        advice(
            Action::ChangePort,
            format!("port {free} is free, if the two are not meant to share one"),
            Vec::new(),
        )
    });
    std::iter::once(same).chain(change).collect()
}
