//! Stand-ins of the tracepoint backend: the same hooks once more, for events that the kernel did not call the lead for.
//!
//! They are attached after their leads, since a tracepoint runs the program first that came first. What a call leaves for
//! its end is used up by the first who sees that end, so those need no word from each other.

use aya_ebpf::macros::{btf_tracepoint, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, TracePointContext};

use super::{states, tracepoint as lead};
use crate::field::number;
use crate::release;
use crate::twin::{Hook, is_missed};

/// See [`states::set_state`].
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn set_state_2(ctx: BtfTracePointContext) -> i32 {
    if states::matters(&ctx) && is_missed(states::place(&ctx), ctx.arg(0)) {
        states::changes(&ctx);
    }
    0
}

/// See [`states::destroy`].
#[btf_tracepoint(function = "tcp_destroy_sock")]
pub(crate) fn destroy_2(ctx: BtfTracePointContext) -> i32 {
    if is_missed(Hook::Destroy, ctx.arg(0)) {
        release::released(number(&ctx, 0));
    }
    0
}

/// See [`lead::enter_bind`].
#[tracepoint(category = "syscalls", name = "sys_enter_bind")]
pub(crate) fn enter_bind_2(ctx: TracePointContext) -> u32 {
    if is_missed(Hook::EnterCall, lead::thread()) {
        lead::binds(&ctx);
    }
    0
}

/// See [`lead::enter_listen`].
#[tracepoint(category = "syscalls", name = "sys_enter_listen")]
pub(crate) fn enter_listen_2(ctx: TracePointContext) -> u32 {
    if is_missed(Hook::EnterCall, lead::thread()) {
        lead::listens(&ctx);
    }
    0
}

/// See [`lead::enter_connect`].
#[tracepoint(category = "syscalls", name = "sys_enter_connect")]
pub(crate) fn enter_connect_2(ctx: TracePointContext) -> u32 {
    if is_missed(Hook::EnterCall, lead::thread()) {
        lead::autobinds(lead::argument(&ctx, lead::ARGUMENT_0) as u32);
    }
    0
}

/// See [`lead::enter_sendto`].
#[tracepoint(category = "syscalls", name = "sys_enter_sendto")]
pub(crate) fn enter_sendto_2(ctx: TracePointContext) -> u32 {
    if is_missed(Hook::EnterCall, lead::thread()) {
        lead::sends(&ctx);
    }
    0
}

/// See [`lead::enter_sendmsg`].
#[tracepoint(category = "syscalls", name = "sys_enter_sendmsg")]
pub(crate) fn enter_sendmsg_2(ctx: TracePointContext) -> u32 {
    if is_missed(Hook::EnterCall, lead::thread()) {
        lead::addressed(&ctx);
    }
    0
}

/// See [`lead::enter_sendmmsg`].
#[tracepoint(category = "syscalls", name = "sys_enter_sendmmsg")]
pub(crate) fn enter_sendmmsg_2(ctx: TracePointContext) -> u32 {
    if is_missed(Hook::EnterCall, lead::thread()) {
        lead::addressed(&ctx);
    }
    0
}

/// See [`lead::exit_bind`].
#[tracepoint(category = "syscalls", name = "sys_exit_bind")]
pub(crate) fn exit_bind_2(ctx: TracePointContext) -> u32 {
    lead::bind_ends(&ctx);
    0
}

/// See [`lead::exit_listen`].
#[tracepoint(category = "syscalls", name = "sys_exit_listen")]
pub(crate) fn exit_listen_2(ctx: TracePointContext) -> u32 {
    lead::listen_ends(&ctx);
    0
}

/// See [`lead::exit_connect`].
#[tracepoint(category = "syscalls", name = "sys_exit_connect")]
pub(crate) fn exit_connect_2(ctx: TracePointContext) -> u32 {
    lead::autobound(&ctx);
    0
}

/// See [`lead::exit_sendto`].
#[tracepoint(category = "syscalls", name = "sys_exit_sendto")]
pub(crate) fn exit_sendto_2(ctx: TracePointContext) -> u32 {
    lead::autobound(&ctx);
    0
}

/// See [`lead::exit_sendmsg`].
#[tracepoint(category = "syscalls", name = "sys_exit_sendmsg")]
pub(crate) fn exit_sendmsg_2(ctx: TracePointContext) -> u32 {
    lead::autobound(&ctx);
    0
}

/// See [`lead::exit_sendmmsg`].
#[tracepoint(category = "syscalls", name = "sys_exit_sendmmsg")]
pub(crate) fn exit_sendmmsg_2(ctx: TracePointContext) -> u32 {
    lead::autobound(&ctx);
    0
}
