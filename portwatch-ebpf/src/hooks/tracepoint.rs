//! The tracepoint backend: system calls and socket states, for kernels that refuse fexit and kprobes.
//!
//! The socket is reached from the descriptor. Records need no port: they are kept by socket, and who stands on a port
//! is read from the kernel's own table. So TCP clients are recorded before the kernel chooses, io_uring's included.
//! Stand-ins for what the kernel skips are in `tracepoint_stand_in`.

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user};
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use portwatch_common::{
    Attempt,
    record::{function, how, operation},
};

use crate::assign::{Earlier, Given, record_apart};
use crate::field::{Probed, field};
use crate::sock::{self, AF_INET, AF_INET6, IPPROTO_SCTP};
use crate::twin::{self, Hook};
use crate::{attempt, call, refuse, release};

const EADDRINUSE: u32 = 98;
const EAGAIN: i32 = 11;
/// Offsets in the record of a system call tracepoint.
pub(super) const ARGUMENT_0: usize = 16;
const ARGUMENT_1: usize = 24;
const RESULT: usize = 16;
/// Offset of `addr` among the arguments of sendto.
const ARGUMENT_4: usize = 48;

/// `bind(int fd, struct sockaddr *umyaddr, int addrlen)`
#[tracepoint(category = "syscalls", name = "sys_enter_bind")]
pub(crate) fn enter_bind(ctx: TracePointContext) -> u32 {
    twin::seen_in_process(Hook::EnterCall, thread());
    binds(&ctx);
    0
}

#[inline(always)]
pub(super) fn binds(ctx: &TracePointContext) {
    let address = argument(ctx, ARGUMENT_1);
    let family: u16 = user(address, 0);
    if family != AF_INET && family != AF_INET6 && family != 0 {
        return;
    }
    if let Some(attempt) = attempt::begin() {
        attempt.operation = operation::BIND;
        attempt.fd = argument(ctx, ARGUMENT_0) as u32;
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
}

/// `listen(int fd, int backlog)`
#[tracepoint(category = "syscalls", name = "sys_enter_listen")]
pub(crate) fn enter_listen(ctx: TracePointContext) -> u32 {
    twin::seen_in_process(Hook::EnterCall, thread());
    listens(&ctx);
    0
}

#[inline(always)]
pub(super) fn listens(ctx: &TracePointContext) {
    if let Some(attempt) = attempt::begin() {
        attempt.operation = operation::LISTEN;
        attempt.fd = argument(ctx, ARGUMENT_0) as u32;
    }
}

#[tracepoint(category = "syscalls", name = "sys_exit_bind")]
pub(crate) fn exit_bind(ctx: TracePointContext) -> u32 {
    bind_ends(&ctx);
    0
}

/// The attempt ends with the first who sees it, so that a stand-in finds none.
#[inline(always)]
pub(super) fn bind_ends(ctx: &TracePointContext) {
    if let Some(attempt) = attempt::current() {
        match argument(ctx, RESULT) as i32 {
            0 => bound(attempt),
            result if result == -(EADDRINUSE as i32) => refused(attempt),
            _ => {}
        }
        attempt::end();
    }
}

#[tracepoint(category = "syscalls", name = "sys_exit_listen")]
pub(crate) fn exit_listen(ctx: TracePointContext) -> u32 {
    listen_ends(&ctx);
    0
}

/// See [`bind_ends`].
#[inline(always)]
pub(super) fn listen_ends(ctx: &TracePointContext) {
    if let Some(attempt) = attempt::current() {
        if argument(ctx, RESULT) as i32 == -(EADDRINUSE as i32) {
            refused(attempt);
        }
        attempt::end();
    }
}

/// `connect(int fd, …)`: only for UDP, which has no state change to hook.
#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
pub(crate) fn enter_connect(ctx: TracePointContext) -> u32 {
    twin::seen_in_process(Hook::EnterCall, thread());
    autobinds(argument(&ctx, ARGUMENT_0) as u32);
    0
}

/// `sendto(int fd, void *buff, size_t len, unsigned int flags, struct sockaddr *addr, int addr_len)`
#[tracepoint(category = "syscalls", name = "sys_enter_sendto")]
pub(crate) fn enter_sendto(ctx: TracePointContext) -> u32 {
    twin::seen_in_process(Hook::EnterCall, thread());
    sends(&ctx);
    0
}

#[inline(always)]
pub(super) fn sends(ctx: &TracePointContext) {
    // send() on a connection, the common case, names no address.
    if argument(ctx, ARGUMENT_4) != 0 {
        autobinds(argument(ctx, ARGUMENT_0) as u32);
    }
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
    twin::seen_in_process(Hook::EnterCall, thread());
    addressed(&ctx);
    0
}

/// `sendmmsg(int fd, struct mmsghdr *mmsg, unsigned int vlen, unsigned int flags)`; the first header decides.
#[tracepoint(category = "syscalls", name = "sys_enter_sendmmsg")]
pub(crate) fn enter_sendmmsg(ctx: TracePointContext) -> u32 {
    twin::seen_in_process(Hook::EnterCall, thread());
    addressed(&ctx);
    0
}

/// The kernel is about to choose a port for this UDP socket, unless it has one.
#[inline(always)]
pub(super) fn autobinds(fd: u32) {
    let sk = sock::of_descriptor(fd);
    if sk.is_null() {
        return;
    }
    let protocol = sock::protocol(sk);
    let port: u16 = field!(Probed, sk, skc_num);
    if sock::is_datagram(protocol) && port == 0 {
        let given = Given { protocol, port: 0, how: how::AUTOBIND };
        record_apart::<Probed>(sk, sk as u64, given, Earlier::Replace);
        call::enter(function::UDP_PORT, sk as u64, 0, how::AUTOBIND);
    }
}

/// The end of a call that was to choose a UDP port.
#[inline(always)]
pub(super) fn autobound(ctx: &TracePointContext) {
    let Some(call) = call::leave(function::UDP_PORT) else { return };
    let port: u16 = field!(Probed, call.sk as *const u8, skc_num);
    if argument(ctx, RESULT) as i32 == -EAGAIN && port == 0 {
        release::never_given(call.sk);
        refuse::report_exhaustion(call.sk, EADDRINUSE, u32::from(operation::AUTOBIND));
    }
}

/// A message header that names an address may autobind; one that does not belongs to a connection.
#[inline(always)]
pub(super) fn addressed(ctx: &TracePointContext) {
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
        record_apart::<Probed>(sk, sk as u64, Given { protocol, port, how }, Earlier::Replace);
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

/// The calling thread, as an event: it is inside one call at a time.
#[inline(always)]
pub(super) fn thread() -> u64 {
    bpf_get_current_pid_tgid()
}

#[inline(always)]
pub(super) fn argument(ctx: &TracePointContext, offset: usize) -> u64 {
    // SAFETY: every system call tracepoint has its arguments, or its result, as 64-bit words from offset 16.
    unsafe { ctx.read_at(offset) }.unwrap_or(0)
}

/// Reads the caller's memory; zero where it cannot be read.
#[inline(always)]
fn user<T: Copy + Default>(address: u64, offset: u64) -> T {
    // SAFETY: the helper checks the address and fails on a bad one.
    unsafe { bpf_probe_read_user((address + offset) as *const T) }.unwrap_or_default()
}
