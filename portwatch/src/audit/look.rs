//! What every network namespace is like, and how fast ports are given away there: settings and sockets once, then glances
//! at what changes.

use super::land::Land;
use super::odds::Pace;
use super::tempo::{self, Tempo};
use crate::model::Protocol;
use crate::occupancy::{BoundPorts, Occupancy};
use crate::owner::namespaces::Namespace;
use crate::owner::netns;
use crate::owner::socket_tables::{self, Bounds, Entry};
use crate::ports::PortList;
use crate::who::Scope;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Protocols whose tables name every socket.
pub(super) const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
/// Between two glances: who comes and goes faster is not seen.
const GLANCE: Duration = Duration::from_millis(20);
/// Glances that take long are followed by a rest so many times as long.
const REST: u32 = 9;

/// One network namespace.
#[derive(Debug)]
pub(super) struct View {
    pub(super) netns: u32,
    pub(super) name: Option<String>,
    pub(super) is_own: bool,
    /// A path that leads in, for the commands of an advice.
    pub(super) door: Option<String>,
    pub(super) range: Option<(u16, u16)>,
    /// As the kernel writes it.
    pub(super) reserved: String,
    pub(super) step_width: Option<u32>,
    pub(super) occupancy: Occupancy,
    /// One a protocol, in the order of [`PROTOCOLS`].
    pub(super) lands: Vec<(Land, Pace)>,
    /// Sockets that others may come to: listeners, and datagram sockets without a peer. In the range only.
    pub(super) standing: Vec<Entry>,
    /// Numbers that such sockets have, in the range or not.
    pub(super) taken: Vec<u16>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) views: Vec<View>,
    /// Namespaces that could not be entered, and why.
    pub(super) shut: Vec<(u32, io::Error)>,
    /// Processes whose namespace may not be seen.
    pub(super) hidden: usize,
    /// For how long changes were watched.
    pub(super) sampled: Duration,
}

impl View {
    /// What stands on the range, for one protocol.
    pub(super) fn land(&self, protocol: Protocol) -> Option<&(Land, Pace)> {
        self.lands.iter().find(|(land, _)| land.protocol == protocol)
    }

    pub(super) fn is_reserved(&self, port: u16) -> bool {
        self.lands.first().is_some_and(|(land, _)| land.is_reserved(port))
    }
}

/// Looks at all of it, and then for a time at what changes.
pub(super) fn look(scope: &Scope, sample: Duration) -> Seen {
    let found = scope.namespaces();
    let mut seen = Seen { hidden: found.hidden, ..Seen::default() };
    let mut watched = Vec::new();
    for namespace in found.all {
        match namespace.within(|| (whole(&namespace), Tempo::start())) {
            Ok((view, tempo)) => watched.push((namespace, view, tempo)),
            // Its last process has ended meanwhile, and with it the namespace.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => seen.shut.push((namespace.number, error)),
        }
    }
    let begun = Instant::now();
    while begun.elapsed() < sample {
        let glance = Instant::now();
        for (namespace, view, tempo) in &mut watched {
            // A namespace that is gone by now does not change any more.
            let _ = namespace.within(|| tempo.glance(view.range));
        }
        let rest = GLANCE.max(glance.elapsed() * REST);
        sleep(rest.min(sample.saturating_sub(begun.elapsed())));
    }
    seen.sampled = begun.elapsed();
    seen.views.extend(watched.into_iter().map(|(_, mut view, tempo)| {
        for (land, pace) in &mut view.lands {
            *pace = tempo.pace(land);
        }
        view
    }));
    seen
}

/// Reads settings and tables of the namespace that the calling thread is in.
fn whole(namespace: &Namespace) -> View {
    let reserved = netns::reserved_here().unwrap_or_default().trim_end().to_owned();
    let range = netns::port_range();
    let list = PortList::parse(&reserved).unwrap_or_default();
    let mut standing = Vec::new();
    // Without a range nothing lies in it, but who listens where is told all the same.
    let land = |protocol| {
        let mut land = Land::new(protocol, range.unwrap_or((1, 0)), list.clone());
        // What cannot be read is told by the occupancy.
        let _ = socket_tables::each(protocol, Bounds::default(), &mut |entry| {
            land.add(&entry);
            if entry.remote.is_none() {
                standing.push(entry);
            }
        });
        land.close();
        (land, Pace::default())
    };
    let lands = PROTOCOLS.map(land).into();
    let mut taken: Vec<u16> = standing.iter().filter_map(|entry| Some(entry.local?.port())).collect();
    taken.sort_unstable();
    taken.dedup();
    standing.retain(|entry| entry.local.is_some_and(|local| is_within(range, local.port())));
    View {
        netns: namespace.number,
        name: namespace.name.clone(),
        is_own: namespace.number == netns::own(),
        door: namespace.doors.first().map(|door| door.to_string_lossy().into_owned()),
        range,
        reserved,
        step_width: tempo::step_width(),
        occupancy: Occupancy::read(&BoundPorts::default()),
        lands,
        standing,
        taken,
    }
}

pub(super) fn is_within(range: Option<(u16, u16)>, port: u16) -> bool {
    range.is_some_and(|(low, high)| (low..=high).contains(&port))
}
