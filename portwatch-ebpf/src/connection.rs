//! Which connection the record of a socket is of: what proves that no earlier socket at the same address left it.

use portwatch_common::Assignment;

use crate::constant::constant;
use crate::field::{Access, field};
use crate::{ports, sock};

/// A bound socket connects: its record gets the connection, without which it would not count once the socket has no file.
#[inline(never)]
pub(crate) fn bound_connects<A: Access>(sk: *const u8, key: u64) {
    if let Some(record) = ports::find(key) {
        // SAFETY: a map value of this socket, which is locked.
        connects::<A>(unsafe { &mut *record }, sk, field!(A, sk, skc_num));
    }
}

/// Whether the record is that of the socket `sk`, which has just connected; if so, it gets the connection.
#[inline(always)]
pub(crate) fn connects<A: Access>(record: &mut Assignment, sk: *const u8, port: u16) -> bool {
    let is_its = is_own::<A>(record, sk, sock::inode::<A>(sk), port);
    if is_its {
        record.task.pad = connection::<A>(sk);
    }
    is_its
}

/// Whether the record at a socket's address is the socket's own. Addresses are reused at once, so another inode means an earlier
/// socket; and a socket that was disconnected has another port. The kernel makes the TCP sockets of a multipath one before it
/// gives them a file, so those have a record without an inode.
#[inline(always)]
pub(crate) fn is_own<A: Access>(record: &Assignment, sk: *const u8, inode: u64, port: u16) -> bool {
    let has_same_file = record.inode == inode
        || record.inode == 0 && sock::is_multipath::<A>(sk, u16::from(record.protocol)) != 0;
    has_same_file && is_on_port(record, port)
}

#[inline(always)]
pub(crate) fn is_on_port(record: &Assignment, port: u16) -> bool {
    record.port == port || record.port == 0
}

/// Distinguishes the connections of a port, for sockets without a file. 0 before connect().
///
/// It is the kernel's own hash of all addresses and ports. The tracepoint backend records before the kernel has computed it, and
/// takes the remote end; always even there, see `release::remember`.
#[inline(always)]
pub(crate) fn connection<A: Access>(sk: *const u8) -> u32 {
    if constant!(tuning.datagrams) == 0 { field!(A, sk, skc_hash) } else { sock::remote::<A>(sk) & !1 }
}
