//! `ip_local_reserved_ports` of a network namespace: read, added to, replaced.
//!
//! What the kernel does with a write was tried on 6.18 and is the same in `proc_do_large_bitmap` since 5.2:
//!
//! - At offset 0 a write replaces the list, at any other it is ORed into it. So ports are added without knowing the others,
//!   and nobody's change is lost, also that of tools which know nothing of our lock. (The OR goes word by word and without
//!   a lock: two writers in the same nanoseconds could still undo one another in one word. So ours take turns, and
//!   whoever has added reads back.)
//! - Of one write it reads a page less one byte and says how much it took.
//! - So a list of up to 4,095 bytes is replaced at once; of a longer one the first write leaves only its own ports, and the
//!   next ones bring the others back. For the longest, 191,052 bytes in 48 writes, that took 3 ms. No way around was
//!   found: nothing but a replacement takes a port out. What is missed most is written first (`pieces`).
//! - An empty write changes nothing; a line feed at offset 0 empties the list. A text with an error changes nothing.

use super::pieces::pieces;
use crate::owner::namespaces::Namespace;
use crate::owner::netns;
use crate::ports::PortList;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The setting's file, in the namespace of the thread that opens it.
pub(super) const PATH: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// Where a write is ORed into the list.
const ADD: u64 = 1;

/// What is set in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Now {
    pub(super) reserved: PortList,
    /// First and last ephemeral port, if that could be read.
    pub(super) range: Option<(u16, u16)>,
}

/// Reads both settings.
pub(super) fn read(namespace: &Namespace) -> io::Result<Now> {
    let (text, range) =
        namespace.within(|| netns::reserved_here().map(|text| (text, netns::port_range())))??;
    let reserved = PortList::parse(&text).map_err(io::Error::other)?;
    Ok(Now { reserved, range })
}

/// Opens the setting for changing it. It stays that of the namespace, whichever thread writes.
pub(super) fn open(namespace: &Namespace) -> io::Result<File> {
    namespace.within(|| File::options().write(true).open(PATH))?
}

/// Opens it for reading only.
pub(super) fn open_to_lock(namespace: &Namespace) -> io::Result<File> {
    namespace.within(|| File::open(PATH))?
}

/// Adds ports to whatever the list holds.
pub(super) fn add(setting: &File, ports: &PortList) -> io::Result<()> {
    pieces(ports, None).iter().try_for_each(|piece| write(setting, piece, ADD))
}

/// Makes it this list.
pub(super) fn replace(setting: &File, list: &PortList, ephemeral: Option<(u16, u16)>) -> io::Result<()> {
    if list.ranges().is_empty() {
        return write(setting, "\n", 0);
    }
    let mut at = 0;
    for piece in pieces(list, ephemeral) {
        write(setting, &piece, at)?;
        at = ADD;
    }
    Ok(())
}

/// Whether [`replace`] takes more than one write.
pub(super) fn takes_several_writes(list: &PortList) -> bool {
    pieces(list, None).len() > 1
}

fn write(setting: &File, text: &str, at: u64) -> io::Result<()> {
    let mut rest = text.as_bytes();
    let mut at = at;
    while !rest.is_empty() {
        let taken = setting.write_at(rest, at)?;
        if taken == 0 {
            return Err(io::Error::other("the kernel took nothing of the list"));
        }
        rest = &rest[taken.min(rest.len())..];
        // What is left of a replacement must not replace what was taken.
        at += ADD;
    }
    Ok(())
}
