//! The backends and their hooks: which programs each one needs, and what each one cannot see.

use serde::Serialize;

/// A kind of kernel hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// fentry and fexit on the kernel's port functions.
    Fexit,
    /// Probe pairs on the same functions.
    Kprobe,
    /// Ends of system calls, and socket states.
    Tracepoint,
}

/// What a hook attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Entry of the first of these kernel functions that exists.
    Fentry(&'static [&'static str]),
    /// Exit of a kernel function with that many parameters.
    Fexit(&'static str, u32),
    /// A tracepoint with typed arguments.
    BtfTracepoint(&'static str),
    /// Entry of the first of these kernel functions that exists.
    Kprobe(&'static [&'static str]),
    /// Return of a kernel function.
    Kretprobe(&'static str),
}

impl Target {
    /// The kernel function, where it attaches to one.
    #[must_use]
    pub fn function(self) -> Option<&'static str> {
        match self {
            Self::Fexit(function, _) | Self::Kretprobe(function) => Some(function),
            Self::Fentry(functions) | Self::Kprobe(functions) => functions.first().copied(),
            Self::BtfTracepoint(_) => None,
        }
    }
}

/// One program of the object and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// Name of the program in the object.
    pub program: &'static str,
    /// What it attaches to.
    pub target: Target,
    /// What is lost without it; `None`: the backend cannot do without.
    pub without: Option<&'static str>,
    /// A second program for the events that the kernel skips the first for.
    pub stand_in: Option<StandIn>,
    /// Whether an event that it is skipped for is lost to portwatch.
    pub loses: bool,
}

/// Where a hook has a second program, and when it is needed. See `twin` of the kernel side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// Always: interrupts come to the hook too.
    Always(&'static str),
    /// Where the kernel preempts programs: only processes come to the hook.
    IfPreempted(&'static str),
}

impl StandIn {
    /// Name of the program in the object.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Always(program) | Self::IfPreempted(program) => program,
        }
    }
}

impl Hook {
    const fn or(self, stand_in: &'static str) -> Self {
        Self { stand_in: Some(StandIn::Always(stand_in)), ..self }
    }

    const fn or_if_preempted(self, stand_in: &'static str) -> Self {
        Self { stand_in: Some(StandIn::IfPreempted(stand_in)), ..self }
    }

    /// A record that is not removed does not count for a later socket (see `identity` of portwatch-common), and is overwritten.
    const fn of_releases(self) -> Self {
        Self { loses: false, ..self }
    }

    /// The second program, if this kernel makes one necessary.
    #[must_use]
    pub fn stand_in(&self, preempts: bool) -> Option<&'static str> {
        match self.stand_in? {
            StandIn::Always(program) => Some(program),
            StandIn::IfPreempted(program) => preempts.then_some(program),
        }
    }
}

const fn needed(program: &'static str, target: Target) -> Hook {
    Hook { program, target, without: None, stand_in: None, loses: true }
}

const fn optional(program: &'static str, target: Target, without: &'static str) -> Hook {
    Hook { program, target, without: Some(without), stand_in: None, loses: true }
}

const FEXIT: &[Hook] = &[
    needed("csk_get_port_enter", Target::Fentry(&["inet_csk_get_port"]))
        .or_if_preempted("csk_get_port_enter_2"),
    needed("udp_get_port_enter", Target::Fentry(&["udp_lib_get_port"]))
        .or_if_preempted("udp_get_port_enter_2"),
    needed("saddr_equal", Target::Fexit("inet_rcv_saddr_equal", 3)),
    optional("bind_conflict", Target::Fexit("inet_bind_conflict", 6), WITHOUT_BIND_CONFLICT),
    needed("destruct", Target::Fentry(&["inet_sock_destruct"])).of_releases(),
    needed("time_wait", Target::Fentry(TIME_WAIT_ENTERS)).or("time_wait_2"),
    needed("time_wait_end", Target::Fentry(&["inet_twsk_bind_unhash"])).of_releases(),
    needed("autobind", Target::Fentry(&["inet_autobind"])).or_if_preempted("autobind_2"),
    needed("csk_get_port", Target::Fexit("inet_csk_get_port", 2)).or_if_preempted("csk_get_port_2"),
    needed("udp_get_port", Target::Fexit("udp_lib_get_port", 3)).or_if_preempted("udp_get_port_2"),
    needed("hash_connect", Target::Fexit("inet_hash_connect", 2)).or_if_preempted("hash_connect_2"),
    optional("process_exit", Target::BtfTracepoint("sched_process_exit"), WITHOUT_EXIT)
        .or_if_preempted("process_exit_2"),
    optional("hash_connect6", Target::Fexit("inet6_hash_connect", 2), "IPv6 clients")
        .or_if_preempted("hash_connect6_2"),
    optional("bind", Target::Fexit("inet_bind", 3), WITHOUT_BIND),
    optional("bind6", Target::Fexit("inet6_bind", 3), WITHOUT_BIND6),
];

/// Returns before entries: a return without its entry is nothing, an entry without its return a missed probe.
const KPROBE: &[Hook] = &[
    needed("kr_compare", Target::Kretprobe("inet_rcv_saddr_equal")),
    needed("kp_compare", Target::Kprobe(&["inet_rcv_saddr_equal"])),
    optional("kr_judge", Target::Kretprobe("inet_bind_conflict"), WITHOUT_BIND_CONFLICT),
    optional("kp_judge", Target::Kprobe(&["inet_bind_conflict"]), WITHOUT_BIND_CONFLICT),
    needed("kp_destruct", Target::Kprobe(&["inet_sock_destruct"])).of_releases(),
    needed("kp_time_wait", Target::Kprobe(TIME_WAIT_ENTERS)),
    needed("kp_time_wait_end", Target::Kprobe(&["inet_twsk_bind_unhash"])).of_releases(),
    needed("kr_tcp_port", Target::Kretprobe("inet_csk_get_port")),
    needed("kp_tcp_port", Target::Kprobe(&["inet_csk_get_port"])),
    needed("kr_udp_port", Target::Kretprobe("udp_lib_get_port")),
    needed("kp_udp_port", Target::Kprobe(&["udp_lib_get_port"])),
    optional("kp_exit", Target::Kprobe(&["exit_files"]), WITHOUT_EXIT),
    needed("kp_autobind", Target::Kprobe(&["inet_autobind"])),
    needed("kr_connect", Target::Kretprobe("inet_hash_connect")),
    needed("kp_connect", Target::Kprobe(&["inet_hash_connect"])),
    optional("kr_connect", Target::Kretprobe("inet6_hash_connect"), "IPv6 clients"),
    optional("kp_connect", Target::Kprobe(&["inet6_hash_connect"]), "IPv6 clients"),
    optional("kr_bind", Target::Kretprobe("inet_bind"), WITHOUT_BIND),
    optional("kp_bind", Target::Kprobe(&["inet_bind"]), WITHOUT_BIND),
    optional("kr_bind", Target::Kretprobe("inet6_bind"), WITHOUT_BIND6),
    optional("kp_bind", Target::Kprobe(&["inet6_bind"]), WITHOUT_BIND6),
];

/// The first since 6.12.
const TIME_WAIT_ENTERS: &[&str] = &["inet_twsk_hashdance_schedule", "inet_twsk_hashdance"];

const WITHOUT_BIND: &str = "SCTP over IPv4";
const WITHOUT_BIND6: &str = "SCTP over IPv6";

const WITHOUT_BIND_CONFLICT: &str =
    "the kernel's verdict on binds to a specific address; the bucket walk and the rule decide";

const WITHOUT_EXIT: &str =
    "when a process ended: one that left its socket to another may be named though it was gone";

const TRACEPOINT: &[Hook] = &[
    needed("destroy", Target::BtfTracepoint("tcp_destroy_sock")).or("destroy_2"),
    needed("set_state", Target::BtfTracepoint("inet_sock_set_state")).or_if_preempted("set_state_2"),
    optional("process_exit", Target::BtfTracepoint("sched_process_exit"), WITHOUT_EXIT)
        .or_if_preempted("process_exit_2"),
    needed("call_ends", Target::BtfTracepoint("sys_exit")).or_if_preempted("call_ends_2"),
];

/// The start-up snapshot's program and the iterator it runs on.
pub const SNAPSHOT: (&str, &str) = ("open_files", "task_file");

impl Backend {
    /// All of them, the cheapest first.
    pub const ALL: &'static [Self] = &[Self::Fexit, Self::Kprobe, Self::Tracepoint];

    /// In the order in which they are tried, the best first. A kernel that preempts programs passes over fexit hooks
    /// meanwhile, and misses refusals by the dozen when it is busy; it does not preempt probes.
    #[must_use]
    pub fn by_merit(preempts: bool) -> &'static [Self] {
        if preempts { &[Self::Kprobe, Self::Fexit, Self::Tracepoint] } else { Self::ALL }
    }

    /// Its name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }

    /// Its hooks, in the order of attaching: releases before assignments, so that no record is left behind.
    #[must_use]
    pub fn hooks(self) -> &'static [Hook] {
        match self {
            Self::Fexit => FEXIT,
            Self::Kprobe => KPROBE,
            Self::Tracepoint => TRACEPOINT,
        }
    }

    /// Conflicts or holders that it cannot see, one phrase each.
    #[must_use]
    pub fn blind(self) -> &'static [&'static str] {
        match self {
            Self::Fexit | Self::Kprobe => {
                &["SCTP: sctp_bindx(), a refused listen(), how and when a client came to its port"]
            }
            Self::Tracepoint => &[
                "bind and listen through io_uring",
                "binds of the kernel itself",
                "bind and listen of 32-bit programs on a 64-bit kernel",
                "MPTCP subflows that join later",
                "SCTP: sctp_bindx(), how and when a client came to its port",
                "the kernel's own verdict (the bind-conflict rule decides instead)",
            ],
        }
    }

    /// Whether connections that may be in TIME_WAIT are kept apart, because nothing hands their records over.
    #[must_use]
    pub fn keeps_closed_apart(self) -> bool {
        self == Self::Tracepoint
    }

    /// Whether UDP records are kept apart, as those of SCTP always are, because no release of a UDP port is seen.
    #[must_use]
    pub fn keeps_datagrams_apart(self) -> bool {
        self == Self::Tracepoint
    }
}
