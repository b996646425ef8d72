//! The running kernel, as far as loading depends on it: its type information, field offsets, and what functions it has.

use std::fs;
use std::path::Path;

use portwatch_common::Offsets;
use portwatch_common::offsets::{ABSENT, FIELDS, Field, Need};

use super::backend::{Hook, Target};
use super::btf::Btf;
use super::prototype;
use super::reason::Reason;
use crate::rule::{Era, Lookup};

/// Where the kernel publishes its type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// Facts about the running kernel.
#[derive(Debug)]
pub struct Kernel {
    /// For field offsets and for looking functions up.
    pub btf: Btf,
    /// The same bytes as aya wants them: for the ids of attach targets.
    pub typed: aya::Btf,
    /// Where the fields lie.
    pub offsets: Offsets,
    /// Optional fields that this kernel does not have.
    pub absent: Vec<&'static str>,
    /// Whether a program may be interrupted by another task on its CPU.
    pub preempts: bool,
}

impl Kernel {
    /// Reads the running kernel's type information.
    ///
    /// # Errors
    /// When the kernel has none, or lacks a field that every backend needs.
    pub fn read() -> Result<Self, Reason> {
        Self::from_file(Path::new(BTF_PATH))
    }

    fn from_file(path: &Path) -> Result<Self, Reason> {
        let bytes = fs::read(path).map_err(|error| Reason::no_btf(path, &error))?;
        let typed =
            aya::Btf::parse(&bytes, aya::Endianness::default()).map_err(|error| Reason::bad_btf(&error))?;
        let btf = Btf::parse(bytes).map_err(|error| Reason::bad_btf(&error))?;
        let offsets = Offsets::resolve(|field| btf.resolve(field));
        let missing = |need: Need| {
            FIELDS.iter().filter(move |field| field.need == need).filter(|field| btf.resolve(field) == ABSENT)
        };
        if let Some(field) = missing(Need::Required).next() {
            return Err(Reason::missing_field(field.path));
        }
        let absent = missing(Need::Optional).map(|field: &Field| field.path).collect();
        Ok(Self { btf, typed, offsets, absent, preempts: preempts() })
    }

    /// Which form of the bind-conflict rule this kernel has. Told by fields, never by the release: distributions carry
    /// changes over. The socket keeps its inode number since the change that made the rule compare its own uid; ports list
    /// their addresses since the table by address found all of them.
    #[must_use]
    pub fn era(&self) -> Era {
        let lookup = match (self.offsets.tb2_owners, self.offsets.tb_bhash2) {
            (ABSENT, _) => Lookup::ByPort,
            (_, ABSENT) => Lookup::ByAddressAtFirst,
            _ => Lookup::ByAddress,
        };
        Era { orphans_are_roots: self.offsets.sk_ino == ABSENT, lookup }
    }

    /// Whether `bpf_get_current_task_btf` exists (5.11+).
    #[must_use]
    pub fn has_task_btf(&self) -> bool {
        self.btf.has_enumerator("BPF_FUNC_get_current_task_btf")
    }

    /// Whether a task's cgroup can be read.
    #[must_use]
    pub fn has_cgroups(&self) -> bool {
        let Offsets { task_cgroups, cgroups_default, cgroup_kn, kernfs_id, .. } = self.offsets;
        [task_cgroups, cgroups_default, cgroup_kn, kernfs_id].iter().all(|&offset| offset != ABSENT)
    }

    /// Whether programs may exchange words atomically: 5.12 on, and on arm64, where compiling it came later, 5.19 on. Told by
    /// what came with or after it.
    #[must_use]
    pub fn has_atomic_exchange(&self) -> bool {
        let sign =
            if cfg!(target_arch = "x86_64") { "BPF_FUNC_for_each_map_elem" } else { "BPF_FUNC_kptr_xchg" };
        self.btf.has_enumerator(sign)
    }

    /// Whether sock_diag can tell of TCP sockets that are only bound (6.8+).
    #[must_use]
    pub fn tells_bound_sockets(&self) -> bool {
        self.btf.has_enumerator("TCP_BOUND_INACTIVE")
    }

    /// Whether the hook has anything to do on this kernel. `inet_bind_conflict` came together with the table by address
    /// (`bhash2`); before, every comparison went through `inet_rcv_saddr_equal`.
    #[must_use]
    pub fn has_use_for(&self, hook: &Hook) -> bool {
        hook.target.function() != Some("inet_bind_conflict") || self.offsets.tb2_owners != ABSENT
    }

    /// The first of several names under which kernels have a function; the last, if this one has none of them.
    #[must_use]
    pub fn first_of(&self, names: &[&'static str]) -> &'static str {
        let known = names.iter().find(|name| self.btf.has_function(name));
        known.or(names.last()).copied().unwrap_or_default()
    }

    /// Whether the hook's function exists with the prototype that the program relies on. A moved parameter
    /// would be read as something else, silently.
    ///
    /// # Errors
    /// What is missing or different.
    pub fn check(&self, hook: &Hook) -> Result<(), Reason> {
        let (function, expected) = match hook.target {
            Target::Kretprobe(function) => (function, None),
            Target::Fentry(functions) | Target::Kprobe(functions) => (self.first_of(functions), None),
            Target::Fexit(function, parameters) => (function, Some(parameters)),
            Target::BtfTracepoint(_) => return prototype::check(hook, self),
        };
        if !self.btf.has_function(function) {
            return Err(Reason::missing_function(function));
        }
        let found = self.btf.parameters(function);
        match expected {
            Some(expected) if found != Some(expected) => {
                Err(Reason::other_prototype(function, expected, found))
            }
            _ => prototype::check(hook, self),
        }
    }
}

/// Whether the kernel preempts itself, as it was built or, where that is open, as it was told at boot; yes where it does not
/// say.
fn preempts() -> bool {
    let version = rustix::system::uname().version().to_string_lossy().into_owned();
    let mode = fs::read_to_string("/sys/kernel/debug/sched/preempt").ok();
    may_preempt(&version, mode.as_deref())
}

/// `version` is that of `uname -v`; in `mode` the one in force stands in brackets: `none (voluntary) full lazy`.
fn may_preempt(version: &str, mode: Option<&str>) -> bool {
    let is_built_for_it = version.split(' ').any(|word| word.starts_with("PREEMPT"));
    let is_off = mode.is_some_and(|mode| mode.contains("(none)") || mode.contains("(voluntary)"));
    is_built_for_it && !is_off
}

#[cfg(test)]
mod tests {
    use super::may_preempt;

    #[test]
    fn preemption_is_told_by_the_build_and_the_mode_in_force() {
        let dynamic = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-10-01)";
        assert!(may_preempt(dynamic, None));
        assert!(may_preempt(dynamic, Some("none voluntary (full) lazy\n")));
        assert!(may_preempt(dynamic, Some("none voluntary full (lazy)\n")));
        assert!(!may_preempt(dynamic, Some("none (voluntary) full \n")));
        assert!(!may_preempt(dynamic, Some("(none) voluntary full \n")));
        assert!(!may_preempt("#1 SMP Debian 5.10.262-1 (2026-10-01)", None));
        assert!(may_preempt("#1 SMP PREEMPT_RT Debian 6.12.117-1", None));
    }
}
