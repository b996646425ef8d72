//! Socket → the processes that have it open: by the descriptors of all processes, else by what BPF met.

use super::{Look, Standing, View};
use crate::correlate::{Lookups, ProcessId, ProcessInfo, SocketHolders, Wanted};
use crate::model::UnnamedReason;
use std::collections::{BTreeSet, HashMap, HashSet};

/// A socket, by namespace and inode.
type Key = (u32, u64);

/// Who has what open.
#[derive(Debug, Default)]
pub(super) struct Owners {
    holders: HashMap<u64, SocketHolders>,
    /// What was not plain after an earlier look.
    earlier: Option<HashSet<Key>>,
}

impl Owners {
    pub(super) fn find(look: &Look, lookups: &mut dyn Lookups) -> Self {
        let inodes: BTreeSet<u64> = sockets(look).map(|(_, s)| s.entry.inode).filter(|i| *i != 0).collect();
        if inodes.is_empty() {
            return Self::default();
        }
        let wanted: Vec<Wanted> =
            inodes.iter().map(|&inode| Wanted { inode, hint: None, sharers: true }).collect();
        let holders = inodes.into_iter().zip(lookups.socket_holders(&wanted)).collect();
        Self { holders, earlier: None }
    }

    /// The processes that have the socket open, the oldest first.
    pub(super) fn of(&self, inode: u64) -> &[ProcessInfo] {
        self.holders.get(&inode).map_or(&[], |answer| &answer.processes)
    }

    /// Why there is no process, for a socket that has an inode.
    pub(super) fn reason(&self, netns: u32, inode: u64) -> UnnamedReason {
        match self.holders.get(&inode).and_then(|answer| answer.blind) {
            Some(blind) => blind,
            None if self.earlier.as_ref().is_some_and(|earlier| !earlier.contains(&(netns, inode))) => {
                UnnamedReason::AlreadyGone
            }
            None => UnnamedReason::NoProcess,
        }
    }

    /// Sockets that another look may explain: without a process, or known to BPF only.
    pub(super) fn puzzles(&self, look: &Look) -> HashSet<Key> {
        let is_plain = |view: &View, standing: &Standing| {
            let inode = standing.entry.inode;
            let is_nameless =
                self.of(inode).is_empty() && self.reason(view.netns, inode) == UnnamedReason::NoProcess;
            inode == 0 || !(is_nameless || standing.entry.local.is_none())
        };
        let puzzling = sockets(look).filter(|(view, standing)| !is_plain(view, standing));
        puzzling.map(|(view, standing)| (view.netns, standing.entry.inode)).collect()
    }

    /// The same, after an earlier look that left these open. Who was met by BPF with a socket that the descriptors of no
    /// process have, twice, has it: a thread may have descriptors of its own, which /proc shows under the thread only.
    pub(super) fn after(mut self, earlier: HashSet<Key>, look: &Look, lookups: &mut dyn Lookups) -> Self {
        for met in look.met.iter().filter(|met| earlier.contains(&(met.netns, met.inode))) {
            if let Some(answer) = self.holders.get_mut(&met.inode)
                && answer.processes.is_empty()
            {
                answer.processes.extend(lookups.process(ProcessId::of(&met.task)));
            }
        }
        Self { earlier: Some(earlier), ..self }
    }

    /// Sockets that only BPF knows must be there in both looks: one that was closing just then is no holder.
    pub(super) fn drop_passing(&self, look: &mut Look) {
        let Some(earlier) = &self.earlier else { return };
        for view in &mut look.views {
            let netns = view.netns;
            let stays = |s: &Standing| s.entry.local.is_some() || earlier.contains(&(netns, s.entry.inode));
            view.sockets.retain(stays);
        }
    }
}

fn sockets(look: &Look) -> impl Iterator<Item = (&View, &Standing)> {
    look.views.iter().flat_map(|view| view.sockets.iter().map(move |standing| (view, standing)))
}
