//! SCTP holders that no hook has met: clients, and whoever came to a port by `sctp_bindx()`. They are looked for in the
//! kernel's list after the refusal, where the kernel side knows nobody who was in the way.

use super::lookups::Lookups;
use super::select::Suspect;
use crate::model::Evidence;
use crate::rule::{self, Endpoint, Era};
use portwatch_common::record::{Holder, Refusal, found_by, tag};

/// The sockets on the wanted port, as records like those of the kernel side.
pub(super) fn listed(refusal: &Refusal, lookups: &mut dyn Lookups) -> Vec<Holder> {
    let wanted = &refusal.socket;
    let sockets = lookups.sctp_sockets(wanted.netns, refusal.task.tgid, wanted.local_port);
    // A refused listen() meets itself there.
    let others = sockets.into_iter().filter(|socket| socket.inode != wanted.inode || socket.inode == 0);
    let record = |socket| Holder {
        tag: tag::HOLDER,
        found_by: found_by::LIST,
        refusal: refusal.id,
        socket,
        ..Holder::default()
    };
    others.map(record).collect()
}

/// Who was in the way though none of the addresses that are known is. A client is bound to all addresses, and shows only
/// the one that its connection goes out from; so it was that one, if there is but one.
pub(super) fn by_elimination(refusal: &Refusal, own: &[&Holder], era: Era) -> Option<Suspect> {
    let mut connected = own.iter().filter(|record| record.socket.remote_port != 0);
    let only = connected.next()?;
    let is_same = |other: &&Holder| other.socket.inode == only.socket.inode;
    let mut endpoint = Endpoint::from(&only.socket);
    endpoint.local = Endpoint::from(&refusal.socket).local;
    let is_alone = connected.all(is_same) && only.socket.inode != 0;
    (is_alone && rule::conflicts(&Endpoint::from(&refusal.socket), &endpoint, era)).then_some(Suspect {
        socket: only.socket,
        assignment: None,
        evidence: Evidence::SocketDump,
    })
}
