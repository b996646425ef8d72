//! The end of a process, for the backends without probes: who was gone before a refusal was not in its way.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;

use crate::assign;
use crate::twin::{Hook, seen_in_process, stand_in, word};

/// `sched_process_exit(struct task_struct *p)`, since 6.16 with one more parameter: in the context of the thread that ends.
#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn process_exit(_: BtfTracePointContext) -> i32 {
    seen_in_process(Hook::ProcessExit, bpf_get_current_pid_tgid());
    assign::ended();
    0
}

/// Stand-in of [`process_exit`].
#[btf_tracepoint(function = "sched_process_exit")]
pub(crate) fn process_exit_2(_: BtfTracePointContext) -> i32 {
    if word(Hook::ProcessExit).misses(bpf_get_current_pid_tgid()) {
        stand_in(assign::ended);
    }
    0
}
