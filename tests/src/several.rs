//! Reports that may name more than one: several who hold one port, and everybody who holds some port of a full range.

use serde_json::Value;

use crate::actor::Process;
use crate::case::{Case, Holder};
use crate::fields::{Checker, is_process};

/// The true holder that the first one of a report claims to be: by socket, or failing that by process.
pub(crate) fn claimed<'a>(case: &'a Case, report: &Value) -> &'a Holder {
    let first = &report["holders"][0];
    let is_socket = |holder: &&Holder| holder.inode.is_some_and(|inode| first["inode"] == inode);
    let is_owner = |holder: &&Holder| is_of(first, holder);
    case.truths().find(is_socket).or_else(|| case.truths().find(is_owner)).unwrap_or(&case.holder)
}

fn is_of(named: &Value, holder: &Holder) -> bool {
    holder.process.as_ref().is_some_and(|process| is_process(&named["process"], process))
}

/// Everybody who holds, each once, with how many sockets; those who hold most come first.
fn owners(case: &Case) -> Vec<(&Process, usize)> {
    let mut owners: Vec<(&Process, usize)> = Vec::new();
    for process in case.truths().filter_map(|holder| holder.process.as_ref()) {
        match owners.iter_mut().find(|(known, _)| known.pid == process.pid) {
            Some((_, count)) => *count += 1,
            None => owners.push((process, 1)),
        }
    }
    owners.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    owners
}

impl Checker<'_> {
    /// One holder; or, where several stand on the port, every process of theirs and nobody else.
    pub(crate) fn everyone(&mut self, case: &Case) {
        let named = self.named();
        if case.also.is_empty() {
            self.expect(named.len() == 1 + case.holder.sharers.len(), "holders", || {
                "exactly those because of whom the kernel refused".to_owned()
            });
            return;
        }
        let is_true = |named: &Value| {
            case.truths().any(|holder| is_of(named, holder) && named["local"] == holder.local.to_string())
        };
        self.expect(!named.is_empty() && named.iter().all(is_true), "holders", || {
            "none but those who have the port".to_owned()
        });
        for (process, _) in owners(case) {
            let is_there = named.iter().any(|named| is_process(&named["process"], process));
            self.expect(is_there, "holders", || format!("{process} among them: it was in the way too"));
        }
        self.expect(named.len() <= 1 + case.also.len(), "holders", || "no entry twice".to_owned());
    }

    /// No port is left: those who have most of them come first, and nobody is named who has none.
    pub(crate) fn everybody(&mut self, case: &Case) {
        self.equal("cause", case.holder.cause);
        let named = self.named();
        let owners = owners(case);
        let holds =
            named.iter().all(|named| owners.iter().any(|(owner, _)| is_process(&named["process"], owner)));
        self.expect(holds, "holders", || "those who have the ports, and nobody else".to_owned());
        // Which of two comes first is only told where one has more ports than the other.
        let ranked: Vec<_> = named
            .iter()
            .filter_map(|named| owners.iter().find(|(owner, _)| is_process(&named["process"], owner)))
            .map(|(_, count)| *count)
            .collect();
        let most = owners.first().map(|(_, count)| *count);
        self.expect(ranked.first().copied() == most && ranked.is_sorted_by(|a, b| a >= b), "holders", || {
            "whoever has most of the ports first".to_owned()
        });
        self.expect(ranked.len() == owners.len(), "holders", || {
            format!("each of the {} who have the ports, once", owners.len())
        });
    }

    fn named(&self) -> Vec<Value> {
        self.at("holders").as_array().cloned().unwrap_or_default()
    }
}
