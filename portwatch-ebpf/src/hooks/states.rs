//! States of TCP sockets, for the tracepoint backend: clients and listeners before the kernel chooses their port, and who
//! leaves a TIME_WAIT socket behind.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use portwatch_common::record::{how, operation};

use crate::assign::{Earlier, Given, record};
use crate::connection::bound_connects;
use crate::field::{Typed, field, number};
use crate::sock::{self, IPPROTO_TCP, TCP_CLOSE, TCP_LISTEN, TCP_TIME_WAIT};
use crate::twin::{Hook, stand_in, word};
use crate::{refuse, release};

const EADDRNOTAVAIL: u32 = 99;
const TCP_SYN_SENT: u8 = 2;
const TCP_FIN_WAIT1: u8 = 4;
const TCP_FIN_WAIT2: u8 = 5;
const TCP_CLOSING: u8 = 11;

/// `inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn set_state(ctx: BtfTracePointContext) -> i32 {
    if matters(&ctx) {
        word(place(&ctx)).leave(ctx.arg(0));
        changes(&ctx);
    }
    0
}

/// Stand-in of [`set_state`].
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn set_state_2(ctx: BtfTracePointContext) -> i32 {
    if matters(&ctx) && word(place(&ctx)).misses(ctx.arg(0)) {
        stand_in(move || changes(&ctx));
    }
    0
}

/// Where word of a change is left: a socket may begin and end without another's change in between.
#[inline(always)]
fn place(ctx: &BtfTracePointContext) -> Hook {
    if states(ctx).1 == TCP_CLOSE { Hook::Ends } else { Hook::Begins }
}

#[inline(always)]
fn states(ctx: &BtfTracePointContext) -> (u8, u8) {
    (ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8)
}

/// Whether [`changes`] would do anything: most changes are of no interest.
#[inline(always)]
fn matters(ctx: &BtfTracePointContext) -> bool {
    let (old, new) = states(ctx);
    match new {
        TCP_SYN_SENT | TCP_LISTEN => old == TCP_CLOSE,
        TCP_CLOSE => matches!(old, TCP_SYN_SENT | TCP_FIN_WAIT1 | TCP_FIN_WAIT2 | TCP_CLOSING),
        _ => false,
    }
}

#[inline(always)]
fn changes(ctx: &BtfTracePointContext) {
    let address = number(ctx, 0);
    match states(ctx) {
        (TCP_CLOSE, TCP_SYN_SENT) => chosen(ctx, address, how::CONNECT),
        (TCP_SYN_SENT, TCP_CLOSE) => given_up(address),
        (TCP_CLOSE, TCP_LISTEN) => chosen(ctx, address, how::LISTEN),
        // A connection may leave a TIME_WAIT socket, which keeps the port and has no owner.
        _ => release::remember(ctx.arg(0), address, TCP_TIME_WAIT),
    }
}

/// `tcp_destroy_sock(struct sock *sk)`
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn destroy(ctx: BtfTracePointContext) -> i32 {
    word(Hook::Destroy).leave(ctx.arg(0));
    destroys(&ctx);
    0
}

/// Stand-in of [`destroy`].
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn destroy_2(ctx: BtfTracePointContext) -> i32 {
    if word(Hook::Destroy).misses(ctx.arg(0)) {
        stand_in(move || destroys(&ctx));
    }
    0
}

#[inline(always)]
fn destroys(ctx: &BtfTracePointContext) {
    let address = number(ctx, 0);
    // The kernel skips the program for a change of state in an interrupt of another; and sockets that were only bound change none.
    release::remember(ctx.arg(0), address, TCP_CLOSE);
    release::released(address);
}

/// The kernel is about to choose a port for this TCP socket, unless it has one.
#[inline(always)]
fn chosen(ctx: &BtfTracePointContext, address: u64, how: u8) {
    let sk: *const u8 = ctx.arg(0);
    let port: u16 = field!(Typed, sk, skc_num);
    let protocol: u16 = field!(Typed, sk, sk_protocol);
    // The outer socket of MPTCP holds no port itself.
    if protocol != IPPROTO_TCP {
        return;
    }
    if port == 0 {
        record::<Typed>(sk, address, Given { protocol: IPPROTO_TCP, port: 0, how }, Earlier::Replace);
    } else if how == how::CONNECT {
        bound_connects::<Typed>(sk, address);
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
