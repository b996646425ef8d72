//! One look at the live host: with BPF first, then the tables of every namespace.

use super::{Look, PROTOCOLS, Query, Scope, Standing, View, merge, notes};
use crate::model::Protocol;
use crate::owner::namespaces::Namespace;
use crate::owner::netns;
use crate::owner::socket_tables::{self, Tables};
use crate::probe::{Kernel, Reason, Snapshot, open_sockets};
use std::collections::BTreeSet;
use std::io;

/// The kernel, as far as it decides what can be seen.
#[derive(Debug)]
pub(super) struct Facts {
    kernel: Result<Kernel, Reason>,
    /// sock_diag tells of TCP sockets that are only bound.
    tells_bound: bool,
}

impl Facts {
    pub(super) fn read() -> Self {
        let kernel = Kernel::read();
        let tells_bound = match &kernel {
            Ok(kernel) => kernel.tells_bound_sockets(),
            // Without type information the version has to do.
            Err(_) => version(&rustix::system::uname().release().to_string_lossy()) >= (6, 8),
        };
        Self { kernel, tells_bound }
    }
}

/// Major and minor number of a release like `6.1.0-44-amd64`.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

pub(super) fn look(queries: &[Query], scope: &Scope, facts: &Facts, with_bpf: bool) -> Look {
    let ports: Vec<u16> =
        queries.iter().map(|query| query.port).collect::<BTreeSet<_>>().into_iter().collect();
    // First, so that a socket met here and found in a table afterwards lived all the while.
    let snapshot = match (&facts.kernel, with_bpf) {
        (_, false) => Err(notes::bpf_not_wanted()),
        (Ok(kernel), true) => open_sockets(kernel, |port| ports.contains(&port)),
        (Err(reason), true) => Err(reason.clone()),
    };
    let namespaces = scope.namespaces();
    let mut look = Look::default();
    let mut tables = Tables::default();
    let mut shut: Vec<(u32, io::Error)> = Vec::new();
    for namespace in &namespaces.all {
        match namespace.within(|| read(namespace, queries, &ports)) {
            Ok((view, seen)) => {
                look.views.push(view);
                tables.no_diag = tables.no_diag.or(seen.no_diag);
                tables.unreadable.extend(seen.unreadable);
            }
            // Its last process has ended meanwhile, and with it the namespace.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => shut.push((namespace.number, error)),
        }
    }
    let tells_bound = facts.tells_bound && tables.no_diag.is_none();
    notes::of_namespaces(&mut look.unseen, namespaces.hidden, &shut);
    notes::of_tables(&mut look.unseen, &tables);
    match snapshot {
        Ok(Snapshot { sockets, lost }) => {
            let shut: Vec<u32> = shut.iter().map(|(number, _)| *number).collect();
            merge::merge(
                &mut look.views,
                &sockets,
                queries,
                merge::Reach { scope, tells_bound, shut: &shut },
            );
            notes::of_snapshot(&mut look.unseen, lost);
            look.met = sockets;
        }
        Err(reason) => notes::no_snapshot(&mut look.unseen, &reason, tells_bound, *scope == Scope::All),
    }
    look
}

/// Reads the tables and settings of the namespace that the calling thread is in.
fn read(namespace: &Namespace, queries: &[Query], ports: &[u16]) -> (View, Tables) {
    let mut all = Tables::default();
    let mut sockets = Vec::new();
    for &port in ports {
        let wanted = |protocol: &Protocol| queries.iter().any(|q| q.port == port && q.wants(*protocol));
        let protocols: Vec<Protocol> = PROTOCOLS.into_iter().filter(wanted).collect();
        let seen = socket_tables::read(port, &protocols);
        sockets.extend(seen.entries.into_iter().map(|entry| Standing { port, entry }));
        all.no_diag = all.no_diag.or(seen.no_diag);
        all.unreadable.extend(seen.unreadable);
    }
    let view = View {
        netns: namespace.number,
        name: namespace.name.clone(),
        is_own: namespace.number == netns::own(),
        is_visited: true,
        door: namespace.doors.first().map(|door| door.to_string_lossy().into_owned()),
        range: netns::port_range(),
        reserved: netns::reserved_here().ok(),
        sockets,
    };
    (view, all)
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("6.1.0-44-cloud-amd64"), (6, 1));
        assert_eq!(version("6.18.44-fc-v669"), (6, 18));
        assert!(version("6.12.1") >= (6, 8) && version("5.10.223") < (6, 8) && version("") == (0, 0));
    }
}
