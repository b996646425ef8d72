//! Events that were lost because no program was run for them: the kernel skips a program that is already running on the same
//! CPU, and a probe while it is inside another one. It counts that (5.12 on for fexit, 6.7 on for probes).

use aya::Ebpf;

use super::backend::{Backend, Hook};
use super::missed::Probes;
use super::program_info;

/// Events that were skipped and are lost, at most.
pub(super) fn events(ebpf: &Ebpf, probes: &Probes, backend: Backend) -> u64 {
    of(ebpf, probes, backend.hooks().iter().filter(|hook| hook.loses))
}

/// Releases that were skipped, which loses nothing: see `Hook::loses`.
pub(super) fn releases(ebpf: &Ebpf, probes: &Probes, backend: Backend) -> u64 {
    of(ebpf, probes, backend.hooks().iter().filter(|hook| !hook.loses))
}

fn of<'a>(ebpf: &Ebpf, probes: &Probes, hooks: impl Iterator<Item = &'a Hook>) -> u64 {
    let mut programs: Vec<_> = hooks.map(|hook| (hook.program, hook.stand_in)).collect();
    // One program may serve several hooks.
    programs.sort_by_key(|(program, _)| *program);
    programs.dedup_by_key(|(program, _)| *program);
    let misses =
        |name: &str| Some(program_info::of(ebpf.program(name)?)?.recursion_misses + probes.missed(name));
    programs
        .into_iter()
        .map(|(lead, stand_in)| least(misses(lead), stand_in.and_then(|one| misses(one.program()))))
        .sum()
}

/// An event is lost if lead and stand-in were both skipped for it, so no more often than either of them was.
fn least(lead: Option<u64>, stand_in: Option<u64>) -> u64 {
    match (lead, stand_in) {
        (Some(lead), Some(stand_in)) => lead.min(stand_in),
        (lead, _) => lead.unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::least;

    #[test]
    fn what_a_stand_in_saw_is_not_lost() {
        assert_eq!(least(Some(7), None), 7, "no stand-in is loaded");
        assert_eq!(least(Some(7), Some(0)), 0);
        assert_eq!(least(Some(7), Some(2)), 2);
        assert_eq!(least(None, None), 0);
    }
}
