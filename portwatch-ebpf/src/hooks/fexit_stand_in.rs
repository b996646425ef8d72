//! Stand-ins of the fexit backend: the same hooks once more, for events that the kernel did not call the lead for.
//!
//! They are attached before their leads, since a trampoline runs the program first that came last.

use aya_ebpf::macros::{fentry, fexit};
use aya_ebpf::programs::{FEntryContext, FExitContext};

use super::fexit::{autobinds, begin, connected, moved_to_time_wait, tcp_port, udp_port};
use crate::twin::{Hook, Role, stand_in, word};

/// See [`super::fexit::csk_get_port_enter`].
#[fentry(function = "inet_csk_get_port")]
pub(crate) fn csk_get_port_enter_2(ctx: FEntryContext) -> i32 {
    if word(Hook::TcpPortEnter).misses(ctx.arg(0)) {
        stand_in(move || begin(ctx.arg::<u64>(1) as u16));
    }
    0
}

/// See [`super::fexit::udp_get_port_enter`].
#[fentry(function = "udp_lib_get_port")]
pub(crate) fn udp_get_port_enter_2(ctx: FEntryContext) -> i32 {
    if word(Hook::UdpPortEnter).misses(ctx.arg(0)) {
        stand_in(move || begin(ctx.arg::<u64>(1) as u16));
    }
    0
}

/// See [`super::fexit::csk_get_port`].
#[fexit(function = "inet_csk_get_port")]
pub(crate) fn csk_get_port_2(ctx: FExitContext) -> i32 {
    if word(Hook::TcpPort).misses(ctx.arg(0)) {
        stand_in(move || tcp_port(&ctx, Role::StandIn));
    }
    0
}

/// See [`super::fexit::udp_get_port`].
#[fexit(function = "udp_lib_get_port")]
pub(crate) fn udp_get_port_2(ctx: FExitContext) -> i32 {
    if word(Hook::UdpPort).misses(ctx.arg(0)) {
        stand_in(move || udp_port(&ctx, Role::StandIn));
    }
    0
}

/// See [`super::fexit::autobind`].
#[fentry(function = "inet_autobind")]
pub(crate) fn autobind_2(ctx: FEntryContext) -> i32 {
    if word(Hook::Autobind).misses(ctx.arg(0)) {
        stand_in(move || autobinds(&ctx));
    }
    0
}

/// See [`super::fexit::hash_connect`].
#[fexit(function = "inet_hash_connect")]
pub(crate) fn hash_connect_2(ctx: FExitContext) -> i32 {
    if word(Hook::Connect).misses(ctx.arg(1)) {
        stand_in(move || connected(&ctx));
    }
    0
}

/// See [`super::fexit::hash_connect6`].
#[fexit(function = "inet6_hash_connect")]
pub(crate) fn hash_connect6_2(ctx: FExitContext) -> i32 {
    if word(Hook::Connect).misses(ctx.arg(1)) {
        stand_in(move || connected(&ctx));
    }
    0
}

/// See [`super::fexit::time_wait`].
#[fentry(function = "inet_twsk_hashdance")]
pub(crate) fn time_wait_2(ctx: FEntryContext) -> i32 {
    if word(Hook::TimeWait).misses(ctx.arg(0)) {
        stand_in(move || moved_to_time_wait(&ctx));
    }
    0
}
