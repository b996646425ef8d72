//! How many ports of services lie where the kernel gives ports to clients, in all network namespaces: the number that the
//! agent serves. It looks at nobody's descriptors and watches nothing, so that it may be asked four times a minute.

use super::look::is_within;
use crate::model::{Protocol, State};
use crate::owner::netns;
use crate::owner::socket_tables::{self, Entry};
use crate::ports::PortList;
use crate::who::Scope;
use portwatch_common::Assignment;
use portwatch_common::record::how;
use std::collections::{HashMap, HashSet};

/// A socket that may be a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Candidate {
    netns: u32,
    protocol: Protocol,
    port: u16,
    inode: u64,
}

/// Counts, each port of a namespace and protocol once. `records` is asked for what the kernel side has recorded of some, if
/// there is anybody to be told apart: a port that the kernel chose is nobody's in particular.
pub fn count(records: impl FnOnce(&dyn Fn(&Assignment) -> bool) -> Vec<Assignment>) -> u64 {
    let candidates = candidates();
    if candidates.is_empty() {
        return 0;
    }
    let wanted: HashSet<(u32, u64)> = candidates.iter().map(|one| (one.netns, one.inode)).collect();
    let records = records(&|record| wanted.contains(&(record.netns, record.inode)));
    let hows = records.into_iter().map(|record| ((record.netns, record.inode), record.how));
    let hows: HashMap<(u32, u64), u8> = hows.collect();
    let wanted = candidates.iter().filter(|one| is_wanted(one, hows.get(&(one.netns, one.inode)).copied()));
    wanted.map(|one| (one.netns, one.protocol, one.port)).collect::<HashSet<_>>().len() as u64
}

/// Whether somebody wants this very number. A listener of which nothing is known does; a datagram socket is then likelier a
/// client.
fn is_wanted(candidate: &Candidate, how: Option<u8>) -> bool {
    let is_chosen = matches!(how, Some(how::BIND0 | how::LISTEN | how::AUTOBIND | how::PREEXISTING_CHOSEN));
    match candidate.protocol.is_datagram() {
        true => matches!(how, Some(how::BIND | how::PREEXISTING)),
        false => !is_chosen,
    }
}

fn candidates() -> HashSet<Candidate> {
    let mut all = HashSet::new();
    for namespace in Scope::All.namespaces().all {
        // One that cannot be entered, or is gone by now, has none that could be seen.
        let _ = namespace.within(|| {
            let (range, reserved) = (netns::port_range(), netns::reserved_here().unwrap_or_default());
            let reserved = PortList::parse(&reserved).unwrap_or_default();
            let mut take = |entry: Entry| {
                let port = entry.local.map(|local| local.port()).unwrap_or_default();
                let stands = entry.state == State::Listen || entry.protocol.is_datagram();
                if stands && entry.remote.is_none() && is_within(range, port) && !reserved.contains(port) {
                    let (protocol, inode) = (entry.protocol, entry.inode);
                    all.insert(Candidate { netns: namespace.number, protocol, port, inode });
                }
            };
            for protocol in super::look::PROTOCOLS {
                socket_tables::standing(protocol, &mut take);
            }
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_kernel_chose_is_nobody_s_in_particular() {
        let of = |protocol, how| is_wanted(&Candidate { netns: 1, protocol, port: 42_000, inode: 7 }, how);
        for how in [None, Some(how::BIND), Some(how::PREEXISTING)] {
            assert!(of(Protocol::Tcp, how), "{how:?}");
        }
        for how in [how::BIND0, how::LISTEN, how::PREEXISTING_CHOSEN] {
            assert!(!of(Protocol::Tcp, Some(how)), "{how}");
        }
        assert!(of(Protocol::Udp, Some(how::BIND)) && of(Protocol::Udp, Some(how::PREEXISTING)));
        for how in [None, Some(how::AUTOBIND), Some(how::BIND0), Some(how::PREEXISTING_CHOSEN)] {
            assert!(!of(Protocol::Udp, how), "{how:?}");
        }
    }
}
