//! Who is running: process, start time, uid, cgroup, name.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_task, bpf_get_current_task_btf,
    bpf_get_current_uid_gid,
};
use portwatch_common::Task;

use crate::constant::constant;
use crate::field::{Access, Probed, Typed, field};

/// Writes the task that runs now to where it stays.
///
/// # Safety
/// There must be room for it.
#[inline(always)]
pub(crate) unsafe fn write_current(to: *mut Task) {
    // SAFETY: the caller's.
    unsafe {
        if constant!(tuning.task_btf) != 0 { by_fields(current_typed(), to) } else { write_current_aside(to) }
    }
}

/// The task that runs now, for what comes to pass seldom. Until 7.0 the verifier searches all of the kernel's types, several
/// times, for what it should think of a pointer that it knows by type: that made most of the time that a load took.
#[inline(always)]
pub(crate) fn current_aside() -> Task {
    let mut task = MaybeUninit::uninit();
    // SAFETY: room for a task, which is written.
    unsafe {
        write_current_aside(task.as_mut_ptr());
        task.assume_init()
    }
}

/// [`write_current`] in the way of [`current_aside`]. A function of its own, which leaves others their registers.
///
/// # Safety
/// As of [`write_current`].
#[inline(never)]
pub(crate) unsafe fn write_current_aside(to: *mut Task) {
    let ids = bpf_get_current_pid_tgid();
    // SAFETY: the caller's; and helpers without arguments.
    unsafe {
        (*to).cgroup = bpf_get_current_cgroup_id();
        (*to).tgid = (ids >> 32) as u32;
        (*to).tid = ids as u32;
        (*to).uid = bpf_get_current_uid_gid() as u32;
        (*to).pad = 0;
        describe::<Probed>(current_address(), to);
    }
}

/// The same from a typed pointer: a load each, where every helper is a call.
#[inline(always)]
unsafe fn by_fields(current: *const u8, to: *mut Task) {
    let cred: u64 = field!(Typed, current, task_cred);
    // SAFETY: the caller's.
    unsafe {
        (*to).cgroup = cgroup(current);
        (*to).tgid = field!(Typed, current, task_tgid);
        (*to).tid = field!(Typed, current, task_pid);
        (*to).uid = field!(Typed, cred as *const u8, cred_euid);
        (*to).pad = 0;
        describe::<Typed>(current, to);
    }
}

/// Id of the task's cgroup v2, as `bpf_get_current_cgroup_id` tells it.
#[inline(always)]
fn cgroup(task: *const u8) -> u64 {
    if constant!(tuning.cgroups) == 0 {
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
    // SAFETY: ours.
    unsafe { describe::<Probed>(task, &raw mut facts) };
    facts
}

/// Threads are known by their process: start time and name are those of the thread group's leader.
#[inline(always)]
unsafe fn describe<A: Access>(task: *const u8, to: *mut Task) {
    // SAFETY: the caller's; both are written already.
    unsafe {
        // Most often the thread is the leader, which the verifier knows better than a pointer that was read.
        if (*to).tgid == (*to).tid { name::<A>(task, to) } else { name::<A>(leader::<A>(task), to) }
    }
}

#[inline(always)]
unsafe fn name<A: Access>(leader: *const u8, to: *mut Task) {
    // SAFETY: the caller's; as long as the name, which is aligned for it. By bytes it would be sixteen stores.
    unsafe {
        (*to).start_ns = field!(A, leader, task_start);
        let comm = (&raw mut (*to).comm).cast::<u64>();
        comm.write(field!(A, leader, task_comm));
        comm.add(1).write(field!(A, leader, task_comm, 1));
    }
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

/// The same as a pointer that the verifier knows by type; only where `tuning.task_btf` says that it can be had.
#[inline(always)]
pub(crate) fn current_typed() -> *const u8 {
    // SAFETY: a helper without arguments; user space sets the flag only where it exists.
    unsafe { bpf_get_current_task_btf() as *const u8 }
}
