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
    // SAFETY: helpers without arguments.
    let cgroup = unsafe { bpf_get_current_cgroup_id() };
    let ids = bpf_get_current_pid_tgid();
    let mut task = Task {
        cgroup,
        tgid: (ids >> 32) as u32,
        tid: ids as u32,
        uid: bpf_get_current_uid_gid() as u32,
        ..Task::default()
    };
    if constant!(TUNING.task_btf) != 0 {
        // SAFETY: as above; user space sets the flag only where the helper exists.
        describe::<Typed>(unsafe { bpf_get_current_task_btf() } as *const u8, &mut task);
    } else {
        // SAFETY: as above.
        describe::<Probed>(unsafe { bpf_get_current_task() } as *const u8, &mut task);
    }
    task
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
    let leader: *const u8 = leader::<A>(task);
    facts.start_ns = field!(A, leader, task_start);
    let comm = constant!(OFFSETS.task_comm);
    let low: u64 = A::read(leader, comm);
    let high: u64 = A::read(leader, comm + 8);
    facts.comm[..8].copy_from_slice(&low.to_ne_bytes());
    facts.comm[8..].copy_from_slice(&high.to_ne_bytes());
}

#[inline(always)]
fn leader<A: Access>(task: *const u8) -> *const u8 {
    A::read::<u64>(task, constant!(OFFSETS.task_leader)) as *const u8
}

/// The current task as a plain address, for pointer chases.
#[inline(always)]
pub(crate) fn current_address() -> *const u8 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_get_current_task() as *const u8 }
}
