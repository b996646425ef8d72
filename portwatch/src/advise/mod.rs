//! A conflict → what to do, best first, with the exact commands. Pure. Nothing is advised that does not apply.

mod closing;
mod command;
mod ephemeral;
mod exhausted;
mod holder;
mod sharing;
#[cfg(test)]
mod tests;

pub use command::reserve_port;
use exhausted::exhausted;

use crate::model::{Action, Advice, Cause, Conflict};
use crate::ports::PortList;
use std::fmt::Write as _;

/// What is said of reserving a port while somebody has it.
pub(crate) const DOES_NOT_FREE: &str = ". It does not free the port now";

/// What the advice depends on beside the conflict itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Situation {
    /// portwatch's own network namespace, where plain commands act.
    pub own_netns: u32,
    /// A process that was seen in the conflict's namespace just now.
    pub door: Option<u32>,
    /// `ip_local_reserved_ports` of the conflict's namespace, where it could be read.
    pub reserved: Option<String>,
    /// Whether the victim set SO_REUSEADDR, where that is known.
    pub victim_reuses: Option<bool>,
    /// Whether the first holder had set it, where that is known.
    pub holder_reuses: Option<bool>,
    /// A port that the victim could move to in that namespace: outside the ephemeral range and nobody's.
    pub free_port: Option<u16>,
    /// Whether the kernel ends connections on request, where that is known.
    pub destroys: Option<bool>,
    /// Whether the socket outlived the process that is named: then its connection may still be ended.
    pub outlived: bool,
    /// Login names of victim and first holder, where they differ by uid.
    pub users: Option<(String, String)>,
    /// What is set around an exhausted range, where it could be looked at.
    pub range: Option<RangeSettings>,
}

/// What an exhausted range can be widened with, and whether TIME_WAIT can be taken over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeSettings {
    /// `ip_local_port_range`, of which a socket may have asked for a part.
    pub range: Option<(u16, u16)>,
    /// Ports with a listener that the kernel may not choose now.
    pub listeners: PortList,
    /// `tcp_timestamps`.
    pub timestamps: Option<bool>,
}

/// What to do about a conflict.
pub fn advise(conflict: &Conflict, situation: &Situation) -> Vec<Advice> {
    let Some(holder) = conflict.culprit() else {
        return exhausted(conflict, situation);
    };
    let mut advice = Vec::new();
    if holder.ephemeral && conflict.range.in_range && !conflict.range.reserved {
        advice.push(reserve(conflict, situation));
    }
    advice.extend(match conflict.cause {
        Cause::Exhausted => exhausted(conflict, situation),
        Cause::KernelSocket => holder::kernel_socket(conflict, situation),
        Cause::TimeWait | Cause::Closing => closing::closing(conflict, situation, holder),
        Cause::OwnSocket => vec![sharing::own_socket(conflict, holder)],
        Cause::ReuseportMismatch => sharing::same_user(situation),
        Cause::Inherited => holder::inherited(conflict, situation, holder),
        Cause::PreviousInstance => holder::previous_instance(situation, holder),
        Cause::EphemeralClient | Cause::EphemeralBind => ephemeral::ephemeral(conflict, situation, holder),
        Cause::Listener | Cause::ExplicitBind => holder::by_number(conflict, situation, holder),
        Cause::Unknown => vec![holder::unknown(conflict, situation, holder)],
    });
    advice
}

fn advice(action: Action, why: impl Into<String>, commands: Vec<String>) -> Advice {
    Advice { action, why: why.into(), commands }
}

fn reserve(conflict: &Conflict, situation: &Situation) -> Advice {
    let mut why = format!(
        "keeps the kernel from choosing {} for clients; who asks for it by number still gets it{DOES_NOT_FREE}",
        conflict.port
    );
    if conflict.netns != situation.own_netns {
        let _ = write!(
            why,
            ", and it ends with the network namespace: put the sysctl into {}",
            lasting(conflict, situation)
        );
    }
    advice(Action::ReservePort, why, command::reserve(conflict, situation))
}

/// Where a container or pod is told for good what is reserved inside.
fn lasting(conflict: &Conflict, situation: &Situation) -> String {
    let victim = &conflict.victim;
    let setting = command::setting(conflict.port, situation.reserved.as_deref());
    match (setting, victim.container_runtime.as_deref(), &victim.pod) {
        (Some((name, ports)), Some("containerd" | "cri-o"), Some(_)) => format!(
            "the pod's spec: securityContext.sysctls, name {name}, value \"{ports}\" (the kubelet admits it from 1.27 on)"
        ),
        (Some((name, ports)), Some(runtime @ ("docker" | "podman")), _) => {
            format!("the options of {runtime} run: --sysctl {name}={ports}")
        }
        _ => "the container's or pod's settings".to_owned(),
    }
}

/// Whether an advice about a conflict of this class may name another port.
pub(crate) fn names_a_port(conflict: &Conflict) -> bool {
    conflict.port != 0
        && !matches!(conflict.cause, Cause::OwnSocket | Cause::PreviousInstance | Cause::Unknown)
}
