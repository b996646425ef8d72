//! A conflict in one sentence, for a log. journalctl shows it as it is, so all of it is printable.

use crate::model::{AssignedBy, Cause, Conflict, Holder, Process, UnnamedReason};
use crate::text::printable;

/// Who was refused, what, because of whom, and how that came; then where to read more.
pub(super) fn of(conflict: &Conflict) -> String {
    let victim = name(&conflict.victim);
    let times = match conflict.count {
        1 => String::new(),
        count => format!(", {count} times so far"),
    };
    format!(
        "{victim} was refused {}{times}: {}. Type: portwatch why {}",
        what(conflict),
        because(conflict),
        printable(&conflict.id)
    )
}

fn what(conflict: &Conflict) -> String {
    let (operation, protocol) = (conflict.operation, conflict.protocol);
    let port = match conflict.port {
        0 => format!("{operation} ({protocol}, any port)"),
        _ => format!("{operation} to {}/{protocol}", conflict.wanted()),
    };
    format!("{port}, {}", conflict.errno)
}

fn because(conflict: &Conflict) -> String {
    let Some(culprit) = conflict.culprit() else { return without_holder(conflict) };
    let who = holder(culprit);
    let more = match conflict.holders.len() - 1 {
        0 => String::new(),
        1 => "; one more has it too".to_owned(),
        more => format!("; {more} more have it too"),
    };
    let told = match conflict.cause {
        Cause::Exhausted => return exhausted(conflict, culprit),
        Cause::TimeWait => format!("a closed connection of {who} is in TIME_WAIT on it"),
        Cause::Closing => format!("a closed connection of {who} is still in {} on it", culprit.state),
        Cause::KernelSocket => "a socket of the kernel itself has it".to_owned(),
        Cause::OwnSocket => "another socket of its own has it".to_owned(),
        Cause::ReuseportMismatch => format!("{who} shares it by SO_REUSEPORT, but with its own user only"),
        Cause::Inherited => format!("{who} has it, inherited or passed on"),
        Cause::PreviousInstance => format!("{who}, an earlier instance of it, still has it"),
        Cause::EphemeralClient | Cause::EphemeralBind => {
            format!("{who} has it, given by the kernel for {}{}", call(culprit.assigned_by), remote(culprit))
        }
        Cause::Listener => format!("{who} listens on it"),
        Cause::ExplicitBind => format!("{who} has it by {}{}", call(culprit.assigned_by), remote(culprit)),
        Cause::Unknown => format!("{who} has it"),
    };
    told + &more
}

fn without_holder(conflict: &Conflict) -> String {
    match conflict.cause {
        Cause::Exhausted => every_port(conflict),
        cause => format!("who has it could not be established ({cause})"),
    }
}

fn exhausted(conflict: &Conflict, most: &Holder) -> String {
    let sockets = most.sockets.unwrap_or_default();
    format!("{}; most, {sockets}, by {}", every_port(conflict), holder(most))
}

fn every_port(conflict: &Conflict) -> String {
    let full =
        conflict.exhaustion.as_ref().map_or_else(String::new, |full| format!(" ({})", full.in_brief()));
    format!("every port of {}-{} is taken{full}", conflict.range.low, conflict.range.high)
}

fn remote(holder: &Holder) -> String {
    holder.remote.map_or_else(String::new, |remote| format!(", connected to {remote}"))
}

fn holder(holder: &Holder) -> String {
    match (&holder.process, holder.unnamed_reason) {
        (Some(process), _) if holder.alive => name(process),
        (Some(process), _) => format!("{} (it has exited)", name(process)),
        (None, reason) => format!("somebody unnamed ({})", unnamed(reason)),
    }
}

/// `nginx[4121] of nginx.service`.
fn name(process: &Process) -> String {
    let comm = printable(&process.comm);
    let pod = process.pod_name.as_deref().map(|pod| {
        let namespace = process.pod_namespace.as_deref().map_or_else(String::new, |name| format!("{name}/"));
        format!("pod {namespace}{pod}")
    });
    let container = || process.container_name.as_ref().or(process.container.as_ref());
    let place = pod.or_else(|| container().map(|name| format!("container {name}")));
    let place = place.or_else(|| process.unit.clone());
    let place = place.map_or_else(String::new, |place| format!(" of {}", printable(&place)));
    format!("{comm}[{}]{place}", process.pid)
}

const fn call(by: AssignedBy) -> &'static str {
    match by {
        AssignedBy::Connect => "connect()",
        AssignedBy::Bind0 => "bind() to port 0",
        AssignedBy::Bind => "bind()",
        AssignedBy::Autobind => "UDP without bind()",
        AssignedBy::Listen => "listen() without bind()",
        AssignedBy::Accept => "accept()",
        AssignedBy::Preexisting => "a call before portwatch started",
        AssignedBy::Unknown => "an unknown call",
    }
}

const fn unnamed(reason: Option<UnnamedReason>) -> &'static str {
    match reason {
        Some(reason) => reason.as_str(),
        None => "for no known reason",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;
    use crate::text::acts_on_terminal;

    #[test]
    fn a_client_in_the_way() {
        let mut conflict = example::client();
        let told = "nginx[4121] of nginx.service was refused bind to 0.0.0.0:50010/tcp, EADDRINUSE: java[2210] of \
                    hdfs.service has it, given by the kernel for connect(), connected to 10.0.0.9:2379. Type: \
                    portwatch why 2c3d4e5f6-1019";
        assert_eq!(of(&conflict), told);
        conflict.count = 100;
        assert!(of(&conflict).contains("EADDRINUSE, 100 times so far: java"));
    }

    #[test]
    fn every_cause_is_one_printable_line() {
        for cause in Cause::ALL {
            let mut conflict = example::client();
            conflict.cause = *cause;
            for unnamed in [false, true] {
                if unnamed {
                    conflict.holders[0].process = None;
                    conflict.holders[0].unnamed_reason = Some(UnnamedReason::AlreadyGone);
                }
                let told = of(&conflict);
                assert!(told.starts_with("nginx[4121]") && told.len() > 100, "{told}");
            }
            conflict.holders.clear();
            assert!(!of(&conflict).is_empty());
        }
    }

    #[test]
    fn hostile_names_do_not_reach_the_terminal() {
        let hostile = "\u{1b}[2J\nNov 25 sshd[1]: accepted\u{202e}";
        let mut conflict = example::client();
        conflict.victim.comm = hostile.into();
        conflict.victim.unit = Some(hostile.into());
        let owner = conflict.holders[0].process.as_mut().unwrap();
        (owner.container_name, owner.pod_name, owner.pod_namespace) =
            (Some(hostile.into()), Some(hostile.into()), Some(hostile.into()));
        assert!(!of(&conflict).chars().any(acts_on_terminal), "{}", of(&conflict));
    }
}
