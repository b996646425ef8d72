//! SCTP. All its functions and its table of ports are in a module, which may be loaded long after portwatch started. But
//! `inet_bind` and `inet6_bind`, which lead to them, are not; and the sockets that came by there are kept by port.

use portwatch_common::{
    Assignment, PortKey,
    record::{how, operation},
};

use crate::assign::{Earlier, Given, record_met};
use crate::field::{Access, Probed, field};
use crate::maps::SCTP;
use crate::sock::{self, AF_INET6, IPPROTO_SCTP};
use crate::walk::Outcome;
use crate::{attempt, emit, refuse};

const EADDRINUSE: u32 = 98;
/// Sockets kept for one port: more than one have agreed to share it, or have an address each. [`walk_sctp`] has as many.
const SLOTS: u8 = 8;

/// The port in a socket address, which the kernel has already copied from the caller.
#[inline(always)]
pub(crate) fn wanted_port(address: u64) -> u16 {
    u16::from_be(Probed::read(address as *const u8, 2))
}

/// Follows a bind(): notes the address that it asks for, which the socket will never have if it is refused.
#[inline(always)]
pub(crate) fn begin(address: u64) {
    if let Some(attempt) = attempt::begin() {
        let address = address as *const u8;
        attempt.family = Probed::read(address, 0);
        attempt.has_address = 1;
        if attempt.family == AF_INET6 {
            attempt.address = Probed::read(address, 8);
        } else {
            let v4: [u8; 4] = Probed::read(address, 4);
            attempt.address[..4].copy_from_slice(&v4);
        }
    }
}

/// The end of a bind() that was followed; `result` as the kernel returns it.
///
/// A global function: the verifier checks it once, by itself. So the socket comes as a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn sctp_bound(sk: u64, port: u32, result: u32) -> u32 {
    if result == 0 {
        let sk = sk as *const u8;
        let how = if port == 0 { how::BIND0 } else { how::BIND };
        let given = Given { protocol: IPPROTO_SCTP, port: field!(Probed, sk, skc_num), how };
        record_met(sk, given, Earlier::Replace);
    } else if result == EADDRINUSE.wrapping_neg() {
        if port == 0 {
            refuse::report_exhaustion(sk, EADDRINUSE, u32::from(operation::BIND));
        } else {
            refuse::report_refusal(sk, port, u32::from(operation::BIND));
        }
    }
    attempt::end();
    0
}

/// Keeps a socket under its port.
#[inline(always)]
pub(crate) fn note(sk: u64, assignment: &Assignment) {
    // Inode numbers are given in turn: neighbours do not meet.
    let slot = assignment.inode as u8 % SLOTS;
    let key = PortKey { netns: assignment.netns, port: assignment.port, protocol: IPPROTO_SCTP as u8, slot };
    // LRU: cannot be full.
    let _ = SCTP.insert(key, sk, 0);
}

/// Sends the sockets that are known to be on a port. Whether they still are is read from themselves; but clients, who
/// never came by, are not among them: user space looks for those.
#[inline(always)]
pub(crate) fn walk(netns: u32, port: u32, refusal: u64) -> u64 {
    walk_sctp(netns, port, refusal) | Outcome::BLIND
}

/// A global function, like the other walks. One slot after the other: 5.10 knows a loop only where its last step jumps.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_sctp(netns: u32, port: u32, refusal: u64) -> u64 {
    let of = |slot| send_slot(netns, port, refusal, slot);
    of(0) + of(1) + of(2) + of(3) + of(4) + of(5) + of(6) + of(7)
}

/// Sends the socket that is kept in one slot of a port.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn send_slot(netns: u32, port: u32, refusal: u64, slot: u32) -> u64 {
    let key = PortKey { netns, port: port as u16, protocol: IPPROTO_SCTP as u8, slot: slot as u8 };
    let Some(entry) = SCTP.get_ptr(key) else { return 0 };
    // SAFETY: a map value, read by copy.
    let sk = unsafe { *entry };
    if sock::protocol(sk as *const u8) != IPPROTO_SCTP {
        return 0;
    }
    emit::send_holder(sk, refusal, netns, port)
}
