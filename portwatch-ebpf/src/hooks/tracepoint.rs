//! The tracepoint backend: system calls and socket states, for kernels that refuse fexit and kprobes.
//!
//! The socket is reached from the descriptor. Records need no port: they are kept by socket, and who stands on a port
//! is read from the kernel's own table. So TCP clients are recorded before the kernel chooses, io_uring's included.

use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::{btf_tracepoint, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, TracePointContext};
use portwatch_common::{
    Attempt,
    record::{function, how, operation},
};

use crate::assign::{Earlier, record};
use crate::field::{Probed, field, number};
use crate::sock::{self, AF_INET, AF_INET6, IPPROTO_SCTP, IPPROTO_TCP, TCP_LISTEN};
use crate::{attempt, call, refuse, release};

const EADDRINUSE: u32 = 98;
const EADDRNOTAVAIL: u32 = 99;
const EAGAIN: i32 = 11;
const TCP_SYN_SENT: u8 = 2;
const TCP_FIN_WAIT1: u8 = 4;
const TCP_FIN_WAIT2: u8 = 5;
const TCP_CLOSE: u8 = 7;
const TCP_CLOSING: u8 = 11;
/// Offsets in the record of a system call tracepoint.
const ARGUMENT_0: usize = 16;
const ARGUMENT_1: usize = 24;
const RESULT: usize = 16;
/// Offset of `addr` among the arguments of sendto.
const ARGUMENT_4: usize = 48;

/// `bind(int fd, struct sockaddr *umyaddr, int addrlen)`
#[tracepoint(category = "syscalls", name = "sys_enter_bind")]
pub(crate) fn enter_bind(ctx: TracePointContext) -> u32 {
    let address = argument(&ctx, ARGUMENT_1);
    let family: u16 = user(address, 0);
    if family != AF_INET && family != AF_INET6 && family != 0 {
        return 0;
    }
    if let Some(attempt) = attempt::begin() {
        attempt.operation = operation::BIND;
        attempt.fd = argument(&ctx, ARGUMENT_0) as u32;
        attempt.port = u16::from_be(user(address, 2));
        attempt.has_address = 1;
        attempt.family = family;
        if family == AF_INET6 {
            attempt.address = user(address, 8);
        } else {
            let v4: [u8; 4] = user(address, 4);
            attempt.address[..4].copy_from_slice(&v4);
        }
    }
    0
}

/// `listen(int fd, int backlog)`
#[tracepoint(category = "syscalls", name = "sys_enter_listen")]
pub(crate) fn enter_listen(ctx: TracePointContext) -> u32 {
    if let Some(attempt) = attempt::begin() {
        attempt.operation = operation::LISTEN;
        attempt.fd = argument(&ctx, ARGUMENT_0) as u32;
    }
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_bind")]
pub(crate) fn exit_bind(ctx: TracePointContext) -> u32 {
    if let Some(attempt) = attempt::current() {
        match argument(&ctx, RESULT) as i32 {
            0 => bound(attempt),
            result if result == -(EADDRINUSE as i32) => refused(attempt),
            _ => {}
        }
        attempt::end();
    }
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_listen")]
pub(crate) fn exit_listen(ctx: TracePointContext) -> u32 {
    if let Some(attempt) = attempt::current() {
        if argument(&ctx, RESULT) as i32 == -(EADDRINUSE as i32) {
            refused(attempt);
        }
        attempt::end();
    }
    0
}

/// `connect(int fd, …)`: only for UDP, which has no state change to hook.
#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
pub(crate) fn enter_connect(ctx: TracePointContext) -> u32 {
    autobinds(argument(&ctx, ARGUMENT_0) as u32);
    0
}

/// `sendto(int fd, void *buff, size_t len, unsigned int flags, struct sockaddr *addr, int addr_len)`
#[tracepoint(category = "syscalls", name = "sys_enter_sendto")]
pub(crate) fn enter_sendto(ctx: TracePointContext) -> u32 {
    // send() on a connection, the common case, names no address.
    if argument(&ctx, ARGUMENT_4) != 0 {
        autobinds(argument(&ctx, ARGUMENT_0) as u32);
    }
    0
}

/// What a system call that may autobind returns: EAGAIN where no port was left.
#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
pub(crate) fn exit_connect(ctx: TracePointContext) -> u32 {
    autobound(&ctx);
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_sendto")]
pub(crate) fn exit_sendto(ctx: TracePointContext) -> u32 {
    autobound(&ctx);
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_sendmsg")]
pub(crate) fn exit_sendmsg(ctx: TracePointContext) -> u32 {
    autobound(&ctx);
    0
}

#[tracepoint(category = "syscalls", name = "sys_exit_sendmmsg")]
pub(crate) fn exit_sendmmsg(ctx: TracePointContext) -> u32 {
    autobound(&ctx);
    0
}

/// `sendmsg(int fd, struct user_msghdr *msg, unsigned int flags)`; the header begins with the address.
#[tracepoint(category = "syscalls", name = "sys_enter_sendmsg")]
pub(crate) fn enter_sendmsg(ctx: TracePointContext) -> u32 {
    addressed(&ctx);
    0
}

/// `sendmmsg(int fd, struct mmsghdr *mmsg, unsigned int vlen, unsigned int flags)`; the first header decides.
#[tracepoint(category = "syscalls", name = "sys_enter_sendmmsg")]
pub(crate) fn enter_sendmmsg(ctx: TracePointContext) -> u32 {
    addressed(&ctx);
    0
}

/// `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn set_state(ctx: BtfTracePointContext) -> i32 {
    let old = ctx.arg::<i32>(1) as u8;
    let new = ctx.arg::<i32>(2) as u8;
    match (old, new) {
        (TCP_CLOSE, TCP_SYN_SENT) => chosen(ctx.arg(0), how::CONNECT),
        (TCP_SYN_SENT, TCP_CLOSE) => given_up(number(&ctx, 0)),
        (TCP_CLOSE, TCP_LISTEN) => chosen(ctx.arg(0), how::LISTEN),
        // These may have left a TIME_WAIT socket behind, which keeps the port and knows no owner.
        (TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSING, TCP_CLOSE) => release::remember(ctx.arg(0)),
        _ => {}
    }
    0
}

/// `tcp_destroy_sock(struct sock *sk)`
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn destroy(ctx: BtfTracePointContext) -> i32 {
    release::released(ctx.arg(0));
    0
}

/// The kernel is about to choose a port for this TCP socket, unless it has one.
#[inline(always)]
fn chosen(sk: *const u8, how: u8) {
    let port: u16 = field!(Probed, sk, skc_num);
    // The outer socket of MPTCP holds no port itself.
    if port == 0 && sock::protocol(sk) == IPPROTO_TCP {
        record::<Probed>(sk, IPPROTO_TCP, 0, how, Earlier::Replace);
    }
}

/// A connect() that ends before its socket ever had a port has found the range full.
#[inline(always)]
fn given_up(sk: u64) {
    // The outer socket of MPTCP learns its port late, and fails for other reasons.
    if sock::kept_port(sk as *const u8) == 0 && sock::protocol(sk as *const u8) == IPPROTO_TCP {
        release::never_given(sk);
        refuse::report_exhaustion(sk, EADDRNOTAVAIL, u32::from(operation::CONNECT));
    }
}

/// The kernel is about to choose a port for this UDP socket, unless it has one.
#[inline(always)]
fn autobinds(fd: u32) {
    let sk = sock::of_descriptor(fd);
    if sk.is_null() {
        return;
    }
    let protocol = sock::protocol(sk);
    let port: u16 = field!(Probed, sk, skc_num);
    if sock::is_datagram(protocol) && port == 0 {
        record::<Probed>(sk, protocol, 0, how::AUTOBIND, Earlier::Replace);
        call::enter(function::UDP_PORT, sk as u64, 0, how::AUTOBIND);
    }
}

/// The end of a call that was to choose a UDP port.
#[inline(always)]
fn autobound(ctx: &TracePointContext) {
    let Some(call) = call::leave(function::UDP_PORT) else { return };
    let port: u16 = field!(Probed, call.sk as *const u8, skc_num);
    if argument(ctx, RESULT) as i32 == -EAGAIN && port == 0 {
        release::never_given(call.sk);
        refuse::report_exhaustion(call.sk, EADDRINUSE, u32::from(operation::AUTOBIND));
    }
}

/// A message header that names an address may autobind; one that does not belongs to a connection.
#[inline(always)]
fn addressed(ctx: &TracePointContext) {
    let name: u64 = user(argument(ctx, ARGUMENT_1), 0);
    if name != 0 {
        autobinds(argument(ctx, ARGUMENT_0) as u32);
    }
}

#[inline(always)]
fn bound(attempt: &Attempt) {
    let sk = sock::of_descriptor(attempt.fd);
    if sk.is_null() {
        return;
    }
    let sk = sock::on_port(sk);
    let protocol = sock::protocol(sk);
    let port: u16 = field!(Probed, sk, skc_num);
    // No number yet: IP_BIND_ADDRESS_NO_PORT leaves the choice to connect().
    if port != 0 && sock::has_ports(protocol) {
        // SCTP does not mark who chose the number.
        let by_number = if protocol == IPPROTO_SCTP { attempt.port != 0 } else { sock::port_locked(sk) };
        let how = if by_number { how::BIND } else { how::BIND0 };
        record::<Probed>(sk, protocol, port, how, Earlier::Replace);
    }
}

#[inline(always)]
fn refused(attempt: &Attempt) {
    let sk = sock::of_descriptor(attempt.fd);
    if sk.is_null() || !sock::has_ports(sock::protocol(sk)) {
        return;
    }
    let operation = u32::from(attempt.operation);
    let port = match attempt.operation {
        operation::LISTEN => field!(Probed, sk, skc_num),
        _ => attempt.port,
    };
    if port == 0 {
        // listen() was noted before the kernel looked for a port.
        release::never_given(sk as u64);
        refuse::report_exhaustion(sk as u64, EADDRINUSE, operation);
    } else {
        refuse::report_refusal(sk as u64, u32::from(port), operation);
    }
}

#[inline(always)]
fn argument(ctx: &TracePointContext, offset: usize) -> u64 {
    // SAFETY: every system call tracepoint has its arguments, or its result, as 64-bit words from offset 16.
    unsafe { ctx.read_at(offset) }.unwrap_or(0)
}

/// Reads the caller's memory; zero where it cannot be read.
#[inline(always)]
fn user<T: Copy + Default>(address: u64, offset: u64) -> T {
    // SAFETY: the helper checks the address and fails on a bad one.
    unsafe { bpf_probe_read_user((address + offset) as *const T) }.unwrap_or_default()
}
