//! Two kinds of `Lookups`: one passes each question on and writes it down with its answer, one answers from what was
//! written.

use super::exchange::{Exchange, Holders, RangePart};
use super::header::ClockPair;
use super::raw::Raw;
use super::writer::Recorder;
use crate::correlate::{
    ContainerNames, Lookups, ProcessId, ProcessInfo, RangeHolder, RangeUse, SocketHolders, Wanted,
    WantedPort, WantedRange, WantedUse,
};
use jiff::Timestamp;
use portwatch_common::{Socket, Task};
use std::sync::Arc;

/// Asks somebody else, and writes down.
#[derive(Debug)]
pub struct Asking<'a, L: Lookups + ?Sized> {
    pub(super) recorder: &'a mut Recorder,
    pub(super) inner: &'a mut L,
}

impl<L: Lookups + ?Sized> Lookups for Asking<'_, L> {
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo> {
        let answer = self.inner.process(id);
        self.recorder.answered(|| Exchange::Process { id, answer: answer.clone().map(Into::into) });
        answer
    }

    fn cgroup_path(&mut self, id: u64) -> Option<String> {
        let answer = self.inner.cgroup_path(id);
        self.recorder.answered(|| Exchange::CgroupPath { id, answer: answer.clone() });
        answer
    }

    fn container(&mut self, cgroup: &str) -> Option<Arc<ContainerNames>> {
        let answer = self.inner.container(cgroup);
        self.recorder.answered(|| Exchange::Container {
            cgroup: cgroup.to_owned(),
            answer: answer.as_deref().cloned(),
        });
        answer
    }

    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        let answer = self.inner.socket_holders(wanted);
        self.recorder.answered(|| Exchange::SocketHolders {
            wanted: wanted.to_vec(),
            answer: answer.iter().cloned().map(Holders::from).collect(),
        });
        answer
    }

    fn alive(&mut self, id: ProcessId) -> Option<bool> {
        let answer = self.inner.alive(id);
        self.recorder.answered(|| Exchange::Alive { id, answer });
        answer
    }

    fn ended_ns(&mut self, task: &Task) -> Option<u64> {
        let answer = self.inner.ended_ns(task);
        self.recorder.answered(|| Exchange::EndedNs { task: Raw(*task), answer });
        answer
    }

    fn range_holders(&mut self, wanted: WantedRange) -> Vec<RangeHolder> {
        let answer = self.inner.range_holders(wanted);
        self.recorder.answered(|| Exchange::RangeHolders {
            wanted,
            answer: answer.iter().copied().map(RangePart::from).collect(),
        });
        answer
    }

    fn range_use(&mut self, wanted: WantedUse) -> Option<RangeUse> {
        let answer = self.inner.range_use(wanted);
        self.recorder.answered(|| Exchange::RangeUse { wanted, answer: answer.clone() });
        answer
    }

    fn sctp_sockets(&mut self, netns: u32, tgid: u32, port: u16) -> Vec<Socket> {
        let answer = self.inner.sctp_sockets(netns, tgid, port);
        self.recorder.answered(|| Exchange::SctpSockets {
            netns,
            tgid,
            port,
            answer: answer.iter().copied().map(Raw).collect(),
        });
        answer
    }

    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp {
        let answer = self.inner.wall_clock(boot_ns);
        self.recorder.answered(|| Exchange::WallClock { boot_ns, answer });
        answer
    }

    fn reserved_ports(&mut self, netns: u32, tgid: u32) -> Option<String> {
        let answer = self.inner.reserved_ports(netns, tgid);
        self.recorder.answered(|| Exchange::ReservedPorts { netns, tgid, answer: answer.clone() });
        answer
    }

    fn free_port(&mut self, wanted: WantedPort) -> Option<u16> {
        let answer = self.inner.free_port(wanted);
        self.recorder.answered(|| Exchange::FreePort { wanted, answer });
        answer
    }

    fn destroys_sockets(&mut self) -> Option<bool> {
        let answer = self.inner.destroys_sockets();
        self.recorder.answered(|| Exchange::DestroysSockets { answer });
        answer
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        let answer = self.inner.user_name(uid);
        self.recorder.answered(|| Exchange::UserName { uid, answer: answer.clone() });
        answer
    }
}

/// Answers from a recording. What it has no answer to is "not known", and counted: another version of portwatch may ask
/// what the one that recorded did not.
#[derive(Debug)]
pub struct Replayed {
    answers: Vec<Exchange>,
    clock: ClockPair,
    missing: u64,
}

impl Replayed {
    /// No answers yet; the clock is for times that nobody asked for.
    pub const fn new(clock: ClockPair) -> Self {
        Self { answers: Vec::new(), clock, missing: 0 }
    }

    /// The answers to the next event, in the order of the questions.
    pub fn load(&mut self, mut answers: Vec<Exchange>) {
        answers.reverse();
        self.answers = answers;
    }

    /// Questions so far that the recording has no answer to.
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// The first answer that fits. By the same version that is the next one.
    fn take<T>(
        &mut self,
        fits: impl Fn(&Exchange) -> bool,
        answer: impl Fn(Exchange) -> Option<T>,
    ) -> Option<T> {
        let found = self.answers.iter().rposition(fits);
        let answer = found.and_then(|at| answer(self.answers.remove(at)));
        self.missing += u64::from(answer.is_none());
        answer
    }
}

impl Replayed {
    /// The answer to a question that the first recordings were not asked. That they have none is no fault of theirs, and only
    /// means that less is advised: so it is not counted.
    fn since<T>(
        &mut self,
        fits: impl Fn(&Exchange) -> bool,
        answer: impl Fn(Exchange) -> Option<T>,
    ) -> Option<T> {
        let found = self.answers.iter().rposition(fits)?;
        answer(self.answers.remove(found))
    }
}

/// The answer of the first exchange of a kind whose question is this one.
macro_rules! recorded {
    ($self:ident, $kind:ident { $($field:ident: $value:expr),* }) => {
        $self.take(
            |exchange| matches!(exchange, Exchange::$kind { $($field,)* .. } if $(*$field == $value)&&*),
            |exchange| match exchange {
                Exchange::$kind { answer, .. } => Some(answer),
                _ => None,
            },
        )
    };
}

impl Lookups for Replayed {
    fn process(&mut self, id: ProcessId) -> Option<ProcessInfo> {
        let asked = id;
        recorded!(self, Process { id: asked })?.map(Into::into)
    }

    fn cgroup_path(&mut self, id: u64) -> Option<String> {
        let asked = id;
        recorded!(self, CgroupPath { id: asked })?
    }

    fn container(&mut self, cgroup: &str) -> Option<Arc<ContainerNames>> {
        let asked = cgroup;
        recorded!(self, Container { cgroup: *asked })?.map(Arc::new)
    }

    fn socket_holders(&mut self, wanted: &[Wanted]) -> Vec<SocketHolders> {
        let asked = wanted;
        let answer = recorded!(self, SocketHolders { wanted: *asked }).unwrap_or_default();
        // One answer a question, whatever the file says.
        let mut answer: Vec<_> = answer.into_iter().map(SocketHolders::from).collect();
        answer.resize(wanted.len(), SocketHolders::default());
        answer
    }

    fn alive(&mut self, id: ProcessId) -> Option<bool> {
        let asked = id;
        recorded!(self, Alive { id: asked })?
    }

    fn ended_ns(&mut self, task: &Task) -> Option<u64> {
        let asked = Raw(*task);
        recorded!(self, EndedNs { task: asked })?
    }

    fn range_holders(&mut self, wanted: WantedRange) -> Vec<RangeHolder> {
        let asked = wanted;
        let answer = recorded!(self, RangeHolders { wanted: asked }).unwrap_or_default();
        answer.into_iter().map(RangeHolder::from).collect()
    }

    fn range_use(&mut self, wanted: WantedUse) -> Option<RangeUse> {
        let asked = wanted;
        recorded!(self, RangeUse { wanted: asked })?
    }

    fn sctp_sockets(&mut self, netns: u32, tgid: u32, port: u16) -> Vec<Socket> {
        let asked = (netns, tgid, port);
        let answer = recorded!(self, SctpSockets { netns: asked.0, tgid: asked.1, port: asked.2 });
        answer.unwrap_or_default().into_iter().map(|Raw(socket)| socket).collect()
    }

    fn wall_clock(&mut self, boot_ns: u64) -> Timestamp {
        let asked = boot_ns;
        recorded!(self, WallClock { boot_ns: asked }).unwrap_or_else(|| self.clock.wall_clock(boot_ns))
    }

    fn reserved_ports(&mut self, netns: u32, tgid: u32) -> Option<String> {
        let asked = (netns, tgid);
        recorded!(self, ReservedPorts { netns: asked.0, tgid: asked.1 })?
    }

    fn free_port(&mut self, wanted: WantedPort) -> Option<u16> {
        let fits = |exchange: &Exchange| matches!(exchange, Exchange::FreePort { wanted: asked, .. } if *asked == wanted);
        self.since(fits, |exchange| match exchange {
            Exchange::FreePort { answer, .. } => answer,
            _ => None,
        })
    }

    fn destroys_sockets(&mut self) -> Option<bool> {
        let fits = |exchange: &Exchange| matches!(exchange, Exchange::DestroysSockets { .. });
        self.since(fits, |exchange| match exchange {
            Exchange::DestroysSockets { answer } => answer,
            _ => None,
        })
    }

    fn user_name(&mut self, uid: u32) -> Option<String> {
        let asked = uid;
        recorded!(self, UserName { uid: asked })?
    }
}
