//! The tracepoint backend: the ends of system calls and, in `states`, states of TCP sockets, for kernels that refuse fexit
//! and kprobes.
//!
//! One program sees the end of every system call and knows by its number whether it matters; the call's arguments are still in
//! the registers then. The socket is reached from the descriptor. Records are kept by socket, and who stands on a port is read
//! from the kernel's own table. So TCP clients are recorded before the kernel chooses, io_uring's included.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use portwatch_common::record::{how, operation};

use super::registers::{self, syscall};
use crate::assign::{Earlier, Given, record_met};
use crate::field::{Probed, field};
use crate::sock::{self, AF_INET, AF_INET6, IPPROTO_SCTP};
use crate::twin;
use crate::{attempt, refuse, release};

const EADDRINUSE: i64 = 98;
const EAGAIN: i64 = 11;

/// `sys_exit(struct pt_regs *regs, long ret)`
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn call_ends(ctx: BtfTracePointContext) -> i32 {
    let call = registers::number(&ctx);
    if matters(call) {
        twin::call_seen(bpf_get_current_pid_tgid());
        ends(&ctx, call);
    }
    0
}

/// Stand-in of [`call_ends`].
#[btf_tracepoint(function = "sys_exit")]
pub(crate) fn call_ends_2(ctx: BtfTracePointContext) -> i32 {
    let call = registers::number(&ctx);
    if matters(call) && twin::call_is_missed(bpf_get_current_pid_tgid()) {
        twin::stand_in(move || ends(&ctx, call));
    }
    0
}

/// Whether [`ends`] would do anything: most calls are of no interest.
#[inline(always)]
fn matters(call: u32) -> bool {
    matches!(
        call,
        syscall::BIND
            | syscall::LISTEN
            | syscall::CONNECT
            | syscall::SENDTO
            | syscall::SENDMSG
            | syscall::SENDMMSG
    )
}

#[inline(always)]
fn ends(ctx: &BtfTracePointContext, call: u32) {
    let result = ctx.arg::<i64>(1);
    // The same number is another call there.
    if registers::is_of_32_bits() {
        return;
    }
    match call {
        syscall::BIND => bind_ends(ctx, result),
        syscall::LISTEN => listen_ends(ctx, result),
        syscall::CONNECT => connect_ends(ctx, result),
        // send() on a connection, the common case, names no address.
        syscall::SENDTO if registers::argument(ctx, 4) == 0 => {}
        syscall::SENDTO => autobind_ends(ctx, result),
        // The header, of several messages the first, begins with the address.
        _ if user::<u64>(registers::argument(ctx, 1), 0) == 0 => {}
        _ => autobind_ends(ctx, result),
    }
}

/// `bind(int fd, struct sockaddr *umyaddr, int addrlen)`
#[inline(always)]
fn bind_ends(ctx: &BtfTracePointContext, result: i64) {
    if result != 0 && result != -EADDRINUSE {
        return;
    }
    let sk = sock::of_descriptor(registers::argument(ctx, 0) as u32);
    if sk.is_null() {
        return;
    }
    let address = registers::argument(ctx, 1);
    if result == 0 {
        bound(sock::on_port(sk), address);
    } else if sock::has_ports(sock::protocol(sk)) {
        // The socket has forgotten the address by now.
        wants(address);
        refused(sk, u16::from_be(user(address, 2)), operation::BIND);
        attempt::end();
    }
}

#[inline(always)]
fn bound(sk: *const u8, address: u64) {
    let protocol = sock::protocol(sk);
    let port: u16 = field!(Probed, sk, skc_num);
    // No number yet: IP_BIND_ADDRESS_NO_PORT leaves the choice to connect().
    if port != 0 && sock::has_ports(protocol) {
        // SCTP does not mark who chose the number.
        let by_number =
            if protocol == IPPROTO_SCTP { user::<u16>(address, 2) != 0 } else { sock::port_locked(sk) };
        let how = if by_number { how::BIND } else { how::BIND0 };
        record_met(sk, Given { protocol, port, how }, Earlier::Replace);
    }
}

/// Notes the address that a bind() asked for.
#[inline(always)]
fn wants(address: u64) {
    if let Some(attempt) = attempt::begin() {
        attempt.has_address = 1;
        attempt.family = user(address, 0);
        if attempt.family == AF_INET6 {
            attempt.address = user(address, 8);
        } else {
            let v4: [u8; 4] = user(address, 4);
            attempt.address[..4].copy_from_slice(&v4);
        }
        attempt.has_address = u8::from(matches!(attempt.family, AF_INET | AF_INET6 | 0));
    }
}

/// `listen(int fd, int backlog)`
#[inline(always)]
fn listen_ends(ctx: &BtfTracePointContext, result: i64) {
    if result != -EADDRINUSE {
        return;
    }
    let sk = sock::of_descriptor(registers::argument(ctx, 0) as u32);
    if !sk.is_null() && sock::has_ports(sock::protocol(sk)) {
        refused(sk, field!(Probed, sk, skc_num), operation::LISTEN);
    }
}

#[inline(always)]
fn refused(sk: *const u8, port: u16, operation: u8) {
    if port == 0 {
        // listen() was noted before the kernel looked for a port.
        release::never_given(sk as u64);
        refuse::report_exhaustion(sk as u64, EADDRINUSE as u32, u32::from(operation));
    } else {
        refuse::report_refusal(sk as u64, u32::from(port), u32::from(operation));
    }
}

/// `connect(int fd, …)`. A TCP client was noted when the kernel was about to choose its port; it is most of those who come here.
#[inline(always)]
fn connect_ends(ctx: &BtfTracePointContext, result: i64) {
    let is_of_udp = result == 0 || result == -EAGAIN;
    if is_of_udp && !sock::is_stream_descriptor(registers::argument(ctx, 0) as u32) {
        autobind_ends(ctx, result);
    }
}

/// `connect(int fd, …)`, `sendto(int fd, …)` and the like: for UDP, which comes to a port by these if it has none.
#[inline(always)]
fn autobind_ends(ctx: &BtfTracePointContext, result: i64) {
    let sk = sock::of_descriptor(registers::argument(ctx, 0) as u32);
    if sk.is_null() {
        return;
    }
    let protocol = sock::protocol(sk);
    if !sock::is_datagram(protocol) {
        return;
    }
    let port: u16 = field!(Probed, sk, skc_num);
    if port == 0 {
        if result == -EAGAIN {
            refuse::report_exhaustion(sk as u64, EADDRINUSE as u32, u32::from(operation::AUTOBIND));
        }
    } else if !sock::port_locked(sk) {
        // Whoever has a record keeps it; so only a socket that the table has dropped is told as new.
        let given = Given { protocol, port, how: how::AUTOBIND };
        record_met(sk, given, Earlier::Keep);
    }
}

/// Reads the caller's memory; zero where it cannot be read.
#[inline(always)]
fn user<T: Copy + Default>(address: u64, offset: u64) -> T {
    // SAFETY: the helper checks the address and fails on a bad one.
    unsafe { bpf_probe_read_user((address + offset) as *const T) }.unwrap_or_default()
}
