//! Ports that are configured and that nobody has open now → findings.

use super::configured::Configured;
use super::look::View;
use super::{Known, odds, remedy};
use crate::model::{ConfiguredBy, ConfiguredPort, Finding, FindingKind, Protocol};

/// The ports of a configuration that lie in the range of their namespace and are not reserved, but for those that a
/// finding of the namespace is about already.
pub(super) fn of_configured(
    view: &View,
    all: &[Configured],
    known: &Known,
    found: &[Finding],
) -> Vec<Finding> {
    let is_here = |one: &&Configured| one.netns.map_or(view.is_own, |netns| netns == view.netns);
    let of_one = |one: &Configured| {
        let (low, high) = view.range?;
        let (first, last) = (*one.ports.start().max(&low), *one.ports.end().min(&high));
        let is_open = |port: u16| {
            found.iter().any(|other| {
                other.netns == view.netns && other.protocol == Some(one.protocol) && other.port == Some(port)
            })
        };
        let at_risk = (first..=last).filter(|port| !view.is_reserved(*port) && !is_open(*port)).count();
        (at_risk > 0).then(|| finding(view, one, (first, last), at_risk, known))
    };
    all.iter().filter(is_here).filter_map(of_one).collect()
}

fn finding(
    view: &View,
    one: &Configured,
    (first, last): (u16, u16),
    at_risk: usize,
    known: &Known,
) -> Finding {
    let mut finding = remedy::blank(view, FindingKind::ConfiguredInRange);
    finding.protocol = Some(one.protocol);
    (finding.port, finding.last_port) = (Some(first), Some(last));
    finding.address = one.address;
    finding.configured = Some(ConfiguredPort {
        by: one.by,
        name: one.name.clone(),
        unit: one.unit.clone(),
        file: one.path.as_ref().map(|path| path.to_string_lossy().into_owned()),
        line: one.line,
        last_time: one.last_time,
        count: one.count,
    });
    let is_used = first == last
        && view.land(transport(one.protocol)).is_some_and(|(land, _)| land.used().any(|port| port == first));
    // Of those on the port the number is known here, not the address.
    let is_taken = is_used && one.address.is_none_or(|address| address.is_unspecified());
    // A socket unit keeps its socket while its service restarts.
    let unit = one.unit.as_deref().filter(|_| one.by != ConfiguredBy::SystemdSocket);
    if first == last
        && let Some((land, pace)) = view.land(transport(one.protocol))
    {
        let odds = odds::odds(land, first, *pace, known.downtime(unit));
        finding.odds = Some(if is_taken { odds::taken_now(odds) } else { odds });
    }
    finding.why = why(view, one, (first, last), at_risk);
    if is_used {
        finding.why.push_str(if is_taken {
            "; somebody is on it now who does not listen: a start fails until they are gone"
        } else {
            "; somebody is on it now who does not listen: a start fails if it is at that address"
        });
    }
    finding.advice = if first == last {
        remedy::for_port(view, first, None)
    } else {
        remedy::for_ports(view, first, last)
    };
    finding
}

/// Multipath TCP takes its ports as TCP.
const fn transport(protocol: Protocol) -> Protocol {
    match protocol {
        Protocol::Mptcp => Protocol::Tcp,
        other => other,
    }
}

fn why(view: &View, one: &Configured, (first, last): (u16, u16), at_risk: usize) -> String {
    let (low, high) = view.range.unwrap_or_default();
    let what = match one.by {
        ConfiguredBy::SystemdSocket => format!("the socket unit {} wants", one.name),
        ConfiguredBy::Services => format!("/etc/services has {} at", one.name),
        ConfiguredBy::NodePorts => "Kubernetes gives NodePorts out of".to_owned(),
        ConfiguredBy::Kubelet => format!("{} listens on", one.name),
        ConfiguredBy::File | ConfiguredBy::CommandLine => "it was asked about".to_owned(),
        ConfiguredBy::PastVictim => {
            let times = match one.count {
                Some(count) if count > 1 => format!("{count} times"),
                _ => "once".to_owned(),
            };
            format!("{} was refused {times}, by the history, its port", one.name)
        }
    };
    let range = format!("out of {low}-{high}, from which the kernel gives ports to clients");
    if first != last {
        return format!("{what} {first}-{last}; {at_risk} of these are {range}");
    }
    format!("{what} {first}, which is {range}")
}
