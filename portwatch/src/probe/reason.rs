//! Why something could not be loaded or attached, in words that say what to do about it.

use std::path::Path;
use std::{error, fmt, fs, io};

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use serde::Serialize;

use super::backend::{Hook, Target};
use super::kernel::BTF_PATH;

/// What failed, and what would mend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What happened.
    pub what: String,
    /// What gives it; empty where nothing does.
    pub remedy: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl error::Error for Reason {}

/// CAP_PERFMON, CAP_BPF and CAP_SYS_ADMIN in the effective set.
const PERFMON: u32 = 38;
const BPF: u32 = 39;
const SYS_ADMIN: u32 = 21;

impl Reason {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }

    pub(super) fn no_btf(path: &Path, error: &io::Error) -> Self {
        Self::new(
            format!("cannot read {}: {error}", path.display()),
            "a kernel built with CONFIG_DEBUG_INFO_BTF=y (every current distribution kernel is), and /sys mounted",
        )
    }

    pub(super) fn bad_btf(error: &dyn fmt::Display) -> Self {
        Self::new(format!("{BTF_PATH} is not usable: {error}"), "please report the kernel's version")
    }

    pub(super) fn missing_field(path: &str) -> Self {
        Self::new(
            format!("this kernel has no field {path}"),
            "a kernel from 5.10 on; if yours is, please report its version",
        )
    }

    pub(super) fn missing_function(function: &str) -> Self {
        Self::new(format!("this kernel has no function {function} to attach to"), String::new())
    }

    pub(super) fn other_prototype(function: &str, expected: u32, found: Option<u32>) -> Self {
        let found = found.map_or_else(|| "an unknown number of".to_owned(), |count| count.to_string());
        Self::new(
            format!("{function} has {found} parameters on this kernel, not {expected}"),
            "a newer portwatch; please report the kernel's version",
        )
    }

    pub(super) fn changed_prototype(expected: &str, found: &str) -> Self {
        Self::new(
            format!("this kernel has `{found}`, and the hook was written for `{expected}`"),
            "a newer portwatch; please report the kernel's version",
        )
    }

    pub(super) fn missing_program(program: &str) -> Self {
        Self::new(format!("the kernel-side object has no program {program}"), "cargo xtask bpf")
    }

    pub(super) fn missing_table(table: &str) -> Self {
        Self::new(format!("the kernel-side object has no table {table}"), "cargo xtask bpf")
    }

    pub(super) fn object(error: &io::Error) -> Self {
        Self::new(
            format!("cannot read the object named by {}: {error}", super::object::OVERRIDE),
            format!("unset {}", super::object::OVERRIDE),
        )
    }

    pub(super) fn load(error: &EbpfError) -> Self {
        if let EbpfError::MapError(MapError::CreateError { name, io_error, .. }) = error {
            return Self::system(&format!("cannot create the BPF map {name}"), io_error);
        }
        Self::new(format!("cannot load the kernel-side object: {}", chain(error)), "cargo xtask bpf --check")
    }

    pub(super) fn hook(hook: &Hook, error: &ProgramError) -> Self {
        let at = match hook.target {
            Target::Fentry(functions) => format!("fentry {}", functions.join(" or ")),
            Target::Fexit(function, _) => format!("fexit {function}"),
            Target::BtfTracepoint(name) => format!("tp_btf {name}"),
            Target::Kprobe(functions) => format!("kprobe {}", functions.join(" or ")),
            Target::Kretprobe(function) => format!("kretprobe {function}"),
        };
        Self::program(&at, error)
    }

    pub(super) fn snapshot(error: &ProgramError) -> Self {
        Self::program("the start-up snapshot (iter task_file)", error)
    }

    fn program(at: &str, error: &ProgramError) -> Self {
        let whole = chain(error);
        if whole.contains("event_source/devices/kprobe") {
            return Self::new(
                format!("{at}: this kernel has no kprobes: {whole}"),
                "a kernel built with CONFIG_KPROBES=y; another backend works",
            );
        }
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                if io_error.raw_os_error() == Some(libc::EPERM) {
                    return Self::system(&format!("loading {at}"), io_error);
                }
                let log = verifier_log.to_string();
                if log.contains("cannot use helper bpf_probe_read") {
                    return Self::new(
                        format!("loading {at}: this kernel forbids BPF to read kernel memory: {}", policy()),
                        "boot without lockdown=confidentiality; lockdown=integrity is fine",
                    );
                }
                let last: Vec<&str> = log.lines().rev().filter(|line| !line.is_empty()).take(4).collect();
                let last = last.into_iter().rev().collect::<Vec<_>>().join("; ");
                Self::new(
                    format!("the kernel's verifier refuses {at}: {io_error}: {last}"),
                    "please report this line with the kernel's version",
                )
            }
            ProgramError::SyscallError(error) => Self::system(&format!("attaching {at}"), &error.io_error),
            _ => Self::new(format!("{at}: {whole}"), String::new()),
        }
    }

    /// Turns an errno into a cause: the same EPERM means another thing to root than to a user.
    fn system(doing: &str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) if !may_load() => Self::new(
                format!("{doing}: not permitted: this process lacks CAP_BPF and CAP_PERFMON"),
                "run it as root: sudo portwatch …",
            ),
            Some(libc::EPERM | libc::EACCES) => Self::new(
                format!("{doing}: refused even to root ({error}): {}", policy()),
                "another backend (see: portwatch doctor), or a host that admits it",
            ),
            // ENOTSUPP, which has no name in user space: no trampolines on this architecture's kernel.
            Some(524) => Self::new(
                format!("{doing}: this kernel has no trampolines for this architecture (errno 524)"),
                "arm64 needs Linux 6.4 or newer for it; another backend works",
            ),
            _ => Self::new(format!("{doing}: {error}"), String::new()),
        }
    }
}

/// Every error of a chain: aya keeps the interesting one innermost.
fn chain(error: &dyn error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        next = inner.source();
    }
    text
}

fn may_load() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 == 1;
    has(SYS_ADMIN) || (has(BPF) && has(PERFMON))
}

/// What may stand behind a refusal to root.
fn policy() -> String {
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let mode = lockdown.split('[').nth(1).and_then(|rest| rest.split(']').next());
    match mode {
        Some(mode @ ("integrity" | "confidentiality")) => {
            format!("a security policy of this host (kernel lockdown: {mode}) or of its container")
        }
        _ => "a security policy of this host or of its container".to_owned(),
    }
}
