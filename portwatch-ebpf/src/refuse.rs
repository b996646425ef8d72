//! A port was refused: report the wish, the range, and every socket that stands on the port.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns};
use aya_ebpf::maps::ring_buf::RingBufEntry;
use portwatch_common::{
    Attempt, Refusal, counter,
    record::{refusal_flag, tag},
};

use crate::constant::constant;
use crate::field::{Access, Probed, field, present};
use crate::maps::{EVENTS, count};
use crate::walk::{self, Outcome};
use crate::{assign, attempt, emit, sctp, sock, task, words};

const EADDRINUSE: u32 = 98;
/// A socket closed for longer was not in the way; user space is stricter.
const RECENT_NS: u64 = 100_000_000;

/// A bind() or listen() for `port` was refused: sends every socket that stands on the port, then the refusal itself.
/// What the hooks of the call have written down is found under the current thread in `ATTEMPTS`.
///
/// A global function: the verifier checks it once, by itself. So the socket comes as a number.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn report_refusal(sk: u64, port: u32, operation: u32) -> u32 {
    let sk = sk as *const u8;
    let when = now();
    let id = id(when);
    let met = walk(sk, port, id, when);
    let mut flags = walk_flags(met);
    let (mut sent, mut lost) = (met.sent(), met.lost());
    match attempt::current() {
        Some(attempt) => send_verdict(attempt, id, &mut sent, &mut lost),
        None => flags |= refusal_flag::NO_VERDICT,
    }
    let Some(mut entry) = begin(id, when) else { return 0 };
    // SAFETY: the entry is ours until submitted, and every byte of it is written.
    let refusal = unsafe { &mut *entry.as_mut_ptr() };
    refusal.holders = sent;
    refusal.holders_lost = lost;
    refusal.flags = flags;
    describe(sk, port as u16, refusal);
    refusal.errno = EADDRINUSE;
    refusal.operation = operation as u8;
    entry.submit(emit::WAKEUP);
    0
}

/// No port of the range was free: nobody in particular is to blame.
///
/// A global function, like [`report_refusal`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn report_exhaustion(sk: u64, errno: u32, operation: u32) -> u32 {
    let when = now();
    let Some(mut entry) = begin(id(when), when) else { return 0 };
    // SAFETY: the entry is ours until submitted, and every byte of it is written.
    let refusal = unsafe { &mut *entry.as_mut_ptr() };
    refusal.holders = 0;
    refusal.holders_lost = 0;
    refusal.flags = refusal_flag::NO_VERDICT;
    describe(sk as *const u8, 0, refusal);
    refusal.errno = errno;
    refusal.operation = operation as u8;
    entry.submit(emit::WAKEUP);
    0
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Joins the holders to their refusal: no thread is refused twice in the same nanosecond.
#[inline(always)]
fn id(when: u64) -> u64 {
    bpf_get_current_pid_tgid() << 32 | when & 0xffff_ffff
}

/// A ring entry with the part that does not depend on the wish; announces the victim before it.
#[inline(always)]
fn begin(id: u64, when: u64) -> Option<RingBufEntry<Refusal>> {
    count(counter::REFUSALS);
    assign::announce_current();
    let Some(mut entry) = EVENTS.reserve::<Refusal>(0) else {
        count(counter::REFUSALS_LOST);
        return None;
    };
    // SAFETY: the entry is ours until submitted.
    let refusal = unsafe { &mut *entry.as_mut_ptr() };
    refusal.tag = tag::REFUSAL;
    refusal.id = id;
    refusal.when_ns = when;
    // SAFETY: as above.
    unsafe { task::write_current_aside(&raw mut refusal.task) };
    // SAFETY: operation, flags and padding are one word.
    unsafe { words::clear_from(&raw mut refusal.operation) };
    Some(entry)
}

/// The wish, and the range of the namespace in which it could not be met.
#[inline(always)]
fn describe(sk: *const u8, port: u16, refusal: &mut Refusal) {
    sock::describe(sk, &mut refusal.socket);
    refusal.socket.local_port = port;
    if let Some(attempt) = attempt::current()
        && attempt.has_address != 0
    {
        // SAFETY: an address is two words, and lies at a multiple of one.
        unsafe {
            words::copy(
                (&raw const attempt.address).cast::<[u64; 2]>(),
                (&raw mut refusal.socket.local).cast(),
            );
        }
        if refusal.socket.family == sock::AF_INET6 && attempt.family == sock::AF_INET {
            refusal.socket.local = mapped(&attempt.address);
        }
    }
    let net = net_of(sk);
    (refusal.range_low, refusal.range_high) = range(net as *const u8);
    if port == 0 {
        narrow(sk, refusal);
    }
    if reserved(net as *const u8, port) {
        refusal.flags |= refusal_flag::RESERVED;
    }
}

/// An IPv4 address as IPv6 writes it.
#[inline(always)]
fn mapped(address: &[u8; 16]) -> [u8; 16] {
    let [a, b, c, d, ..] = *address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

#[inline(always)]
fn net_of(sk: *const u8) -> u64 {
    field!(Probed, sk, skc_net)
}

/// Sends every socket on the port.
#[inline(always)]
fn walk(sk: *const u8, port: u32, id: u64, when: u64) -> Outcome {
    let net = net_of(sk);
    let netns: u32 = field!(Probed, net as *const u8, net_inum);
    let protocol = sock::protocol(sk);
    Outcome(if protocol == sock::IPPROTO_SCTP {
        sctp::walk(netns, port, id)
    } else if sock::is_datagram(protocol) {
        walk::walk_udp(net, walk::udp_table(sk, net), netns, port, id)
    } else {
        let met = walk::walk_tcp(net, netns, port, id);
        // The other backends have the kernel's verdict.
        let has_verdict = constant!(tuning.datagrams) == 0;
        if has_verdict {
            met
        } else {
            met + emit::send_closed(netns, port, id, when.saturating_sub(RECENT_NS))
        }
    })
}

#[inline(always)]
fn walk_flags(met: Outcome) -> u8 {
    let mut flags = 0;
    if met.cut() {
        flags |= refusal_flag::WALK_CUT;
        count(counter::WALKS_CUT);
    }
    if met.blind() {
        flags |= refusal_flag::NO_WALK;
    }
    flags
}

/// By address beats by rule: the kernel compares addresses last, so the last "equal" is what it stopped at.
#[inline(always)]
fn send_verdict(attempt: &mut Attempt, id: u64, sent: &mut u16, lost: &mut u16) {
    let holder = if attempt.has_by_address != 0 {
        &mut attempt.by_address
    } else if attempt.has_by_rule != 0 {
        &mut attempt.by_rule
    } else {
        return;
    };
    holder.refusal = id;
    if emit::verdict(holder) {
        *sent += 1;
    } else {
        *lost += 1;
    }
}

/// ip_local_port_range of the namespace: two ints before 6.8, one packed word since.
#[inline(always)]
fn range(net: *const u8) -> (u16, u16) {
    let offset = constant!(offsets.net_range_pair);
    if constant!(offsets.net_range_size) == 8 {
        let [low, high]: [u32; 2] = Probed::read(net, offset);
        (low as u16, high as u16)
    } else {
        let packed: u32 = Probed::read(net, offset);
        (packed as u16, (packed >> 16) as u16)
    }
}

/// A socket may ask for a part of the range only (IP_LOCAL_PORT_RANGE): then that is what was exhausted. A bound outside of
/// the namespace's range counts for nothing, as in `inet_sk_get_local_port_range`.
#[inline(always)]
fn narrow(sk: *const u8, refusal: &mut Refusal) {
    if !present!(sk_range) {
        return;
    }
    let own: u32 = field!(Probed, sk, sk_range);
    let (low, high) = (own as u16, (own >> 16) as u16);
    let (least, most) = (refusal.range_low, refusal.range_high);
    if low >= least && low <= most {
        refusal.range_low = low;
    }
    if high >= least && high <= most && high != 0 {
        refusal.range_high = high;
    }
}

/// Whether the port is in ip_local_reserved_ports.
#[inline(always)]
fn reserved(net: *const u8, port: u16) -> bool {
    if !present!(net_reserved) || port == 0 {
        return false;
    }
    let bitmap: u64 = field!(Probed, net, net_reserved);
    let word: u64 = Probed::read((bitmap.wrapping_add(u64::from(port / 64) * 8)) as *const u8, 0);
    bitmap != 0 && word >> (port % 64) & 1 == 1
}
