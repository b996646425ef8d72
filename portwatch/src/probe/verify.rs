//! Loading programs, several at once: the kernel's verifier takes most of the time of a start, and looks at each of them on
//! the processor of whoever loads it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::Ebpf;
use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Program, ProgramError};

use super::backend::{Hook, Target};
use super::kernel::Kernel;
use super::timing::{ProgramLoad, timed};

/// More threads gain nothing: a few large programs take most of the time.
const THREADS: usize = 4;

/// Loads the programs of these hooks. What cannot be loaded says why when it is loaded again, before it is attached.
pub(super) fn ahead(ebpf: &mut Ebpf, hooks: &[&Hook], kernel: &Kernel) -> Vec<ProgramLoad> {
    let mut targets: HashMap<&str, Target> = HashMap::new();
    for hook in hooks {
        let programs = [Some(hook.program), hook.stand_in(kernel.preempts)].into_iter().flatten();
        targets.extend(programs.map(|program| (program, hook.target)));
    }
    let jobs = ebpf.programs_mut().filter_map(|(name, program)| Some((name, program, *targets.get(name)?)));
    let jobs = Mutex::new(jobs.collect::<Vec<_>>());
    let loads = Mutex::new(Vec::new());
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let work = || {
        while let Some((name, program, target)) = next() {
            // An error is told when it is loaded again.
            let load = load(name, program, target, kernel).ok().flatten();
            loads.lock().unwrap_or_else(PoisonError::into_inner).extend(load);
        }
    };
    let others = thread::available_parallelism().map_or(1, usize::from).min(THREADS) - 1;
    thread::scope(|scope| {
        for _ in 0..others {
            // Without another thread this one does it all.
            let _ = thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, work);
        }
        work();
    });
    loads.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Loads a program, and tells what it took; nothing if that was done already.
pub(super) fn load(
    name: &str,
    program: &mut Program,
    target: Target,
    kernel: &Kernel,
) -> Result<Option<ProgramLoad>, ProgramError> {
    if program.fd().is_ok() {
        return Ok(None);
    }
    let mut load_us = 0;
    timed(&mut load_us, || load_for(program, target, kernel))?;
    Ok(Some(ProgramLoad { program: name.to_owned(), load_us }))
}

fn load_for(program: &mut Program, target: Target, kernel: &Kernel) -> Result<(), ProgramError> {
    match target {
        Target::Fentry(functions) => {
            <&mut FEntry>::try_from(program)?.load(kernel.first_of(functions), &kernel.typed)
        }
        Target::Fexit(function, _) => <&mut FExit>::try_from(program)?.load(function, &kernel.typed),
        Target::BtfTracepoint(name) => <&mut BtfTracePoint>::try_from(program)?.load(name, &kernel.typed),
        Target::Kprobe(_) | Target::Kretprobe(_) => <&mut KProbe>::try_from(program)?.load(),
    }
}
