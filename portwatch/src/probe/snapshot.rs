//! One look at every socket that a process has open, with no hook attached: the iterator of the start-up snapshot.

use portwatch_common::record::how;
use portwatch_common::{Assignment, Task, map};

use super::load;
use super::sizes::Sizes;
use super::{Backend, Counters, Kernel, Reason, walk};

/// Nothing is sent through the ring: the smallest that the kernel takes.
const RING: u32 = 4096;
/// More sockets than most hosts have open. A table with room for all that there may be is tens of megabytes, which the kernel
/// clears before and frees after.
const MOST: u32 = 16_384;

/// A socket that a process has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// Network namespace.
    pub netns: u32,
    /// IPPROTO_*.
    pub protocol: u8,
    /// Its port.
    pub port: u16,
    /// Its inode.
    pub inode: u64,
    /// Whether the kernel chose the port.
    pub is_chosen: bool,
    /// A process that has it open.
    pub task: Task,
}

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The sockets on the wanted ports, in every network namespace.
    pub sockets: Vec<OpenSocket>,
    /// Sockets that found the table full: any of them may have a wanted port.
    pub lost: u64,
}

/// Every socket on these ports that a process has open, those that are only bound among them.
///
/// # Errors
/// When the kernel does not admit the iterator.
pub fn open_sockets(kernel: &Kernel, wanted: impl Fn(u16) -> bool) -> Result<Snapshot, Reason> {
    let found = look(kernel, MOST, &wanted)?;
    if found.lost == 0 { Ok(found) } else { look(kernel, Sizes::default().ports, &wanted) }
}

fn look(kernel: &Kernel, ports: u32, wanted: &impl Fn(u16) -> bool) -> Result<Snapshot, Reason> {
    let sizes = Sizes { ring: RING, ports };
    // Of the backends, because this one has UDP in the table that cannot overflow unnoticed.
    let mut ebpf = load::load(Backend::Fexit, kernel, sizes)?;
    load::snapshot(&mut ebpf, kernel)?;
    let mut sockets = Vec::new();
    for name in [map::PORTS, map::PORTS_SPILL, map::DATAGRAMS] {
        let Some(table) = ebpf.map(name) else { return Err(Reason::missing_table(name)) };
        walk::each_value(table, |record: &Assignment| {
            sockets.extend(wanted(record.port).then(|| open_socket(*record)));
        });
    }
    let counters = Counters::read(&ebpf);
    Ok(Snapshot { sockets, lost: counters.get("ports_full") + counters.get("ports_busy") })
}

fn open_socket(record: Assignment) -> OpenSocket {
    let Assignment { netns, protocol, port, inode, task, how, .. } = record;
    OpenSocket { netns, protocol, port, inode, task, is_chosen: how == how::PREEXISTING_CHOSEN }
}
