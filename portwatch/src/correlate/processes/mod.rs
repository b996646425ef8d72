//! What processes were called, remembered while they lived, so that a dead one still has its name.

mod memory;
mod pool;

use super::lookups::{ContainerNames, Lookups, ProcessId, ProcessInfo};
use crate::model;
use crate::owner::cgroup::{self, Membership};
use crate::text;
use memory::{Known, Memory, Seen};
use portwatch_common::{Process, Task};
use std::sync::Arc;

pub use memory::CAPACITY;

/// Describes processes, the living by a look at them and the dead from memory.
#[derive(Debug)]
pub(super) struct Processes {
    memory: Memory,
}

impl Processes {
    pub(super) fn new(capacity: usize) -> Self {
        Self { memory: Memory::new(capacity) }
    }

    /// Remembers a process at its first port, while it certainly lives; and with it what its container and its user
    /// are called, because those may be deleted before anybody asks.
    pub(super) fn announce(&mut self, process: &Process, lookups: &mut dyn Lookups) {
        let task = &process.task;
        let id = ProcessId::of(task);
        let seen = match lookups.process(id) {
            Some(info) => Some(seen(info, task.uid, lookups)),
            None => record_only(task, lookups),
        };
        let first = Arc::new((task.comm, command_line(&arguments(process))));
        let known = Known { seen: seen.map(Arc::new), first, start_ns: task.start_ns };
        self.memory.put(id, known);
    }

    /// The process of a kernel record, as well as it can be described by now.
    pub(super) fn describe(&mut self, task: &Task, lookups: &mut dyn Lookups) -> model::Process {
        let now = lookups.process(ProcessId::of(task));
        self.describe_as(task, now, lookups)
    }

    /// The same of one that was looked at just now.
    pub(super) fn describe_as(
        &mut self,
        task: &Task,
        now: Option<ProcessInfo>,
        lookups: &mut dyn Lookups,
    ) -> model::Process {
        let id = ProcessId::of(task);
        let known = self.memory.take(id).of_start(task.start_ns);
        let now = now.map(|info| seen(info, task.uid, lookups));
        let alive = now.is_some();
        let seen = match (now, known.seen) {
            (Some(now), Some(before)) => Some(Arc::new(now.completed(Arc::unwrap_or_clone(before)))),
            (now, before) => now.map(Arc::new).or(before),
        };
        let known = Known { seen, start_ns: task.start_ns, ..known };

        let comm = text::lossy_comm(&task.comm);
        let seen = known.seen.as_deref();
        // Another name than at the port may be another program, which it became by exec or was before: of the living
        // the present one is told, of the dead nothing that is not of the one that had the port.
        let seen_then = seen.filter(|seen| alive || text::lossy_comm(&seen.comm) == comm);
        let (first_comm, first) = &*known.first;
        let recorded = first.as_deref().filter(|_| {
            seen_then.map_or_else(|| comm.clone(), |seen| text::lossy_comm(&seen.comm))
                == text::lossy_comm(first_comm)
        });
        let path = seen.and_then(|seen| seen.cgroup.as_deref());
        let asked = match path {
            None | Some("/") if task.cgroup != 0 => lookups.cgroup_path(task.cgroup),
            _ => None,
        };
        let described = model::Process {
            pid: task.tgid,
            tid: Some(task.tid),
            start_time: (task.start_ns != 0).then(|| lookups.wall_clock(task.start_ns)),
            comm: seen_then.map_or(comm, |seen| text::lossy_comm(&seen.comm)),
            exe: seen_then.and_then(|seen| seen.exe.as_deref()).map(str::to_owned),
            cmdline: seen_then.and_then(|seen| seen.cmdline.as_deref()).or(recorded).map(str::to_owned),
            uid: Some(task.uid),
            ..model::Process::default()
        };
        let described = with_names(described, asked.as_deref().or(path), seen, lookups);
        self.memory.put(id, known);
        described
    }

    /// A process that was found by looking, not by a kernel record.
    pub(super) fn describe_found(&self, info: &ProcessInfo, lookups: &mut dyn Lookups) -> model::Process {
        // One process has one start time, however it was met.
        let exact = self.memory.get(info.id).map_or(0, |known| known.start_ns);
        let start_ns = if exact == 0 { info.id.start_ns() } else { exact };
        let described = model::Process {
            pid: info.id.tgid,
            start_time: Some(lookups.wall_clock(start_ns)),
            comm: text::lossy_comm(&info.comm),
            exe: info.exe.clone(),
            cmdline: command_line(&info.arguments).map(String::from),
            uid: info.uid,
            ..model::Process::default()
        };
        with_names(described, info.cgroup.as_deref(), None, lookups)
    }
}

/// What is kept of a look at /proc.
fn seen(info: ProcessInfo, uid: u32, lookups: &mut dyn Lookups) -> Seen {
    let membership = info.cgroup.as_deref().map(cgroup::membership).unwrap_or_default();
    let user = user(uid, &membership, lookups).map(|name| (uid, name.into_boxed_str()));
    Seen {
        comm: info.comm.into(),
        exe: info.exe.map(String::into_boxed_str),
        cmdline: command_line(&info.arguments),
        names: info.cgroup.as_deref().and_then(|path| container(path, &membership, lookups)),
        cgroup: info.cgroup.map(String::into_boxed_str),
        user,
    }
}

/// What the record alone tells of a process that was gone at once: its cgroup, which may soon be gone too.
fn record_only(task: &Task, lookups: &mut dyn Lookups) -> Option<Seen> {
    let path = (task.cgroup != 0).then(|| lookups.cgroup_path(task.cgroup))?.filter(|path| path != "/")?;
    let comm = task.comm.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
    let (exe, arguments, uid) = (None, Vec::new(), Some(task.uid));
    let info = ProcessInfo { id: ProcessId::of(task), comm, exe, arguments, uid, cgroup: Some(path) };
    Some(seen(info, task.uid, lookups))
}

fn with_names(
    process: model::Process,
    path: Option<&str>,
    seen: Option<&Seen>,
    lookups: &mut dyn Lookups,
) -> model::Process {
    let membership = path.map(cgroup::membership).unwrap_or_default();
    let remembered = seen.filter(|seen| seen.cgroup.as_deref() == path);
    let names = remembered
        .and_then(|seen| seen.names.clone())
        .or_else(|| path.and_then(|path| container(path, &membership, lookups)))
        .unwrap_or_default();
    let user = remembered
        .and_then(|seen| seen.user.as_ref().filter(|(uid, _)| process.uid == Some(*uid)))
        .map(|(_, name)| String::from(&**name))
        .or_else(|| process.uid.and_then(|uid| user(uid, &membership, lookups)));
    let Membership { unit, slice, container, runtime, name, pod, .. } = membership;
    let ContainerNames { runtime: by_files, name: in_files, pod: uid, pod_name, pod_namespace } =
        (*names).clone();
    model::Process {
        user,
        cgroup: path.map(str::to_owned),
        unit,
        slice,
        container,
        container_runtime: by_files.or_else(|| runtime.map(|runtime| runtime.as_str().to_owned())),
        container_name: name.or(in_files),
        pod: pod.or(uid),
        pod_name,
        pod_namespace,
        ..process
    }
}

fn container(path: &str, membership: &Membership, lookups: &mut dyn Lookups) -> Option<Arc<ContainerNames>> {
    let is_asked = membership.container.is_some() || membership.pod.is_some();
    is_asked.then(|| lookups.container(path))?
}

fn user(uid: u32, membership: &Membership, lookups: &mut dyn Lookups) -> Option<String> {
    membership.has_host_user(uid).then(|| lookups.user_name(uid))?
}

fn command_line(arguments: &[String]) -> Option<Box<str>> {
    (!arguments.is_empty()).then(|| text::command_line(arguments).into_boxed_str())
}

/// The arguments of a record; its length is the kernel side's word, so it is checked. A cut is shown by an ellipsis.
fn arguments(process: &Process) -> Vec<String> {
    let length = usize::try_from(process.argv_len).unwrap_or(usize::MAX).min(process.argv.len());
    let bytes = &process.argv[..length];
    let is_cut = length == process.argv.len() && bytes.last() != Some(&0);
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut arguments: Vec<_> = bytes.split(|&byte| byte == 0).map(text::lossy).collect();
    if let Some(last) = arguments.last_mut().filter(|_| is_cut) {
        last.push('…');
    }
    arguments
}
