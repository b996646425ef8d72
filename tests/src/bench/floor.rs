//! The floor: programs that do nothing on every hook that portwatch has on this kernel, stand-ins among them. What no
//! program on these hooks can do without.

use anyhow::{Context, Result, bail};
use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Program};
use aya::{Ebpf, EbpfLoader};
use portwatch::probe::backend::{Hook, Target};
use portwatch::probe::{Backend, Kernel, load};

use crate::say;

/// Built from `portwatch-ebpf/src/floor.rs` by `cargo xtask bpf`.
static EMPTY: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/floor.o"));

/// Attached until it is dropped.
pub(super) struct Floor(#[expect(dead_code, reason = "dropping it detaches")] Vec<Ebpf>);

impl Floor {
    /// Follows portwatch's own table: what is optional there and missing on this kernel is left out here too, and told.
    pub(super) fn attach(backend: Backend) -> Result<Self> {
        let kernel = Kernel::read()?;
        let mut attached = Vec::new();
        for hook in load::hooks(backend, &kernel) {
            match attach(hook, &kernel) {
                Ok(programs) => attached.extend(programs),
                Err(error) if hook.without.is_some() => {
                    say::line(format_args!("floor without {}: {error:#}", hook.program));
                }
                Err(error) => return Err(error.context(format!("an empty program for {}", hook.program))),
            }
        }
        say::line(format_args!("floor-{}: {} empty programs attached", backend.name(), attached.len()));
        Ok(Self(attached))
    }
}

/// As many programs as portwatch has on this hook.
fn attach(hook: &Hook, kernel: &Kernel) -> Result<Vec<Ebpf>> {
    kernel.check(hook)?;
    load::programs(hook, kernel).iter().map(|_| attach_one(hook.target, kernel)).collect()
}

/// An object of its own for each: a program has one place on a trampoline, and is loaded for one function.
fn attach_one(target: Target, kernel: &Kernel) -> Result<Ebpf> {
    let mut object = EbpfLoader::new().btf(Some(&kernel.typed)).load(EMPTY).context("loading the object")?;
    let name = match target {
        Target::Fentry(_) => "empty_fentry",
        Target::Fexit(..) => "empty_fexit",
        Target::BtfTracepoint(_) => "empty_typed",
        Target::Kprobe(_) => "empty_kprobe",
        Target::Kretprobe(_) => "empty_kretprobe",
    };
    let Some(program) = object.program_mut(name) else { bail!("the object has no program {name}") };
    load_and_attach(program, target, kernel).with_context(|| format!("{target:?}"))?;
    Ok(object)
}

fn load_and_attach(program: &mut Program, target: Target, kernel: &Kernel) -> Result<()> {
    match target {
        Target::Fentry(functions) => {
            let program: &mut FEntry = program.try_into()?;
            program.load(kernel.first_of(functions), &kernel.typed)?;
            program.attach()?;
        }
        Target::Fexit(function, _) => {
            let program: &mut FExit = program.try_into()?;
            program.load(function, &kernel.typed)?;
            program.attach()?;
        }
        Target::BtfTracepoint(name) => {
            let program: &mut BtfTracePoint = program.try_into()?;
            program.load(name, &kernel.typed)?;
            program.attach()?;
        }
        Target::Kprobe(functions) => attach_probe(program, kernel.first_of(functions))?,
        Target::Kretprobe(function) => attach_probe(program, function)?,
    }
    Ok(())
}

fn attach_probe(program: &mut Program, function: &str) -> Result<()> {
    let program: &mut KProbe = program.try_into()?;
    program.load()?;
    program.attach(function, 0)?;
    Ok(())
}
