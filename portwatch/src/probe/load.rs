//! Loading the object for one backend and attaching its hooks: all that are needed, or none.

use std::io::{self, Read as _};

use aya::programs::{BtfTracePoint, FEntry, FExit, Iter, KProbe, Program, ProgramError, links::LinkError};
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use portwatch_common::{Constants, Tuning, map};

use super::backend::{Backend, Hook, SNAPSHOT, Target};
use super::kernel::Kernel;
use super::object;
use super::reason::Reason;
use super::sizes::Sizes;
use super::timing::{Timing, timed};
use super::verify;

/// A loaded object with its hooks attached.
#[derive(Debug)]
pub struct Attached {
    /// Owns programs, links and maps: dropping it detaches everything.
    pub ebpf: Ebpf,
    /// Optional hooks that could not be attached: what is lost, and why.
    pub lost: Vec<String>,
    /// How long that took.
    pub timing: Timing,
}

/// Loads the object and attaches the hooks of `backend`.
///
/// # Errors
/// The first needed hook that failed, as a reason a person can act upon; everything attached so far is detached.
pub fn attach(backend: Backend, kernel: &Kernel, sizes: Sizes) -> Result<Attached, Reason> {
    let mut timing = Timing::default();
    let mut ebpf = timed(&mut timing.prepare_us, || load(backend, kernel, sizes))?;
    let mut lost = Vec::new();
    let hooks: Vec<&Hook> = hooks(backend, kernel).collect();
    for (number, hook) in hooks.iter().enumerate() {
        // A backend that this kernel does not admit mostly fails with its first hook.
        if number == 1 {
            let usable: Vec<&Hook> =
                hooks.iter().copied().filter(|hook| kernel.check(hook).is_ok()).collect();
            let loads = timed(&mut timing.verify_us, || verify::ahead(&mut ebpf, &usable, kernel));
            timing.programs.extend(loads);
        }
        let mut attach_all = || {
            programs(hook, kernel)
                .into_iter()
                .try_for_each(|name| attach_program(&mut ebpf, name, hook, kernel, &mut timing))
        };
        let outcome = kernel.check(hook).and_then(|()| attach_all());
        match (outcome, hook.without) {
            (Ok(()), _) => {}
            (Err(reason), Some(without)) => lost.push(format!("{without} ({reason})")),
            (Err(reason), None) => return Err(reason),
        }
    }
    Ok(Attached { ebpf, lost, timing })
}

/// The hooks of a backend that have anything to do on this kernel, in the order of attaching.
pub fn hooks(backend: Backend, kernel: &Kernel) -> impl Iterator<Item = &'static Hook> {
    backend.hooks().iter().filter(|hook| kernel.has_use_for(hook))
}

/// The programs of a hook on this kernel, in the order of attaching. The lead must run before its stand-in: a trampoline runs
/// first what came last, a tracepoint what came first.
#[must_use]
pub fn programs(hook: &Hook, kernel: &Kernel) -> Vec<&'static str> {
    match (hook.stand_in(kernel.preempts), hook.target) {
        (None, _) => vec![hook.program],
        (Some(stand_in), Target::Fentry(_) | Target::Fexit(..)) => vec![stand_in, hook.program],
        (Some(stand_in), _) => vec![hook.program, stand_in],
    }
}

/// Loads the object with nothing attached.
pub(super) fn load(backend: Backend, kernel: &Kernel, sizes: Sizes) -> Result<Ebpf, Reason> {
    let room = sizes.room(kernel.has_atomic_exchange());
    let tuning = Tuning {
        task_btf: u32::from(kernel.has_task_btf()),
        datagrams: u32::from(backend.keeps_datagrams_apart()),
        preempts: u32::from(kernel.preempts),
        bucket_shift: room.bucket_shift(),
        cgroups: u32::from(kernel.has_cgroups()),
    };
    let constants = Constants { offsets: kernel.offsets, tuning };
    let bytes =
        object::bytes(&constants, kernel.has_atomic_exchange()).map_err(|error| Reason::object(&error))?;
    EbpfLoader::new()
        .btf(Some(&kernel.typed))
        .map_max_entries(map::PORTS, room.buckets())
        .map_max_entries(map::PORTS_SPILL, room.spill)
        .map_max_entries(map::LAST, room.last_buckets(backend))
        .map_max_entries(map::LAST_SPILL, room.last_spill(backend))
        .map_max_entries(map::EVENTS, sizes.ring)
        .verifier_log_level(VerifierLogLevel::STATS)
        .load(&bytes)
        .map_err(|error| Reason::load(&error))
}

fn attach_program(
    ebpf: &mut Ebpf,
    name: &'static str,
    hook: &Hook,
    kernel: &Kernel,
    timing: &mut Timing,
) -> Result<(), Reason> {
    let program = ebpf.program_mut(name).ok_or_else(|| Reason::missing_program(name))?;
    let load = timed(&mut timing.verify_us, || verify::load(name, program, hook.target, kernel));
    let outcome = load.and_then(|load| {
        timing.programs.extend(load);
        timed(&mut timing.attach_us, || attach_loaded(program, hook.target, kernel))
    });
    outcome.map_err(|error| Reason::hook(hook, &error))
}

fn attach_loaded(program: &mut Program, target: Target, kernel: &Kernel) -> Result<(), ProgramError> {
    match target {
        Target::Fentry(_) => <&mut FEntry>::try_from(program)?.attach().map(drop),
        Target::Fexit(..) => <&mut FExit>::try_from(program)?.attach().map(drop),
        Target::BtfTracepoint(_) => <&mut BtfTracePoint>::try_from(program)?.attach().map(drop),
        // One program serves several functions with the same parameters.
        Target::Kprobe(functions) => {
            <&mut KProbe>::try_from(program)?.attach(kernel.first_of(functions), 0).map(drop)
        }
        Target::Kretprobe(function) => <&mut KProbe>::try_from(program)?.attach(function, 0).map(drop),
    }
}

/// Records every socket that already has a port, with a process that has it open.
///
/// # Errors
/// When the kernel does not admit the iterator; holders from before the start are then found through /proc.
pub fn snapshot(ebpf: &mut Ebpf, kernel: &Kernel) -> Result<(), Reason> {
    let (name, iterator) = SNAPSHOT;
    let program = ebpf.program_mut(name).ok_or_else(|| Reason::missing_program(name))?;
    run_iterator(program, iterator, kernel).map_err(|error| Reason::snapshot(&error))
}

fn link_error(error: LinkError) -> ProgramError {
    match error {
        LinkError::SyscallError(error) => ProgramError::SyscallError(error),
        other => ProgramError::IOError(io::Error::other(other)),
    }
}

fn run_iterator(program: &mut Program, iterator: &str, kernel: &Kernel) -> Result<(), ProgramError> {
    let program: &mut Iter = program.try_into()?;
    program.load(iterator, &kernel.typed)?;
    let link = program.attach()?;
    let mut pass = program.take_link(link)?.into_file().map_err(link_error)?;
    // The program writes no text, only records: reading is what makes it run over all files of all tasks.
    pass.read_to_end(&mut Vec::new()).map_err(ProgramError::IOError)?;
    Ok(())
}
