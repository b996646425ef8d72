//! Who is running: process, start time, uid, cgroup, name.

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf,
    bpf_get_current_uid_gid,
};
use portwatch_common::Task;

use crate::field::{Access, Probed, Typed, field};
use crate::maps::constant;

/// The task that runs now.
#[inline(always)]
pub(crate) fn current() -> Task {
    if constant!(TUNING.task_btf) != 0 {
        return by_fields(current_typed());
    }
    let ids = bpf_get_current_pid_tgid();
    let mut task = Task {
        // SAFETY: a helper without arguments.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
        uid: bpf_get_current_uid_gid() as u32,
        ..Task::default()
    };
    describe::<Probed>(current_address(), &mut task);
    task
}

/// The same from a typed pointer: a load each, where every helper is a call.
#[inline(always)]
fn by_fields(current: *const u8) -> Task {
    let cred: u64 = field!(Typed, current, task_cred);
    let mut task = Task {
        cgroup: cgroup(current),
        tgid: field!(Typed, current, task_tgid),
        tid: field!(Typed, current, task_pid),
        uid: field!(Typed, cred as *const u8, cred_euid),
        ..Task::default()
    };
    describe::<Typed>(current, &mut task);
    task
}

/// Id of the task's cgroup v2, as `bpf_get_current_cgroup_id` tells it.
#[inline(always)]
fn cgroup(task: *const u8) -> u64 {
    if constant!(TUNING.cgroups) == 0 {
        return 0;
    }
    let all: u64 = field!(Typed, task, task_cgroups);
    let cgroup: u64 = field!(Typed, all as *const u8, cgroups_default);
    let node: u64 = field!(Typed, cgroup as *const u8, cgroup_kn);
    field!(Typed, node as *const u8, kernfs_id)
}

/// Another task, by its `task_struct`; its cgroup stays unknown.
#[inline(always)]
pub(crate) fn of(task: *const u8) -> Task {
    let cred: u64 = field!(Probed, task, task_cred);
    let mut facts = Task {
        tgid: field!(Probed, task, task_tgid),
        tid: field!(Probed, task, task_pid),
        uid: field!(Probed, cred as *const u8, cred_euid),
        ..Task::default()
    };
    describe::<Probed>(task, &mut facts);
    facts
}

/// Threads are known by their process: start time and name are those of the thread group's leader.
#[inline(always)]
fn describe<A: Access>(task: *const u8, facts: &mut Task) {
    // Most often the thread is the leader, which the verifier knows better than a pointer that was read.
    if facts.tgid == facts.tid { name::<A>(task, facts) } else { name::<A>(leader::<A>(task), facts) }
}

#[inline(always)]
fn name<A: Access>(leader: *const u8, facts: &mut Task) {
    facts.start_ns = field!(A, leader, task_start);
    let low: u64 = field!(A, leader, task_comm);
    let high: u64 = field!(A, leader, task_comm, 1);
    // SAFETY: as long as the name, which is aligned for it. By bytes it would be sixteen stores.
    unsafe { (&raw mut facts.comm).cast::<[u64; 2]>().write([low, high]) };
}

#[inline(always)]
fn leader<A: Access>(task: *const u8) -> *const u8 {
    let leader: u64 = field!(A, task, task_leader);
    leader as *const u8
}

/// The current task as a plain address, for pointer chases.
#[inline(always)]
pub(crate) fn current_address() -> *const u8 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_task() as *const u8 }
}

/// The same as a pointer that the verifier knows by type; only where `TUNING.task_btf` says that it can be had.
#[inline(always)]
pub(crate) fn current_typed() -> *const u8 {
    // SAFETY: a helper without arguments; user space sets the flag only where it exists.
    unsafe { bpf_get_current_task_btf() as *const u8 }
}
