//! The prototypes that the kernel-side programs rely on, and their comparison with what the running kernel says of itself.
//!
//! A parameter that has moved would be read as something else, silently: so a function that differs is not hooked.

use std::fmt;

use super::backend::{Backend, Hook, Target};
use super::btf::Btf;
use super::kernel::Kernel;
use super::reason::Reason;

/// Every hooked function; one whose prototype is not the same on all kernels has a line for each form.
const FUNCTIONS: &[&str] = &[
    "int inet_csk_get_port(struct sock *sk, unsigned short snum)",
    "int udp_lib_get_port(struct sock *sk, unsigned short snum, unsigned int hash2_nulladdr)",
    "int inet_autobind(struct sock *sk)",
    "int inet_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len)",
    "int inet6_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len)",
    // As 7.x declares them: the address may be longer than its type says, which the programs know.
    "int inet_bind(struct socket *sock, struct sockaddr_unsized *uaddr, int addr_len)",
    "int inet6_bind(struct socket *sock, struct sockaddr_unsized *uaddr, int addr_len)",
    "int inet_hash_connect(struct inet_timewait_death_row *death_row, struct sock *sk)",
    "int inet6_hash_connect(struct inet_timewait_death_row *death_row, struct sock *sk)",
    "bool inet_rcv_saddr_equal(const struct sock *sk, const struct sock *sk2, bool match_wildcard)",
    "bool inet_bind_conflict(const struct sock *sk, struct sock *sk2, kuid_t sk_uid, bool relax, bool reuseport_cb_ok, \
     bool reuseport_ok)",
    // As 6.18 calls them.
    "bool inet_bind_conflict(const struct sock *sk, struct sock *sk2, kuid_t uid, bool relax, bool reuseport_cb_ok, \
     bool reuseport_ok)",
    "void inet_sock_destruct(struct sock *sk)",
    "void exit_files(struct task_struct *tsk)",
    "void inet_twsk_hashdance(struct inet_timewait_sock *tw, struct sock *sk, struct inet_hashinfo *hashinfo)",
    "void inet_twsk_hashdance_schedule(struct inet_timewait_sock *tw, struct sock *sk, struct inet_hashinfo *hashinfo, \
     int timeo)",
    "void inet_twsk_bind_unhash(struct inet_timewait_sock *tw, struct inet_hashinfo *hashinfo)",
    // What the iterator of the snapshot hands over: a struct of these, in this order.
    "int bpf_iter_task_file(struct bpf_iter_meta *meta, struct task_struct *task, u32 fd, struct file *file)",
];

/// Tracepoints with typed arguments.
const TRACEPOINTS: &[&str] = &[
    "void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)",
    "void tcp_destroy_sock(struct sock *sk)",
    "void sys_exit(struct pt_regs *regs, long ret)",
    "void sched_process_exit(struct task_struct *p)",
    "void sched_process_exit(struct task_struct *p, bool group_dead)",
];

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its type.
    pub kind: String,
    /// Its name; empty where the kernel does not tell.
    pub name: String,
}

/// A function as C declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prototype {
    /// Type of what it returns.
    pub result: String,
    /// Its name.
    pub name: String,
    /// In their order.
    pub parameters: Vec<Parameter>,
}

impl fmt::Display for Prototype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |kind: &str, name: &str| {
            let space = if kind.ends_with('*') || name.is_empty() { "" } else { " " };
            format!("{kind}{space}{name}")
        };
        let parameters = self.parameters.iter().map(|one| joined(&one.kind, &one.name));
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        write!(f, "{}({parameters})", joined(&self.result, &self.name))
    }
}

impl Prototype {
    /// Reads a declaration of one line, each parameter with its name.
    fn parse(text: &str) -> Option<Self> {
        let (head, parameters) = text.strip_suffix(')')?.split_once('(')?;
        let (result, name) = split_name(head)?;
        let parameter = |text: &str| split_name(text).map(|(kind, name)| Parameter { kind, name });
        let parameters = parameters.split(',').map(parameter).collect::<Option<_>>()?;
        Some(Self { result, name, parameters })
    }

    /// Whether a program written for one can be attached to the other: the same types in the same places. `const` and the
    /// like are promises of the kernel to itself.
    fn has_types_of(&self, other: &Self) -> bool {
        let kinds = |one: &Self| one.parameters.iter().map(|p| bare(&p.kind)).collect::<Vec<_>>();
        bare(&self.result) == bare(&other.result) && kinds(self) == kinds(other)
    }

    /// Whether every parameter that has a name on both sides has the same.
    fn has_names_of(&self, other: &Self) -> bool {
        let mut pairs = self.parameters.iter().zip(&other.parameters);
        pairs.all(|(one, two)| one.name == two.name || one.name.is_empty() || two.name.is_empty())
    }
}

/// `struct sock *sk` → `struct sock *`, `sk`.
fn split_name(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let start = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))? + 1;
    Some((text[..start].trim().to_owned(), text[start..].to_owned()))
}

/// The words and stars of a type without its qualifiers.
fn bare(kind: &str) -> Vec<String> {
    let spaced = kind.replace('*', " * ");
    let words = spaced.split_whitespace().filter(|word| !matches!(*word, "const" | "volatile" | "restrict"));
    words.map(str::to_owned).collect()
}

/// What a program hooks, so that its prototype can be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A kernel function.
    Function(&'static str),
    /// A tracepoint with typed arguments.
    Tracepoint(&'static str),
}

impl Subject {
    /// What a hook relies on, under the name that this kernel has for it.
    fn of(hook: &Hook, kernel: &Kernel) -> Option<Self> {
        match hook.target {
            Target::Fexit(function, _) | Target::Kretprobe(function) => Some(Self::Function(function)),
            Target::Fentry(functions) | Target::Kprobe(functions) => {
                Some(Self::Function(kernel.first_of(functions)))
            }
            Target::BtfTracepoint(name) => Some(Self::Tracepoint(name)),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Function(name) | Self::Tracepoint(name) => name,
        }
    }

    fn found(self, btf: &Btf) -> Option<Prototype> {
        match self {
            Self::Function(name) => btf.prototype(name),
            Self::Tracepoint(name) => btf.tracepoint(name),
        }
    }

    /// The forms that the programs were written for.
    fn expected(self) -> Vec<Prototype> {
        let list = match self {
            Self::Function(_) => FUNCTIONS,
            Self::Tracepoint(_) => TRACEPOINTS,
        };
        let parsed = list.iter().filter_map(|text| Prototype::parse(text));
        parsed.filter(|prototype| prototype.name == self.name()).collect()
    }
}

/// How a kernel's prototype compares with what is relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// Types and names are the same.
    Same,
    /// The types are; a parameter has another name, which may mean another thing.
    Renamed,
    /// A type, or the number of parameters, is another.
    Differs,
    /// The kernel's type information does not have it.
    Missing,
}

/// One prototype, compared.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Compared {
    /// What the programs were written for.
    pub expected: String,
    /// What the kernel says of itself.
    pub found: Option<String>,
    /// How the two compare.
    pub agreement: Agreement,
}

/// Compares one; the form that comes nearest counts.
fn compare(btf: &Btf, subject: Subject) -> Compared {
    let found = subject.found(btf);
    let rank = |form: &Prototype| match &found {
        None => Agreement::Missing,
        Some(found) if !form.has_types_of(found) => Agreement::Differs,
        Some(found) if !form.has_names_of(found) => Agreement::Renamed,
        Some(_) => Agreement::Same,
    };
    let forms = subject.expected();
    let nearest = forms.iter().map(|form| (rank(form), form)).min_by_key(|(agreement, _)| *agreement);
    let (agreement, expected) = match nearest {
        Some((agreement, form)) => (agreement, form.to_string()),
        // A test holds that there is none such.
        None => (Agreement::Differs, format!("{}: no prototype is written down", subject.name())),
    };
    Compared { expected, found: found.map(|found| found.to_string()), agreement }
}

/// Whether a hook's programs can rely on what this kernel has; that it has it at all is asked elsewhere.
///
/// # Errors
/// When its prototype is another than the one they were written for.
pub fn check(hook: &Hook, kernel: &Kernel) -> Result<(), Reason> {
    let Some(subject) = Subject::of(hook, kernel) else { return Ok(()) };
    let Compared { expected, found, agreement } = compare(&kernel.btf, subject);
    match (agreement, found) {
        (Agreement::Differs, Some(found)) => Err(Reason::changed_prototype(&expected, &found)),
        _ => Ok(()),
    }
}

/// Everything that any backend hooks on this kernel, each once.
#[must_use]
pub fn all(kernel: &Kernel) -> Vec<Compared> {
    let mut subjects = Vec::new();
    let hooks = Backend::ALL.iter().flat_map(|backend| backend.hooks());
    let hooked = hooks.filter(|hook| kernel.has_use_for(hook)).filter_map(|hook| Subject::of(hook, kernel));
    for subject in hooked.chain([Subject::Function(ITERATOR)]) {
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects.into_iter().map(|subject| compare(&kernel.btf, subject)).collect()
}

/// The function whose parameters are the fields of what the snapshot's iterator hands over.
const ITERATOR: &str = "bpf_iter_task_file";

#[cfg(test)]
mod tests;
