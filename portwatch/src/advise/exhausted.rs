//! What to do when no port of the range is left: first what helps against that which fills it.

use super::{Situation, advice, command};
use crate::model::{Action, Advice, AssignedBy, Conflict, Destination, Exhaustion, Holder, Operation};
use crate::ports::PortList;

/// The kernel's range unless somebody sets another.
const DEFAULT: (u16, u16) = (32_768, 60_999);
/// Below it lie most ports that programs are configured with.
const LOW: u16 = 16_384;
/// A range with fewer ports was set by somebody, and no load is to blame.
const NARROW: u32 = 512;
/// `IP_BIND_ADDRESS_NO_PORT`, where its meaning has to be told.
const NO_PORT: &str = "IP_BIND_ADDRESS_NO_PORT before bind()";

pub(super) fn exhausted(conflict: &Conflict, situation: &Situation) -> Vec<Advice> {
    let why = "shows who uses up the range";
    let inspect = advice(Action::Inspect, why, vec![command::inspect(conflict, situation)]);
    let Some(full) = &conflict.exhaustion else {
        return widen(conflict, situation).into_iter().chain([inspect]).collect();
    };
    let case = Case { conflict, situation, full };
    let mut all = Vec::new();
    if full.reserved > full.ports {
        all.extend(case.unreserve());
    }
    all.extend(case.own_part());
    let widen = widen(conflict, situation);
    if size(conflict.range.low, conflict.range.high) < NARROW {
        all.extend(widen.clone());
    }
    match case.filling() {
        Filling::Bound => {
            all.extend(case.restart());
            all.extend(widen);
            all.extend(case.without_port());
        }
        Filling::BoundConnections => {
            all.extend(widen);
            all.extend(case.without_port());
            all.extend(case.restart());
        }
        Filling::TimeWait => {
            all.extend(case.take_over());
            all.extend(widen);
            all.push(case.keep());
            all.extend(case.spread());
        }
        Filling::Leak => {
            all.extend(case.restart());
            all.extend(widen);
            all.extend(case.spread());
        }
        Filling::Connections => {
            all.extend(widen);
            all.extend(case.spread());
            all.push(case.keep());
            all.extend(case.restart());
        }
    }
    all.push(inspect);
    once_each(all)
}

/// The first of each, where two ways lead to one advice.
fn once_each(all: Vec<Advice>) -> Vec<Advice> {
    let mut told: Vec<Advice> = Vec::new();
    for one in all {
        if !told.iter().any(|before| before.action == one.action && before.commands == one.commands) {
            told.push(one);
        }
    }
    told
}

/// What most of the ports that this call could not have are taken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    /// Sockets that have a port for themselves: nobody shares it, whatever the destination.
    Bound,
    /// The same, but of connections: closed, they keep their port in TIME_WAIT for as little use.
    BoundConnections,
    /// Closed connections.
    TimeWait,
    /// Connections that the other side has closed, and the process has not.
    Leak,
    /// Connections.
    Connections,
}

struct Case<'a> {
    conflict: &'a Conflict,
    situation: &'a Situation,
    full: &'a Exhaustion,
}

impl Case<'_> {
    fn filling(&self) -> Filling {
        let full = self.full;
        let (connections, time_wait) = match self.destination() {
            Some(destination) => (destination.ports, destination.time_wait),
            None => (full.shared, full.in_use.time_wait.min(full.shared)),
        };
        let live = connections.saturating_sub(time_wait);
        if full.unavailable >= connections {
            let idle = full.in_use.bound.saturating_add(full.in_use.listen);
            let is_idle =
                self.conflict.protocol.is_datagram() || idle >= full.unavailable.saturating_sub(idle);
            if is_idle { Filling::Bound } else { Filling::BoundConnections }
        } else if time_wait >= live {
            Filling::TimeWait
        } else if full.close_wait > full.in_use.established / 2 {
            Filling::Leak
        } else {
            Filling::Connections
        }
    }

    /// Where the refused connection wanted to go.
    fn destination(&self) -> Option<&Destination> {
        self.full.destination.as_ref()
    }

    fn is_connection(&self) -> bool {
        self.conflict.operation == Operation::Connect
    }

    /// The largest block of reserved ports of the range on which nobody listens.
    fn unreserve(&self) -> Option<Advice> {
        let mut idle = PortList::parse(self.situation.reserved.as_deref()?).ok()?;
        let listeners =
            self.situation.range.as_ref().map(|range| range.listeners.clone()).unwrap_or_default();
        listeners.ranges().iter().for_each(|&(low, high)| idle.remove(low, high));
        let (low, high) = (self.full.low, self.full.high);
        let inside = idle.ranges().iter().map(|&(l, h)| (l.max(low), h.min(high))).filter(|(l, h)| l <= h);
        let (first, last) = inside.max_by_key(|(l, h)| h - l)?;
        let (reserved, left) = (self.full.reserved, self.full.ports);
        let why = format!(
            "{reserved} ports of {low} to {high} are reserved, which leaves {left} to the kernel; nobody listens on {first} to {last} now: give them back unless a service needs them that is not running"
        );
        let ports = if first == last { first.to_string() } else { format!("{first}-{last}") };
        let words = command::unreserve(self.conflict, self.situation, &ports);
        Some(advice(Action::UnreservePort, why, vec![words]))
    }

    /// The socket itself asked for a part of the range.
    fn own_part(&self) -> Option<Advice> {
        let (low, high) = self.situation.range.as_ref()?.range?;
        let part = self.conflict.range;
        let is_part = low < part.low || high > part.high;
        let why = format!(
            "the socket asked for {} to {} only (IP_LOCAL_PORT_RANGE), and the range is {low} to {high}: give it a larger part",
            part.low, part.high
        );
        is_part.then(|| advice(Action::SetOption, why, Vec::new()))
    }

    /// The process that has most of the range, if that is half of what is in use.
    fn restart(&self) -> Option<Advice> {
        let holder = self.conflict.culprit().filter(|holder| holder.alive)?;
        let process = holder.process.as_ref()?;
        let sockets =
            holder.sockets.filter(|sockets| sockets.saturating_mul(2) >= self.full.in_use.total())?;
        let commands: Vec<_> = command::restart(process).into_iter().collect();
        let who = crate::text::printable(&process.comm).into_owned();
        let why =
            format!("{who} (pid {}) has {sockets} sockets on the range, {}", process.pid, self.blame(holder));
        (!commands.is_empty()).then(|| advice(Action::FreePort, why, commands))
    }

    /// What is wrong with so many sockets, and what ending them does.
    fn blame(&self, holder: &Holder) -> &'static str {
        match (self.filling(), holder.assigned_by) {
            (Filling::Bound, AssignedBy::Autobind) => {
                "one for each message or peer perhaps, although one socket can send to all of them: this frees them now"
            }
            (Filling::Bound, _) => {
                "which it has bound, so that nobody can share their ports: this frees them now"
            }
            (Filling::Leak, _) => {
                "most of which the other side has closed and it has not: this frees them now"
            }
            _ => {
                "more than anybody else: this frees them, but those that it closes before the other side does stay in TIME_WAIT for 60 seconds"
            }
        }
    }

    /// A source address without a source port.
    fn without_port(&self) -> Option<Advice> {
        let is_datagram = self.conflict.protocol.is_datagram();
        let why = format!(
            "a client that binds its source address with port 0 keeps the port from everybody; with {NO_PORT} connect() chooses it, and one port serves many destinations"
        );
        (!is_datagram).then(|| advice(Action::SetOption, why, Vec::new()))
    }

    /// Lets connect() have ports in TIME_WAIT.
    fn take_over(&self) -> Option<Advice> {
        let timestamps = self.situation.range.as_ref().and_then(|range| range.timestamps);
        let is_loopback =
            self.destination().is_some_and(|one| one.remote.ip().is_loopback() || one.local.is_loopback());
        let is_on = match self.full.time_wait_reuse {
            Some(2) => is_loopback,
            Some(reuse) => reuse == 1,
            None => true,
        };
        if !self.is_connection() || is_on || timestamps == Some(false) {
            return None;
        }
        let why = "lets connect() take over a port that has been in TIME_WAIT for more than a second; both ends need TCP timestamps, and neither bind() nor a socket that bound its port gains by it";
        let words = command::set(self.conflict, self.situation, "net.ipv4.tcp_tw_reuse", "1");
        Some(advice(Action::ReuseTimeWait, why, vec![words]))
    }

    fn keep(&self) -> Advice {
        let why = if self.is_connection() {
            "use connections again (keep-alive, a pool): whoever closes first keeps its port for 60 seconds more in TIME_WAIT"
        } else {
            "connections have the ports, and 60 seconds longer if this side closes them first: fewer of them (keep-alive, a pool) leave ports for bind()"
        };
        advice(Action::KeepConnections, why, Vec::new())
    }

    /// More pairs of addresses.
    fn spread(&self) -> Option<Advice> {
        let destination = self.destination()?;
        let why = format!(
            "{} has one port for each connection from {}: more addresses or ports of the destination, or more local addresses (bind() with {NO_PORT}), have as many each",
            destination.remote, destination.local
        );
        Some(advice(Action::SpreadConnections, why, Vec::new()))
    }
}

/// Ports of a range.
fn size(low: u16, high: u16) -> u32 {
    u32::from(high.saturating_sub(low)) + 1
}

/// A larger range, if there is room for one.
fn widen(conflict: &Conflict, situation: &Situation) -> Option<Advice> {
    let settings = situation.range.as_ref();
    let (low, high) =
        settings.and_then(|range| range.range).unwrap_or((conflict.range.low, conflict.range.high));
    let (to_low, to_high) = match (low > DEFAULT.0 || high < DEFAULT.1, low > LOW) {
        (true, _) => (low.min(DEFAULT.0), high.max(DEFAULT.1)),
        (false, true) => (LOW, high),
        (false, false) => return None,
    };
    let mut reserved =
        situation.reserved.as_deref().and_then(|text| PortList::parse(text).ok()).unwrap_or_default();
    let mut endangered = PortList::default();
    for &(l, h) in settings.map_or(&[][..], |range| range.listeners.ranges()) {
        (l.max(to_low)..=h.min(to_high)).for_each(|port| {
            if !(low..=high).contains(&port) && !reserved.contains(port) {
                endangered.insert(port, port);
            }
        });
    }
    endangered.ranges().iter().for_each(|&(l, h)| reserved.insert(l, h));
    let mut commands = Vec::new();
    let is_safe = match (settings, endangered.count()) {
        (None, _) => "first make sure that no service is configured on the ports that are added".to_owned(),
        (Some(_), 0) => {
            "nobody listens on the ports that are added; make sure that no service that is not running is configured there"
                .to_owned()
        }
        (Some(_), _) => {
            commands.push(command::reserve_list(conflict, situation, &reserved));
            format!(
                "the listeners there ({endangered}) are kept out of it first; make sure that no service that is not running is configured there"
            )
        }
    };
    commands.push(command::widen(conflict, situation, to_low, to_high));
    let taken = match size(low, high) < NARROW {
        true => format!(
            "the range has only the {} ports from {low} to {high}, which somebody has set",
            size(low, high)
        ),
        false => format!("all of {low} to {high} is taken for this address"),
    };
    Some(advice(Action::WidenRange, format!("{taken}: more ports; {is_safe}"), commands))
}
