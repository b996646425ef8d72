//! The probe: chooses a backend by trying to attach, best first, and keeps every reason for not taking a better one.
//!
//! Only this folder and `source/ring.rs` know aya.

pub mod backend;
pub mod btf;
pub mod kernel;
pub mod load;
mod missed;
pub mod object;
mod program_info;
pub mod prototype;
pub mod reason;
mod sizes;
mod skipped;
mod snapshot;
mod tables;
mod timing;
mod verify;
mod walk;

use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{MapData, RingBuf};
use portwatch_common::map;
use serde::Serialize;

use crate::rule::Era;

pub use backend::Backend;
pub use kernel::Kernel;
pub use program_info::ProgramRuns;
pub use reason::Reason;
pub use sizes::Sizes;
pub use snapshot::{OpenSocket, Snapshot, open_sockets};
pub use tables::{Assignments, Counters, Table};
pub use timing::{ProgramLoad, Timing};

/// A backend that was tried and not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Declined {
    /// Which.
    pub backend: Backend,
    /// Why.
    pub reason: Reason,
}

/// What runs, and what it cannot see: printed at the start, shown by `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The backend that is attached.
    pub backend: Backend,
    /// Better ones, with the reason why not.
    pub declined: Vec<Declined>,
    /// What this backend does not see on this kernel, one phrase each.
    pub blind: Vec<String>,
    /// Why sockets from before the start were not recorded, if so.
    pub no_snapshot: Option<Reason>,
    /// Sockets from before the start that are known.
    pub preexisting: u64,
    /// How long it took to come to this.
    pub timing: Timing,
}

/// No backend could be attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("no backend can be attached on this host")]
pub struct Unavailable {
    /// Every one that was tried.
    pub declined: Vec<Declined>,
}

/// Attached hooks: they stay until this is dropped.
#[derive(Debug)]
pub struct Probe {
    ebpf: Ebpf,
    status: Status,
    assignments: Arc<Assignments>,
    missed_at_start: u64,
    probes: missed::Probes,
    era: Era,
}

impl Probe {
    /// Attaches the best backend, or the one that `forced` names.
    ///
    /// # Errors
    /// When none could be attached: each with its reason.
    pub fn attach(forced: Option<Backend>, sizes: Sizes) -> Result<Self, Unavailable> {
        let attached = Self::attach_best(forced, sizes);
        give_memory_back();
        attached
    }

    fn attach_best(forced: Option<Backend>, sizes: Sizes) -> Result<Self, Unavailable> {
        let candidates =
            |preempts| forced.map_or_else(|| Backend::by_merit(preempts).to_vec(), |one| vec![one]);
        let mut types_us = 0;
        let kernel = match timing::timed(&mut types_us, Kernel::read) {
            Ok(kernel) => kernel,
            Err(reason) => {
                let declined = |backend| Declined { backend, reason: reason.clone() };
                return Err(Unavailable { declined: candidates(false).into_iter().map(declined).collect() });
            }
        };
        let mut declined = Vec::new();
        for backend in candidates(kernel.preempts) {
            match Self::attach_one(backend, &kernel, sizes, &declined) {
                Ok(mut probe) => {
                    probe.status.timing.types_us = types_us;
                    return Ok(probe);
                }
                Err(reason) => declined.push(Declined { backend, reason }),
            }
        }
        Err(Unavailable { declined })
    }

    fn attach_one(
        backend: Backend,
        kernel: &Kernel,
        sizes: Sizes,
        declined: &[Declined],
    ) -> Result<Self, Reason> {
        let mut attached = load::attach(backend, kernel, sizes)?;
        // After the hooks: a socket made in between is then recorded by one of the two.
        let mut timing = attached.timing;
        let snapshot = || load::snapshot(&mut attached.ebpf, kernel);
        let no_snapshot = timing::timed(&mut timing.sockets_us, snapshot).err();
        let mut blind: Vec<String> = backend.blind().iter().map(ToString::to_string).collect();
        blind.append(&mut attached.lost);
        let mut probe = Self {
            assignments: Arc::new(Assignments::take(&mut attached.ebpf)),
            missed_at_start: 0,
            probes: missed::Probes::of(&attached.ebpf),
            era: kernel.era(),
            ebpf: attached.ebpf,
            status: Status {
                backend,
                declined: declined.to_vec(),
                blind,
                no_snapshot,
                preexisting: 0,
                timing,
            },
        };
        probe.status.preexisting = probe.counters().get("preexisting");
        // Calls that were under way while the probes were attached lack one of their two halves.
        probe.missed_at_start = probe.counters().get("probes_missed");
        Ok(probe)
    }

    /// What runs.
    #[must_use]
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Which form of the bind-conflict rule this kernel has.
    #[must_use]
    pub fn era(&self) -> Era {
        self.era
    }

    /// Takes the ring buffer; there is one, and one reader. `None` the second time.
    pub fn take_ring(&mut self) -> Option<RingBuf<MapData>> {
        RingBuf::try_from(self.ebpf.take_map(map::EVENTS)?).ok()
    }

    /// The kernel side's records of who was given which port.
    #[must_use]
    pub fn assignments(&self) -> Arc<Assignments> {
        Arc::clone(&self.assignments)
    }

    /// The kernel side's counters, summed over the CPUs.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters::read(&self.ebpf).without("probes_missed", self.missed_at_start)
    }

    /// Events that the kernel skipped the hooks for: calls that nobody looked at.
    #[must_use]
    pub fn skipped_events(&self) -> u64 {
        skipped::events(&self.ebpf, &self.probes, self.status.backend)
    }

    /// Releases that the kernel skipped the hooks for. Nothing is lost: the record stays until the address is another socket's.
    #[must_use]
    pub fn skipped_releases(&self) -> u64 {
        skipped::releases(&self.ebpf, &self.probes, self.status.backend)
    }

    /// Runs of the kernel side's programs, while the kernel counts them.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramRuns> {
        program_info::all(&self.ebpf)
    }

    /// Size and fill of the kernel side's tables. Counting walks every entry: for `doctor`, not for a loop.
    #[must_use]
    pub fn tables(&self) -> Vec<Table> {
        Table::all(&self.assignments)
    }
}

/// The kernel's types were read into tens of megabytes of small pieces, which are free again: the allocator would keep them for
/// as long as the agent runs.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches nothing but what is free.
    unsafe {
        libc::malloc_trim(0)
    };
}
