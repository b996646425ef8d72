//! Which conflicts are wanted. Pure. Within one flag any value will do, among flags all must hold.

use crate::model::{Cause, Conflict, Process, Protocol};
use crate::owner::cgroup;
use std::ops::RangeInclusive;

/// What was asked for; empty lists ask for nothing in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Wanted ports.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Process ids, of the victim or of any holder.
    pub pids: Vec<u32>,
    /// Names, of the victim or of any holder.
    pub comms: Vec<String>,
    /// Effective uids, of the victim or of any holder.
    pub uids: Vec<u32>,
    /// systemd units, of the victim or of any holder; `.service` may be left out, and `\xNN` be written plainly.
    pub units: Vec<String>,
    /// The one network namespace.
    pub netns: Option<u32>,
    /// Protocols.
    pub protocols: Vec<Protocol>,
    /// Classes.
    pub causes: Vec<Cause>,
}

impl Filter {
    /// Whether the conflict is wanted.
    pub fn admits(&self, conflict: &Conflict) -> bool {
        let Self { ports, pids, comms, uids, units, netns, protocols, causes } = self;
        any(ports, |range| range.contains(&conflict.port))
            && netns.is_none_or(|netns| netns == conflict.netns)
            && any(protocols, |protocol| *protocol == conflict.protocol)
            && any(causes, |cause| *cause == conflict.cause)
            && any(pids, |pid| anybody(conflict, |process| process.pid == *pid))
            && any(comms, |comm| anybody(conflict, |process| process.comm == *comm))
            && any(uids, |uid| anybody(conflict, |process| process.uid == Some(*uid)))
            && any(units, |unit| anybody(conflict, |process| is_unit(process, unit)))
    }
}

fn any<T>(wanted: &[T], holds: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(holds)
}

/// The victim, any holder, and whoever got the port for a holder.
fn anybody(conflict: &Conflict, holds: impl Fn(&Process) -> bool) -> bool {
    let holders = conflict.holders.iter().flat_map(|holder| holder.process.iter().chain(&holder.creator));
    std::iter::once(&conflict.victim).chain(holders).any(holds)
}

fn is_unit(process: &Process, wanted: &str) -> bool {
    let is = |unit: &str| unit == wanted || unit.strip_suffix(".service") == Some(wanted);
    process.unit.as_deref().is_some_and(|unit| is(unit) || is(&cgroup::unescape(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::example;

    fn admits(filter: &Filter) -> bool {
        filter.admits(&example::client())
    }

    #[test]
    fn nothing_asked_admits_everything() {
        assert!(admits(&Filter::default()));
    }

    #[test]
    fn each_flag_asks_for_its_own() {
        let plain = Filter::default;
        assert!(admits(&Filter { ports: vec![1..=9, 50_000..=51_000], ..plain() }));
        assert!(!admits(&Filter { ports: vec![1..=9], ..plain() }));
        assert!(admits(&Filter { netns: Some(4_026_531_840), ..plain() }));
        assert!(!admits(&Filter { netns: Some(1), ..plain() }));
        assert!(admits(&Filter { protocols: vec![Protocol::Udp, Protocol::Tcp], ..plain() }));
        assert!(!admits(&Filter { protocols: vec![Protocol::Udp], ..plain() }));
        assert!(admits(&Filter { causes: vec![Cause::EphemeralClient], ..plain() }));
        assert!(!admits(&Filter { causes: vec![Cause::Listener], ..plain() }));
    }

    #[test]
    fn people_are_the_victim_or_any_holder() {
        let plain = Filter::default;
        for pid in [4121, 2210] {
            assert!(admits(&Filter { pids: vec![pid], ..plain() }));
        }
        assert!(!admits(&Filter { pids: vec![1], ..plain() }));
        assert!(admits(&Filter { comms: vec!["java".into()], ..plain() }));
        assert!(!admits(&Filter { comms: vec!["jav".into()], ..plain() }));
        assert!(admits(&Filter { uids: vec![998], ..plain() }));
        for unit in ["nginx", "nginx.service", "hdfs"] {
            assert!(admits(&Filter { units: vec![unit.into()], ..plain() }), "{unit}");
        }
        assert!(!admits(&Filter { units: vec!["ngin".into()], ..plain() }));
    }

    #[test]
    fn an_escaped_unit_is_asked_for_in_either_way() {
        let mut conflict = example::client();
        conflict.victim.unit = Some(r"my\x2dapp.service".into());
        for unit in [r"my\x2dapp.service", "my-app.service", "my-app"] {
            assert!(Filter { units: vec![unit.into()], ..Filter::default() }.admits(&conflict), "{unit}");
        }
        assert!(!Filter { units: vec!["my".into()], ..Filter::default() }.admits(&conflict));
    }

    #[test]
    fn flags_must_all_hold() {
        assert!(!admits(&Filter { pids: vec![4121], causes: vec![Cause::Listener], ..Filter::default() }));
    }
}
