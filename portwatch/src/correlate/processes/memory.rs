//! A bounded memory of processes: so many of them, and so many bytes; the oldest goes first.

use super::pool::Pool;
use crate::correlate::lookups::{ContainerNames, ProcessId};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Processes remembered unless told otherwise: as many as the kernel side announces.
pub const CAPACITY: usize = 16_384;
/// Text kept without a thought. A host with sixteen thousand processes of ordinary size stays far below.
const BYTES: usize = 16 << 20;
/// Beyond that, command lines are kept this far, and with twice as much the oldest processes go.
const SHORT: usize = 512;

/// What was seen of a process. The processes of a service in a restart loop have all but the last in common.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Name and command line at its first port, cut where the record ends.
    pub(super) first: Arc<First>,
    /// /proc at the latest look.
    pub(super) seen: Option<Arc<Seen>>,
    /// Its start, exactly; 0 while only /proc has told of it.
    pub(super) start_ns: u64,
}

/// Name and command line.
pub(super) type First = ([u8; 16], Option<Box<str>>);

/// A look at /proc, and at the files that say what its container is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) comm: Box<[u8]>,
    pub(super) exe: Option<Box<str>>,
    pub(super) cmdline: Option<Box<str>>,
    pub(super) cgroup: Option<Box<str>>,
    /// Login name, and of which uid.
    pub(super) user: Option<(u32, Box<str>)>,
    pub(super) names: Option<Arc<ContainerNames>>,
}

impl Seen {
    /// With what an earlier look at the same process saw and this one does not: of a process that has exited and waits
    /// for its parent /proc shows the name only, and the files of its container may be gone.
    pub(super) fn completed(self, before: Self) -> Self {
        let is_gone = self.exe.is_none() && self.cmdline.is_none();
        let (same_program, in_root) =
            (self.comm == before.comm, matches!(self.cgroup.as_deref(), None | Some("/")));
        let cgroup = if is_gone && in_root { before.cgroup.clone() } else { self.cgroup };
        let same_cgroup = cgroup == before.cgroup;
        Self {
            exe: self.exe.or(before.exe.filter(|_| is_gone && same_program)),
            cmdline: self.cmdline.or(before.cmdline.filter(|_| is_gone && same_program)),
            user: self.user.or(before.user.filter(|_| same_cgroup)),
            names: self.names.or(before.names.filter(|_| same_cgroup)),
            comm: self.comm,
            cgroup,
        }
    }

    fn bytes(&self) -> usize {
        let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let user = self.user.as_ref().map_or(0, |(_, name)| name.len());
        self.comm.len() + length(&self.exe) + length(&self.cmdline) + length(&self.cgroup) + user
    }
}

impl Known {
    /// The same, if it is known of the process that started at `start_ns`; a pid that was reused within one tick of /proc is
    /// another process under the same [`ProcessId`].
    pub(super) fn of_start(self, start_ns: u64) -> Self {
        let is_other = self.start_ns != 0 && start_ns != 0 && self.start_ns != start_ns;
        if is_other { Self::default() } else { self }
    }

    fn bytes(&self) -> usize {
        self.first.1.as_ref().map_or(0, |text| text.len()) + self.seen.as_ref().map_or(0, |seen| seen.bytes())
    }
}

#[derive(Debug)]
pub(super) struct Memory {
    known: HashMap<ProcessId, Known>,
    order: VecDeque<ProcessId>,
    capacity: usize,
    /// Text of all of them, as if nothing of it were shared.
    bytes: usize,
    firsts: Pool<First>,
    looks: Pool<Seen>,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            known: HashMap::new(),
            order: VecDeque::new(),
            capacity: capacity.max(1),
            bytes: 0,
            firsts: Pool::default(),
            looks: Pool::default(),
        }
    }

    pub(super) fn get(&self, id: ProcessId) -> Option<&Known> {
        self.known.get(&id)
    }

    /// What is known, to be put back; its place in the order of age stays.
    pub(super) fn take(&mut self, id: ProcessId) -> Known {
        let Some(known) = self.known.get_mut(&id) else { return Known::default() };
        self.bytes -= known.bytes();
        std::mem::take(known)
    }

    pub(super) fn put(&mut self, id: ProcessId, mut known: Known) {
        if self.bytes + known.bytes() > BYTES
            && let Some(seen) = &mut known.seen
            && seen.cmdline.as_ref().is_some_and(|line| line.len() > SHORT)
            && let Some(line) = &mut Arc::make_mut(seen).cmdline
        {
            *line = format!("{}…", &line[..line.floor_char_boundary(SHORT)]).into_boxed_str();
        }
        self.firsts.share(&mut known.first);
        if let Some(seen) = &mut known.seen {
            self.looks.share(seen);
        }
        self.bytes += known.bytes();
        match self.known.insert(id, known) {
            Some(before) => self.bytes -= before.bytes(),
            None => self.order.push_back(id),
        }
        while self.known.len() > self.capacity || (self.bytes > 2 * BYTES && self.known.len() > 1) {
            let Some(oldest) = self.order.pop_front() else { return };
            self.bytes -= self.known.remove(&oldest).map_or(0, |known| known.bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(tgid: u32) -> ProcessId {
        ProcessId { tgid, start_ticks: 1 }
    }

    fn known(cmdline: &str) -> Known {
        let seen = Seen {
            comm: (*b"a").into(),
            exe: Some("/bin/a".into()),
            cmdline: Some(cmdline.into()),
            cgroup: Some("/a.service".into()),
            user: None,
            names: None,
        };
        Known { seen: Some(Arc::new(seen)), ..Known::default() }
    }

    #[test]
    fn the_oldest_goes_first_and_is_counted_out() {
        let mut memory = Memory::new(2);
        for tgid in 1..=3 {
            memory.put(id(tgid), known("x"));
        }
        assert!(memory.get(id(1)).is_none() && memory.get(id(2)).is_some() && memory.get(id(3)).is_some());
        assert_eq!(memory.bytes, 2 * known("x").bytes());
        let again = memory.take(id(2));
        memory.put(id(2), again);
        memory.put(id(4), known("x"));
        assert!(memory.get(id(2)).is_none(), "put back is not younger");
        assert_eq!((memory.known.len(), memory.order.len()), (2, 2));
    }

    #[test]
    fn a_flood_of_long_command_lines_is_cut_and_then_bounded() {
        let mut memory = Memory::new(CAPACITY);
        let line = "é".repeat(2_048);
        for tgid in 0..16_000 {
            memory.put(id(tgid), known(&line));
        }
        assert!(memory.bytes < 2 * BYTES, "{}", memory.bytes);
        let cut =
            |tgid| memory.get(id(tgid)).and_then(|known| known.seen.as_ref()?.cmdline.clone()).expect("kept");
        assert_eq!(cut(0).len(), line.len());
        assert!(cut(15_999).ends_with("é…") && cut(15_999).len() <= SHORT + 3);
        for tgid in 0..16_000 {
            let exe = "/".repeat(4_096).into_boxed_str();
            let mut long = known("x");
            if let Some(seen) = &mut long.seen {
                Arc::make_mut(seen).exe = Some(exe);
            }
            memory.put(id(tgid), long);
        }
        assert!(memory.bytes <= 2 * BYTES && memory.known.len() == memory.order.len());
    }

    #[test]
    fn the_processes_of_one_service_share_what_was_seen() {
        let mut memory = Memory::new(CAPACITY);
        (0..100).for_each(|tgid| memory.put(id(tgid), known("a --serve")));
        let seen = |tgid| memory.get(id(tgid)).and_then(|known| known.seen.clone()).expect("kept");
        assert!(Arc::ptr_eq(&seen(0), &seen(99)));
    }

    #[test]
    fn a_pid_that_was_reused_within_a_tick_is_another_process() {
        let exact = |start_ns| Known { start_ns, ..known("a --serve") };
        assert!(exact(7).of_start(8).seen.is_none());
        assert!(exact(7).of_start(7).seen.is_some());
        assert!(
            exact(0).of_start(8).seen.is_some() && exact(7).of_start(0).seen.is_some(),
            "not known exactly"
        );
    }

    #[test]
    fn one_that_has_exited_keeps_what_was_seen_before() {
        let seen = |cmdline| known(cmdline).seen.map(Arc::unwrap_or_clone).expect("seen");
        let before = seen("a --serve");
        let gone = Seen { exe: None, cmdline: None, cgroup: Some("/".into()), ..before.clone() };
        assert_eq!(gone.clone().completed(before.clone()), before);
        let other = Seen { comm: (*b"b").into(), ..gone };
        let completed = other.completed(before.clone());
        assert_eq!((completed.exe, completed.cgroup), (None, before.cgroup));
        let moved = Seen { cgroup: Some("/b.service".into()), ..seen("b") };
        assert_eq!(moved.clone().completed(seen("a")), moved);
    }
}
