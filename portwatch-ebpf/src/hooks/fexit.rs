//! The fexit backend: the kernel's own port functions, with typed arguments and their results.
//!
//! Entries are cheaper than exits, so exits are hooked only where the result matters. A socket's record goes when the socket is
//! destroyed, long after it has left the port table: whoever still met it there also still found its record.
//!
//! Hooks that interrupts or preemption can come between have stand-ins, in `fexit_stand_in`. Those that only run under the
//! lock of a port need none.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};
use portwatch_common::record::{found_by, function, how, operation};

use crate::assign::{Earlier, Given, record, record_apart};
use crate::field::{Probed, Typed, field, number};
use crate::sock::{self, IPPROTO_SCTP, IPPROTO_TCP, TCP_LISTEN};
use crate::twin::{self, Hook, Role};
use crate::{attempt, call, emit, refuse, release, sctp};

const EADDRINUSE: u32 = 98;
const EADDRNOTAVAIL: i32 = -99;

/// `int inet_csk_get_port(struct sock *sk, unsigned short snum)`
#[fentry(function = "inet_csk_get_port")]
pub(crate) fn csk_get_port_enter(ctx: FEntryContext) -> i32 {
    twin::seen_in_process(Hook::TcpPortEnter, ctx.arg(0));
    begin(ctx.arg::<u64>(1) as u16);
    0
}

/// `int udp_lib_get_port(struct sock *sk, unsigned short snum, unsigned int hash2_nulladdr)`
#[fentry(function = "udp_lib_get_port")]
pub(crate) fn udp_get_port_enter(ctx: FEntryContext) -> i32 {
    twin::seen_in_process(Hook::UdpPortEnter, ctx.arg(0));
    begin(ctx.arg::<u64>(1) as u16);
    0
}

/// `int inet_csk_get_port(struct sock *sk, unsigned short snum)`: failure is 1 before 6.1, -EADDRINUSE since.
#[fexit(function = "inet_csk_get_port")]
pub(crate) fn csk_get_port(ctx: FExitContext) -> i32 {
    twin::seen_in_process(Hook::TcpPort, ctx.arg(0));
    tcp_port(&ctx, Role::Lead);
    0
}

#[inline(always)]
pub(super) fn tcp_port(ctx: &FExitContext, role: Role) {
    let sk: *const u8 = ctx.arg(0);
    let port = ctx.arg::<u64>(1) as u16;
    let result = ctx.arg::<u64>(2) as i32;
    let state: u8 = field!(Typed, sk, skc_state);
    let listening = state == TCP_LISTEN;
    if result != 0 {
        let operation = if listening { operation::LISTEN } else { operation::BIND };
        refused(ctx, port, operation, role);
        return;
    }
    // listen() on a bound socket asks once more for the port that it has.
    if !(listening && port != 0) {
        let how = match (port, listening) {
            (0, true) => how::LISTEN,
            (0, false) => how::BIND0,
            _ => how::BIND,
        };
        let port = field!(Typed, sk, skc_num);
        record_apart::<Typed>(
            sk,
            number(ctx, 0),
            Given { protocol: IPPROTO_TCP, port, how },
            Earlier::Replace,
        );
    }
    end(port);
}

/// `int udp_lib_get_port(struct sock *sk, unsigned short snum, unsigned int hash2_nulladdr)`
#[fexit(function = "udp_lib_get_port")]
pub(crate) fn udp_get_port(ctx: FExitContext) -> i32 {
    twin::seen_in_process(Hook::UdpPort, ctx.arg(0));
    udp_port(&ctx, Role::Lead);
    0
}

#[inline(always)]
pub(super) fn udp_port(ctx: &FExitContext, role: Role) {
    let sk: *const u8 = ctx.arg(0);
    let port = ctx.arg::<u64>(1) as u16;
    let result = ctx.arg::<u64>(3) as i32;
    let autobinding = port == 0 && call::leave(function::UDP_PORT).is_some();
    if result != 0 {
        refused(ctx, port, if autobinding { operation::AUTOBIND } else { operation::BIND }, role);
        return;
    }
    let how = match (port, autobinding) {
        (0, true) => how::AUTOBIND,
        (0, false) => how::BIND0,
        _ => how::BIND,
    };
    let (protocol, given) = (field!(Typed, sk, sk_protocol), field!(Typed, sk, skc_num));
    record_apart::<Typed>(sk, number(ctx, 0), Given { protocol, port: given, how }, Earlier::Replace);
    end(port);
}

/// `int inet_autobind(struct sock *sk)`: UDP that sends or connects unbound; runs around `udp_lib_get_port`.
#[fentry(function = "inet_autobind")]
pub(crate) fn autobind(ctx: FEntryContext) -> i32 {
    twin::seen_in_process(Hook::Autobind, ctx.arg(0));
    autobinds(&ctx);
    0
}

#[inline(always)]
pub(super) fn autobinds(ctx: &FEntryContext) {
    let sk: *const u8 = ctx.arg(0);
    let port: u16 = field!(Typed, sk, skc_num);
    if port == 0 && sock::is_datagram(field!(Typed, sk, sk_protocol)) {
        call::enter(function::UDP_PORT, sk as u64, 0, how::AUTOBIND);
    }
}

/// `int inet_hash_connect(struct inet_timewait_death_row *death_row, struct sock *sk)`
#[fexit(function = "inet_hash_connect")]
pub(crate) fn hash_connect(ctx: FExitContext) -> i32 {
    twin::seen_in_process(Hook::Connect, ctx.arg(1));
    connected(&ctx);
    0
}

/// `int inet6_hash_connect(struct inet_timewait_death_row *death_row, struct sock *sk)`
#[fexit(function = "inet6_hash_connect")]
pub(crate) fn hash_connect6(ctx: FExitContext) -> i32 {
    twin::seen_in_process(Hook::Connect, ctx.arg(1));
    connected(&ctx);
    0
}

/// `void inet_sock_destruct(struct sock *sk)`: every TCP and UDP socket comes here last. A record outlives its socket's port
/// by that much. If the kernel skips the program, the record that stays does not count for a later socket (see `identity`).
#[fentry(function = "inet_sock_destruct")]
pub(crate) fn destruct(ctx: FEntryContext) -> i32 {
    release::released(number(&ctx, 0));
    0
}

/// `void inet_twsk_hashdance(struct inet_timewait_sock *tw, struct sock *sk, struct inet_hashinfo *hashinfo)`, since 6.12
/// `inet_twsk_hashdance_schedule` with one more parameter. The TIME_WAIT socket is about to enter the port table.
#[fentry(function = "inet_twsk_hashdance")]
pub(crate) fn time_wait(ctx: FEntryContext) -> i32 {
    twin::word(Hook::TimeWait).leave(ctx.arg(0));
    moved_to_time_wait(&ctx);
    0
}

#[inline(always)]
pub(super) fn moved_to_time_wait(ctx: &FEntryContext) {
    release::moved_to_time_wait::<Typed>(ctx.arg(1), number(ctx, 1), ctx.arg(0), number(ctx, 0));
}

/// `void inet_twsk_bind_unhash(struct inet_timewait_sock *tw, struct inet_hashinfo *hashinfo)`: under the port's lock.
#[fentry(function = "inet_twsk_bind_unhash")]
pub(crate) fn time_wait_end(ctx: FEntryContext) -> i32 {
    release::released(number(&ctx, 0));
    0
}

/// `bool inet_rcv_saddr_equal(const struct sock *sk, const struct sock *sk2, bool match_wildcard)`: only inside bind and
/// listen. In a refused call the last "equal" is the socket that the kernel stopped at.
#[fexit(function = "inet_rcv_saddr_equal")]
pub(crate) fn saddr_equal(ctx: FExitContext) -> i32 {
    if ctx.arg::<u64>(3) & 0xff != 0
        && let Some(attempt) = attempt::current()
    {
        attempt.has_by_address = 1;
        emit::meet(number(&ctx, 1) as *const u8, found_by::VERDICT, &mut attempt.by_address);
    }
    0
}

/// `bool inet_bind_conflict(const struct sock *sk, struct sock *sk2, kuid_t uid, bool relax, bool cb_ok, bool ok)`: 6.1+.
#[fexit(function = "inet_bind_conflict")]
pub(crate) fn bind_conflict(ctx: FExitContext) -> i32 {
    if ctx.arg::<u64>(6) & 0xff != 0
        && let Some(attempt) = attempt::current()
    {
        attempt.has_by_rule = 1;
        emit::meet(number(&ctx, 1) as *const u8, found_by::VERDICT, &mut attempt.by_rule);
    }
    0
}

/// `int inet_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len)`: only for SCTP.
#[fexit(function = "inet_bind")]
pub(crate) fn bind(ctx: FExitContext) -> i32 {
    sctp_bind(&ctx);
    0
}

/// `int inet6_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len)`
#[fexit(function = "inet6_bind")]
pub(crate) fn bind6(ctx: FExitContext) -> i32 {
    sctp_bind(&ctx);
    0
}

#[inline(always)]
fn sctp_bind(ctx: &FExitContext) {
    let sk: u64 = field!(Typed, ctx.arg(0), socket_sk);
    let protocol: u16 = field!(Typed, sk as *const u8, sk_protocol);
    if protocol != IPPROTO_SCTP {
        return;
    }
    let address = number(ctx, 1);
    sctp::begin(address);
    let sk: u64 = field!(Probed, number(ctx, 0) as *const u8, socket_sk);
    sctp::sctp_bound(sk, u32::from(sctp::wanted_port(address)), ctx.arg::<u64>(3) as u32);
}

/// Follows a call for a numbered port: only such a call can be refused because of somebody.
#[inline(always)]
pub(super) fn begin(port: u16) {
    if port != 0 {
        // A call that is not followed has no verdict; the walk and the rule answer then.
        let _ = attempt::begin();
    }
}

#[inline(always)]
fn end(port: u16) {
    if port != 0 {
        attempt::end();
    }
}

#[inline(always)]
fn refused(ctx: &FExitContext, port: u16, operation: u8, role: Role) {
    // A call that the lead has reported is no longer followed: whatever became of its word, nothing is told twice.
    if role == Role::StandIn && port != 0 && attempt::current().is_none() {
        return;
    }
    if port == 0 {
        refuse::report_exhaustion(number(ctx, 0), EADDRINUSE, u32::from(operation));
    } else {
        refuse::report_refusal(number(ctx, 0), u32::from(port), u32::from(operation));
        end(port);
    }
}

#[inline(always)]
pub(super) fn connected(ctx: &FExitContext) {
    let sk: *const u8 = ctx.arg(1);
    let port: u16 = field!(Typed, sk, skc_num);
    let result = ctx.arg::<u64>(2) as i32;
    if result == 0 {
        let given = Given { protocol: IPPROTO_TCP, port, how: how::CONNECT };
        record::<Typed>(sk, number(ctx, 1), given, Earlier::Keep);
    } else if result == EADDRNOTAVAIL && port == 0 {
        refuse::report_exhaustion(
            number(ctx, 1),
            EADDRNOTAVAIL.unsigned_abs(),
            u32::from(operation::CONNECT),
        );
    }
}
