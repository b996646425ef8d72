//! The kprobe backend: pairs of probes on the functions of the fexit backend, for kernels without trampolines.
//!
//! A return probe sees no arguments: what it needs is kept since the entry. Releases are taken where no pair is needed:
//! a socket when it is destroyed, long after it has left the port table, and TIME_WAIT under the lock of that table.

use aya_ebpf::macros::{kprobe, kretprobe};
use aya_ebpf::programs::{ProbeContext, RetProbeContext};
use portwatch_common::record::{found_by, function, how, operation};
use portwatch_common::{Call, counter};

use crate::assign::{Earlier, Given, record, record_met};
use crate::field::{Probed, field};
use crate::maps::count;
use crate::sock::{self, IPPROTO_SCTP, IPPROTO_TCP, TCP_LISTEN};
use crate::{assign, attempt, call, connection, emit, refuse, release, sctp};

const EADDRINUSE: u32 = 98;
const EADDRNOTAVAIL: i32 = -99;

/// `int inet_csk_get_port(struct sock *sk, unsigned short snum)`
#[kprobe]
pub(crate) fn kp_tcp_port(ctx: ProbeContext) -> u32 {
    begin(function::TCP_PORT, &ctx);
    0
}

/// `int inet_csk_get_port(struct sock *sk, unsigned short snum)`: failure is 1 before 6.1, -EADDRINUSE since.
#[kretprobe]
pub(crate) fn kr_tcp_port(ctx: RetProbeContext) -> u32 {
    let Some(call) = call::leave(function::TCP_PORT) else {
        count(counter::PROBES_MISSED);
        return 0;
    };
    let sk = call.sk as *const u8;
    let state: u8 = field!(Probed, sk, skc_state);
    let listening = state == TCP_LISTEN;
    if ctx.ret::<i32>() != 0 {
        refused(&call, if listening { operation::LISTEN } else { operation::BIND });
        return 0;
    }
    // listen() on a bound socket asks once more for the port that it has.
    if !(listening && call.port != 0) {
        let how = match (call.port, listening) {
            (0, true) => how::LISTEN,
            (0, false) => how::BIND0,
            _ => how::BIND,
        };
        let given = Given { protocol: IPPROTO_TCP, port: field!(Probed, sk, skc_num), how };
        record_met(sk, given, Earlier::Replace);
    }
    end(&call);
    0
}

/// `int inet_autobind(struct sock *sk)`: UDP that sends or connects unbound; runs around `udp_lib_get_port`.
#[kprobe]
pub(crate) fn kp_autobind(ctx: ProbeContext) -> u32 {
    let sk = argument(&ctx, 0);
    let port: u16 = field!(Probed, sk as *const u8, skc_num);
    if port == 0 && sock::is_datagram(sock::protocol(sk as *const u8)) {
        call::enter(function::UDP_PORT, sk, 0, how::AUTOBIND);
    }
    0
}

/// `int udp_lib_get_port(struct sock *sk, unsigned short snum, unsigned int hash2_nulladdr)`
#[kprobe]
pub(crate) fn kp_udp_port(ctx: ProbeContext) -> u32 {
    if !call::is_autobinding(function::UDP_PORT, argument(&ctx, 0)) {
        begin(function::UDP_PORT, &ctx);
    }
    0
}

/// `int udp_lib_get_port(struct sock *sk, unsigned short snum, unsigned int hash2_nulladdr)`
#[kretprobe]
pub(crate) fn kr_udp_port(ctx: RetProbeContext) -> u32 {
    let Some(call) = call::leave(function::UDP_PORT) else {
        count(counter::PROBES_MISSED);
        return 0;
    };
    let sk = call.sk as *const u8;
    if ctx.ret::<i32>() != 0 {
        let autobinding = call.how == how::AUTOBIND;
        refused(&call, if autobinding { operation::AUTOBIND } else { operation::BIND });
        return 0;
    }
    let given = Given { protocol: sock::protocol(sk), port: field!(Probed, sk, skc_num), how: call.how };
    record_met(sk, given, Earlier::Replace);
    end(&call);
    0
}

/// `int inet_hash_connect(struct inet_timewait_death_row *death_row, struct sock *sk)`, and `inet6_hash_connect` alike.
#[kprobe]
pub(crate) fn kp_connect(ctx: ProbeContext) -> u32 {
    let sk = argument(&ctx, 1);
    let port: u16 = field!(Probed, sk as *const u8, skc_num);
    call::enter(function::CONNECT, sk, port, how::CONNECT);
    0
}

/// The return of `inet_hash_connect` or `inet6_hash_connect`.
#[kretprobe]
pub(crate) fn kr_connect(ctx: RetProbeContext) -> u32 {
    let Some(call) = call::leave(function::CONNECT) else { return 0 };
    let sk = call.sk as *const u8;
    let result = ctx.ret::<i32>();
    if call.port != 0 {
        // A bound socket keeps its port.
        if result == 0 {
            connection::bound_connects::<Probed>(sk, call.sk);
        }
    } else if result == 0 {
        let given = Given { protocol: IPPROTO_TCP, port: field!(Probed, sk, skc_num), how: how::CONNECT };
        record::<Probed>(sk, call.sk, given, Earlier::Replace);
    } else if result == EADDRNOTAVAIL {
        refuse::report_exhaustion(call.sk, EADDRNOTAVAIL.unsigned_abs(), u32::from(operation::CONNECT));
    }
    0
}

/// `void inet_sock_destruct(struct sock *sk)`: every TCP and UDP socket comes here last.
#[kprobe]
pub(crate) fn kp_destruct(ctx: ProbeContext) -> u32 {
    release::released(argument(&ctx, 0));
    0
}

/// `void inet_twsk_hashdance(struct inet_timewait_sock *tw, struct sock *sk, struct inet_hashinfo *hashinfo)`, since 6.12
/// `inet_twsk_hashdance_schedule` with one more parameter. The stand-in is about to enter the port table.
#[kprobe]
pub(crate) fn kp_time_wait(ctx: ProbeContext) -> u32 {
    let (sk, time_wait) = (argument(&ctx, 1), argument(&ctx, 0));
    release::moved_to_time_wait::<Probed>(sk as *const u8, sk, time_wait as *const u8, time_wait);
    0
}

/// `void inet_twsk_bind_unhash(struct inet_timewait_sock *tw, struct inet_hashinfo *hashinfo)`: under the port's lock.
#[kprobe]
pub(crate) fn kp_time_wait_end(ctx: ProbeContext) -> u32 {
    release::released(argument(&ctx, 0));
    0
}

/// `void exit_files(struct task_struct *tsk)`: a thread of the current process ends.
#[kprobe]
pub(crate) fn kp_exit(_: ProbeContext) -> u32 {
    assign::ended();
    0
}

/// `bool inet_rcv_saddr_equal(const struct sock *sk, const struct sock *sk2, bool match_wildcard)`: only inside bind and
/// listen. In a refused call the last "equal" is the socket that the kernel stopped at.
#[kprobe]
pub(crate) fn kp_compare(ctx: ProbeContext) -> u32 {
    if let Some(attempt) = attempt::current() {
        attempt.compared = argument(&ctx, 1);
    }
    0
}

/// The return of `inet_rcv_saddr_equal`.
#[kretprobe]
pub(crate) fn kr_compare(ctx: RetProbeContext) -> u32 {
    if says_yes(&ctx)
        && let Some(attempt) = attempt::current()
        && attempt.compared != 0
    {
        attempt.has_by_address = 1;
        emit::meet(attempt.compared as *const u8, found_by::VERDICT, &mut attempt.by_address);
    }
    0
}

/// `bool inet_bind_conflict(const struct sock *sk, struct sock *sk2, kuid_t uid, bool relax, bool cb_ok, bool ok)`: 6.1+.
#[kprobe]
pub(crate) fn kp_judge(ctx: ProbeContext) -> u32 {
    if let Some(attempt) = attempt::current() {
        attempt.judged = argument(&ctx, 1);
    }
    0
}

/// The return of `inet_bind_conflict`.
#[kretprobe]
pub(crate) fn kr_judge(ctx: RetProbeContext) -> u32 {
    if says_yes(&ctx)
        && let Some(attempt) = attempt::current()
        && attempt.judged != 0
    {
        attempt.has_by_rule = 1;
        emit::meet(attempt.judged as *const u8, found_by::VERDICT, &mut attempt.by_rule);
    }
    0
}

/// `int inet_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len)`, and `inet6_bind` alike: only for SCTP.
#[kprobe]
pub(crate) fn kp_bind(ctx: ProbeContext) -> u32 {
    let sk: u64 = field!(Probed, argument(&ctx, 0) as *const u8, socket_sk);
    if sock::protocol(sk as *const u8) == IPPROTO_SCTP {
        let address = argument(&ctx, 1);
        call::enter(function::SCTP_BIND, sk, sctp::wanted_port(address), how::BIND);
        sctp::begin(address);
    }
    0
}

/// The return of `inet_bind` or `inet6_bind`.
#[kretprobe]
pub(crate) fn kr_bind(ctx: RetProbeContext) -> u32 {
    if let Some(call) = call::leave(function::SCTP_BIND) {
        sctp::sctp_bound(call.sk, u32::from(call.port), ctx.ret::<i32>() as u32);
    }
    0
}

/// A thread asks for a port: by number, or for any.
#[inline(always)]
fn begin(function: u32, ctx: &ProbeContext) {
    let port = argument(ctx, 1) as u16;
    call::enter(function, argument(ctx, 0), port, if port == 0 { how::BIND0 } else { how::BIND });
    if port != 0 {
        // A call that is not followed has no verdict; the walk and the rule answer then.
        let _ = attempt::begin();
    }
}

#[inline(always)]
fn end(call: &Call) {
    if call.port != 0 {
        attempt::end();
    }
}

#[inline(always)]
fn refused(call: &Call, operation: u8) {
    if call.port == 0 {
        refuse::report_exhaustion(call.sk, EADDRINUSE, u32::from(operation));
    } else {
        refuse::report_refusal(call.sk, u32::from(call.port), u32::from(operation));
        end(call);
    }
}

/// A bool is one byte of the register.
#[inline(always)]
fn says_yes(ctx: &RetProbeContext) -> bool {
    ctx.ret::<u64>() & 0xff != 0
}

#[inline(always)]
fn argument(ctx: &ProbeContext, number: usize) -> u64 {
    ctx.arg(number).unwrap_or(0)
}
