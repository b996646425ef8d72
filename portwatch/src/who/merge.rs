//! Adds to the tables the sockets that only BPF has met: those that are bound and nothing else, where the kernel tells
//! sock_diag nothing of them, and those in namespaces that cannot be entered. Pure.

use super::{Query, Scope, Standing, View};
use crate::model::{Protocol, State};
use crate::owner::socket_tables::Entry;
use crate::probe::OpenSocket;

/// What the tables could show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    pub(super) scope: &'a Scope,
    /// The tables have the sockets that are only bound.
    pub(super) tells_bound: bool,
    /// Namespaces that could not be entered.
    pub(super) shut: &'a [u32],
}

pub(super) fn merge(views: &mut Vec<View>, met: &[OpenSocket], queries: &[Query], reach: Reach<'_>) {
    for socket in met {
        let Some(protocol) = Protocol::from_wire(u16::from(socket.protocol)) else { continue };
        if !queries.iter().any(|query| query.port == socket.port && query.wants(protocol)) {
            continue;
        }
        let at = views.iter().position(|view| view.netns == socket.netns);
        let view = match at {
            Some(at) => &mut views[at],
            None if is_in_scope(socket.netns, reach) => {
                views.push(View { netns: socket.netns, ..View::default() });
                let last = views.len() - 1;
                &mut views[last]
            }
            None => continue,
        };
        if is_news(view, socket, protocol, reach.tells_bound) {
            let state = if view.is_visited { State::Close } else { State::Unknown };
            view.sockets.push(Standing { port: socket.port, entry: bare(protocol, state, socket.inode) });
        }
    }
}

fn is_in_scope(netns: u32, reach: Reach<'_>) -> bool {
    match reach.scope {
        Scope::All => true,
        Scope::Own | Scope::Behind(..) => reach.shut.contains(&netns),
    }
}

/// Whether the socket is not in the tables because they cannot have it, and not because it is gone by now.
fn is_news(view: &View, socket: &OpenSocket, protocol: Protocol, tells_bound: bool) -> bool {
    // A table never has an SCTP socket that is only bound.
    let is_hidden = protocol == Protocol::Sctp || (protocol == Protocol::Tcp && !tells_bound);
    let is_known = view.sockets.iter().any(|known| known.entry.inode == socket.inode);
    !is_known && socket.inode != 0 && (!view.is_visited || is_hidden)
}

/// A socket of which only the port is known.
const fn bare(protocol: Protocol, state: State, inode: u64) -> Entry {
    Entry { protocol, state, local: None, remote: None, uid: None, inode, ends_in_ms: None }
}
