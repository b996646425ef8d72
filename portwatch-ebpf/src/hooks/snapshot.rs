//! The start-up snapshot: every socket that already has a port, with a process that has it open.

use aya_ebpf::cty::c_void;
use portwatch_common::Task;

use crate::field::{Probed, field};
use crate::{assign, sock, task};

/// What `iter/task_file` hands over: `struct bpf_iter__task_file`.
#[repr(C)]
struct TaskFile {
    meta: *const c_void,
    task: *const u8,
    fd: u32,
    pad: u32,
    file: *const u8,
}

/// Called once for every open file of every task; the last call of a pass has neither task nor file.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub(crate) extern "C" fn open_files(ctx: *const c_void) -> i32 {
    // SAFETY: the kernel hands a context of this layout to programs in this section.
    let (task, file) = unsafe {
        let item = ctx.cast::<TaskFile>();
        (core::ptr::read_volatile(&raw const (*item).task), core::ptr::read_volatile(&raw const (*item).file))
    };
    if task.is_null() || file.is_null() {
        return 0;
    }
    let sk = sock::of_file(file);
    if sk.is_null() {
        return 0;
    }
    let sk = sock::on_port(sk);
    let protocol = sock::protocol(sk);
    let port: u16 = field!(Probed, sk, skc_num);
    if port != 0 && sock::has_ports(protocol) {
        let owner: Task = task::of(task);
        assign::record_preexisting(sk, protocol, port, owner);
    }
    0
}
