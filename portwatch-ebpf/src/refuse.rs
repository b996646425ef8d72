//! A port was refused: report the wish, the range, and every socket that stands on the port.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns};
use portwatch_common::{
    Attempt, Refusal, counter,
    record::{refusal_flag, tag},
};

use crate::field::{Access, Probed, field, present};
use crate::maps::{EVENTS, constant, count};
use crate::walk::{self, Outcome};
use crate::{assign, emit, sock, task};

/// What the thread wanted, as far as the socket itself does not say it.
pub(crate) struct Wish {
    pub(crate) operation: u8,
    /// Positive.
    pub(crate) errno: u32,
    /// 0: any port; its refusal means that the range is exhausted.
    pub(crate) port: u16,
    /// The address from the system call, where the socket has already forgotten it.
    pub(crate) address: Option<[u8; 16]>,
}

/// Reports a refusal, holders first. `attempt` holds the verdict where hooks have followed the call.
#[inline(always)]
pub(crate) fn report(sk: *const u8, wish: &Wish, attempt: Option<&mut Attempt>) {
    count(counter::REFUSALS);
    // SAFETY: a helper without arguments.
    let when = unsafe { bpf_ktime_get_boot_ns() };
    let id = bpf_get_current_pid_tgid() << 32 | when & 0xffff_ffff;
    let mut flags = if attempt.is_none() { refusal_flag::NO_VERDICT } else { 0 };
    let (mut sent, mut lost) = (0, 0);
    if wish.port != 0 {
        if let Some(attempt) = attempt {
            (sent, lost) = send_verdict(attempt, id);
        }
        let met = walk(sk, wish.port, id);
        sent += met.sent();
        lost += met.lost();
        flags |= walk_flags(met);
    }
    let victim = task::current();
    assign::announce(&victim);
    let Some(mut entry) = EVENTS.reserve::<Refusal>(0) else {
        count(counter::REFUSALS_LOST);
        return;
    };
    // SAFETY: the entry is ours until submitted, and every byte of it is written.
    let refusal = unsafe { &mut *entry.as_mut_ptr() };
    refusal.tag = tag::REFUSAL;
    refusal.id = id;
    refusal.when_ns = when;
    refusal.task = victim;
    refusal.holders = sent;
    refusal.holders_lost = lost;
    refusal.flags = flags;
    refusal.pad = [0; 6];
    describe(sk, wish, refusal);
    entry.submit(emit::WAKEUP);
}

/// The wish, and the range of the namespace in which it could not be met.
#[inline(always)]
fn describe(sk: *const u8, wish: &Wish, refusal: &mut Refusal) {
    refusal.errno = wish.errno;
    refusal.operation = wish.operation;
    sock::describe(sk, &mut refusal.socket);
    refusal.socket.local_port = wish.port;
    if let Some(address) = wish.address {
        refusal.socket.local = address;
    }
    let net = net_of(sk);
    (refusal.range_low, refusal.range_high) = range(net as *const u8);
    if reserved(net as *const u8, wish.port) {
        refusal.flags |= refusal_flag::RESERVED;
    }
}

#[inline(always)]
fn net_of(sk: *const u8) -> u64 {
    field!(Probed, sk, skc_net)
}

/// Sends every socket that stands on the port.
#[inline(always)]
fn walk(sk: *const u8, port: u16, id: u64) -> Outcome {
    let net = net_of(sk);
    let netns: u32 = field!(Probed, net as *const u8, net_inum);
    let port = u32::from(port);
    Outcome(if sock::is_datagram(sock::protocol(sk)) {
        walk::walk_udp(net, walk::udp_table(sk, net), netns, port, id)
    } else {
        walk::walk_tcp(net, netns, port, id)
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
/// Returns the numbers of records sent and lost.
#[inline(always)]
fn send_verdict(attempt: &mut Attempt, id: u64) -> (u16, u16) {
    let holder = if attempt.has_by_address != 0 {
        &mut attempt.by_address
    } else if attempt.has_by_rule != 0 {
        &mut attempt.by_rule
    } else {
        return (0, 0);
    };
    holder.refusal = id;
    if emit::verdict(holder) { (1, 0) } else { (0, 1) }
}

/// ip_local_port_range of the namespace: two ints before 6.8, one packed word since.
#[inline(always)]
fn range(net: *const u8) -> (u16, u16) {
    let offset = constant!(OFFSETS.net_range_pair);
    if constant!(OFFSETS.net_range_size) == 8 {
        let [low, high]: [u32; 2] = Probed::read(net, offset);
        (low as u16, high as u16)
    } else {
        let packed: u32 = Probed::read(net, offset);
        (packed as u16, (packed >> 16) as u16)
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
