//! How full the ephemeral range of any network namespace is: looked at in the namespace itself.

use super::namespaces::{Namespace, Namespaces};
use super::recent::Recent;
use crate::correlate::{RangeUse, WantedRange, WantedUse};
use crate::model::Protocol;
use crate::occupancy::{BoundPorts, Full, Question};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest look.
const LONGEST: Duration = Duration::from_secs(2);

/// Looks where a process leads, if it is still there, else by another way into the namespace. `bound` are the ports that the
/// records say were bound, asked for only if there has to be a look.
pub(super) fn at(
    looks: &mut Recent<Full>,
    wanted: WantedUse,
    by_process: bool,
    bound: impl FnOnce() -> BoundPorts,
) -> Option<RangeUse> {
    let full = looks.get(wanted.range, || look(wanted, by_process, bound()))?;
    Some(RangeUse {
        exhaustion: full.towards(wanted.connection),
        range: full.range,
        timestamps: full.timestamps,
        listeners: full.listeners.to_string(),
    })
}

fn look(wanted: WantedUse, by_process: bool, bound: BoundPorts) -> Option<Full> {
    let WantedRange { netns, protocol, low, high } = wanted.range;
    let protocol = match Protocol::from_wire(protocol)? {
        // It takes its ports as TCP.
        Protocol::Mptcp => Protocol::Tcp,
        other => other,
    };
    let until = Instant::now() + LONGEST;
    let question = Question { protocol, low, high, bound, wanted: wanted.connection, until };
    let door = PathBuf::from(format!("/proc/{}/ns/net", wanted.tgid));
    let near =
        Namespace { number: netns, name: None, doors: by_process.then_some(door).into_iter().collect() };
    let inside = |namespace: &Namespace| namespace.within(|| Full::look(&question)).ok();
    let farther = || Namespaces::find().all.into_iter().find(|one| one.number == netns);
    inside(&near).or_else(|| inside(&farther()?)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::netns;
    use std::net::{TcpListener, TcpStream};

    fn wanted(
        low: u16,
        high: u16,
        connection: Option<(std::net::IpAddr, std::net::SocketAddr)>,
    ) -> WantedUse {
        let range = WantedRange { netns: netns::own(), protocol: 6, low, high };
        WantedUse { range, tgid: std::process::id(), connection }
    }

    #[test]
    fn a_real_connection_is_taken_towards_its_destination_only() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("an address");
        let client = TcpStream::connect(to).expect("a connection");
        let port = client.local_addr().expect("an address").port();
        let mut looks = Recent::default();
        let mut ask = |wanted| at(&mut looks, wanted, true, BoundPorts::default).expect("our own namespace");
        let seen = ask(wanted(port, port, Some((to.ip(), to)))).exhaustion;
        assert_eq!((seen.ports, seen.in_use.established, seen.in_use.total()), (1, 1, 1), "{seen:?}");
        assert_eq!((seen.unavailable, seen.shared), (0, 1));
        assert_eq!(seen.destination.map(|one| (one.local, one.remote, one.ports)), Some((to.ip(), to, 1)));
        assert_eq!(seen.destinations.len(), 1);
        let other = ask(wanted(port, port, Some((to.ip(), "127.0.0.2:1".parse().expect("an address")))));
        assert_eq!(other.exhaustion.destination.map(|one| one.ports), Some(0));
        let listening = ask(wanted(to.port(), to.port(), None)).exhaustion;
        assert_eq!((listening.in_use.listen, listening.unavailable, listening.destination), (1, 1, None));
    }

    #[test]
    fn a_port_that_its_client_has_bound_is_nobodys_else_and_a_look_is_remembered() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let port = client.local_addr().expect("an address").port();
        let mut looks = Recent::default();
        let first = at(&mut looks, wanted(port, port, None), true, || BoundPorts {
            open: vec![port],
            closed: Vec::new(),
        })
        .expect("our own namespace");
        assert_eq!((first.exhaustion.unavailable, first.exhaustion.destinations.len()), (1, 0));
        let again = at(&mut looks, wanted(port, port, None), true, || panic!("looked again at once"));
        assert_eq!(again, Some(first));
        let nowhere =
            WantedUse { range: WantedRange { netns: 1, ..wanted(1, 2, None).range }, ..wanted(1, 2, None) };
        assert_eq!(at(&mut looks, nowhere, true, BoundPorts::default), None);
    }
}
