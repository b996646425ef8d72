//! What to do about a connection that its process is done with.

use super::{Situation, advice, ephemeral};
use crate::model::{Action, Advice, Conflict, Holder, State};

pub(super) fn closing(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Vec<Advice> {
    let mut all: Vec<_> = option(conflict, situation, holder).into_iter().collect();
    let why = if holder.state == State::TimeWait {
        "the kernel keeps a closed connection for 60 seconds in TIME_WAIT and lets go by itself"
    } else {
        "the process is done with the connection; the kernel lets go once the other side has confirmed, or after its time-out"
    };
    all.push(advice(Action::Wait, why, Vec::new()));
    if holder.ephemeral {
        all.extend(ephemeral::leave(conflict, situation));
    }
    all
}

/// SO_REUSEADDR: for servers that left their own connections behind. A client would have had to set it.
fn option(conflict: &Conflict, situation: &Situation, holder: &Holder) -> Option<Advice> {
    if holder.ephemeral {
        return ephemeral::reuse(conflict, situation, holder);
    }
    let missing = match (situation.victim_reuses, situation.holder_reuses) {
        (Some(true), Some(true)) => return None,
        (Some(false), Some(false)) => "neither had set it",
        (Some(false), _) => "the new socket did not set it",
        (_, Some(false)) => "the closed one had not set it",
        _ => "whether both had is not known",
    };
    let why =
        format!("SO_REUSEADDR lets a server take its port back at once if both sockets set it: {missing}");
    Some(advice(Action::SetOption, why, Vec::new()))
}
