//! What processes were called, remembered while they lived, so that a dead one still has its name.

use super::lookups::{Lookups, ProcessId, ProcessInfo};
use crate::model;
use crate::owner::cgroup::{self, Membership};
use crate::text;
use portwatch_common::{Process, Task};
use std::collections::{HashMap, VecDeque};

/// Processes remembered unless told otherwise: as many as the kernel side announces.
pub const CAPACITY: usize = 16_384;

/// What was seen of a process.
#[derive(Debug, Default)]
struct Known {
    /// Arguments at its first port, cut where the record ends.
    arguments: Vec<String>,
    /// /proc at the latest look.
    info: Option<ProcessInfo>,
    /// Its start, exactly; 0 while only /proc has told of it.
    start_ns: u64,
}

/// A bounded memory, the oldest out first.
#[derive(Debug)]
pub(super) struct Processes {
    known: HashMap<ProcessId, Known>,
    order: VecDeque<ProcessId>,
    capacity: usize,
}

impl Processes {
    pub(super) fn new(capacity: usize) -> Self {
        Self { known: HashMap::new(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Remembers a process at its first port, while it certainly lives.
    pub(super) fn announce(&mut self, process: &Process, lookups: &mut dyn Lookups) {
        let id = ProcessId::of(&process.task);
        let info = lookups.process(id);
        let known = self.entry(id);
        known.arguments = arguments(process);
        known.info = info;
        known.start_ns = process.task.start_ns;
    }

    /// The process of a kernel record, as well as it can be described by now.
    pub(super) fn describe(&mut self, task: &Task, lookups: &mut dyn Lookups) -> model::Process {
        let id = ProcessId::of(task);
        let now = lookups.process(id);
        let known = self.entry(id);
        known.start_ns = task.start_ns;
        known.info = now.or(known.info.take());
        let info = known.info.as_ref();
        let recorded = &known.arguments;
        let seen = info.map_or(&[][..], |info| &info.arguments);
        let arguments = if seen.is_empty() { recorded } else { seen };
        let comm = info.map_or(&task.comm[..], |info| &info.comm);
        let described = model::Process {
            pid: task.tgid,
            tid: Some(task.tid),
            start_time: (task.start_ns != 0).then(|| lookups.wall_clock(task.start_ns)),
            comm: text::lossy_comm(comm),
            exe: info.and_then(|info| info.exe.clone()),
            cmdline: (!arguments.is_empty()).then(|| text::command_line(arguments)),
            uid: Some(task.uid),
            ..model::Process::default()
        };
        let path = info.and_then(|info| info.cgroup.clone()).filter(|path| path != "/");
        let path = path.or_else(|| (task.cgroup != 0).then(|| lookups.cgroup_path(task.cgroup)).flatten());
        with_cgroup(described, path.or_else(|| info.and_then(|info| info.cgroup.clone())))
    }

    /// A process that was found by looking, not by a kernel record.
    pub(super) fn describe_found(&self, info: &ProcessInfo, lookups: &mut dyn Lookups) -> model::Process {
        // One process has one start time, however it was met.
        let exact = self.known.get(&info.id).map_or(0, |known| known.start_ns);
        let start_ns = if exact == 0 { info.id.start_ns() } else { exact };
        let described = model::Process {
            pid: info.id.tgid,
            start_time: Some(lookups.wall_clock(start_ns)),
            comm: text::lossy_comm(&info.comm),
            exe: info.exe.clone(),
            cmdline: (!info.arguments.is_empty()).then(|| text::command_line(&info.arguments)),
            uid: info.uid,
            ..model::Process::default()
        };
        with_cgroup(described, info.cgroup.clone())
    }

    fn entry(&mut self, id: ProcessId) -> &mut Known {
        if !self.known.contains_key(&id) {
            if self.order.len() >= self.capacity
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(id);
        }
        self.known.entry(id).or_default()
    }
}

fn with_cgroup(process: model::Process, path: Option<String>) -> model::Process {
    let Membership { unit, container, pod } = path.as_deref().map(cgroup::membership).unwrap_or_default();
    model::Process { cgroup: path, unit, container, pod, ..process }
}

/// The arguments of a record; its length is the kernel side's word, so it is checked.
fn arguments(process: &Process) -> Vec<String> {
    let length = usize::try_from(process.argv_len).unwrap_or(usize::MAX).min(process.argv.len());
    let bytes = &process.argv[..length];
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|&byte| byte == 0).map(text::lossy).collect()
}
