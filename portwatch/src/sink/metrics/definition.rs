//! Every metric by its one definition, which the exposition and the documentation are both made of.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, until portwatch starts anew.
    Counter,
    /// As it is now.
    Gauge,
    /// Always 1; its labels are what it says.
    Info,
}

/// A metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition {
    /// Without the suffixes that unit and kind add.
    base: &'static str,
    pub(super) kind: Kind,
    /// The unit, which is the last part of the name.
    pub(super) unit: Option<&'static str>,
    /// A whole sentence: without a line break, backslash or quotation mark, which HELP lines would have to escape.
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

const fn counter(base: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { base, kind: Kind::Counter, unit: None, help, labels }
}

const fn gauge(base: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { base, kind: Kind::Gauge, unit: None, help, labels }
}

const fn info(base: &'static str, labels: &'static [&'static str], help: &'static str) -> Definition {
    Definition { base, kind: Kind::Info, unit: None, help, labels }
}

impl Definition {
    const fn unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// The name without the unit.
    pub(super) const fn base(&self) -> &'static str {
        self.base
    }

    /// The name of its samples, as one types it in a query.
    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        let unit = self.unit.map(|unit| format!("_{unit}")).unwrap_or_default();
        let suffix = match self.kind {
            Kind::Counter => "_total",
            Kind::Gauge => "",
            Kind::Info => "_info",
        };
        format!("{}{unit}{suffix}", self.base)
    }
}

macro_rules! definitions {
    ($($constant:ident = $definition:expr;)*) => {
        $(pub(super) const $constant: Definition = $definition;)*
        /// All of them, in the order of the exposition.
        #[cfg(test)]
        pub(super) const ALL: &[Definition] = &[$($constant),*];
    };
}

definitions! {
    CONFLICTS = counter("portwatch_conflicts", &["protocol", "operation", "cause"],
        "Conflicts over a port: a victim in a restart loop is one conflict.");
    REFUSALS = counter("portwatch_refusals", &["protocol", "operation", "cause"],
        "Refused calls: every attempt of a restart loop counts.");
    UNATTRIBUTED = counter("portwatch_conflicts_unattributed", &["reason"],
        "Conflicts whose first holder could not be named, and why not.");
    LAST_CONFLICT = gauge("portwatch_last_conflict_timestamp", &["cause"],
        "When a call was last refused for this cause, in seconds since 1970; 0 for never.").unit("seconds");
    EXHAUSTIONS = counter("portwatch_port_exhaustions", &["protocol"],
        "Calls refused because no ephemeral port was left.");
    ASSIGNMENTS = counter("portwatch_port_assignments", &["protocol", "how"],
        "Ports given to sockets, by how they came to them.");
    EPHEMERAL_PORTS = gauge("portwatch_ephemeral_ports", &["protocol", "state"],
        "Ports of the ephemeral range in use in the network namespace of portwatch; each counts once.");
    EPHEMERAL_UNAVAILABLE = gauge("portwatch_ephemeral_ports_unavailable", &["protocol", "to"],
        "Ports of the ephemeral range that a new connection cannot have: to anybody, and to the destination to which most \
         ports are taken. connect() fails there when this reaches portwatch_ephemeral_range_ports.");
    EPHEMERAL_RANGE = gauge("portwatch_ephemeral_range_ports", &[],
        "Size of the ephemeral range (ip_local_port_range without ip_local_reserved_ports) in the network namespace of \
         portwatch.");
    LISTENERS_AT_RISK = gauge("portwatch_listeners_at_risk", &[],
        "Ports of services that the kernel may give to a client while they restart, in all network namespaces: `portwatch audit` \
         names them.");
    EVENTS_LOST = counter("portwatch_events_lost", &["stage"],
        "What was lost or not understood on the way from the kernel, by where.");
    RELEASES_SKIPPED = counter("portwatch_releases_skipped", &[],
        "Sockets whose end the kernel did not tell of. Nothing is lost: their records stay until others have their place.");
    TABLE_ENTRIES = gauge("portwatch_table_entries", &["table"],
        "Entries of a kernel-side table.");
    TABLE_CAPACITY = gauge("portwatch_table_capacity", &["table"],
        "Entries that a kernel-side table has room for.");
    TABLE_OVERFLOWS = counter("portwatch_table_overflows", &["table"],
        "Entries that found a kernel-side table full.");
    STORE_ERRORS = counter("portwatch_store_errors", &[],
        "Conflicts that could not be written to the history, and other failures of it.");
    BPF_RUNS = counter("portwatch_bpf_runs", &["program"],
        "Runs of a kernel-side program; the kernel counts only while kernel.bpf_stats_enabled is 1.");
    BPF_RUN_SECONDS = counter("portwatch_bpf_run", &["program"],
        "Time in a kernel-side program; the kernel counts only while kernel.bpf_stats_enabled is 1.").unit("seconds");
    HTTP_REFUSED = counter("portwatch_http_refused", &["reason"],
        "Connections and requests that the metrics endpoint turned away, and why.");
    BACKEND = info("portwatch_backend", &["backend", "kernel"],
        "The kernel hooks in use, and the release of the kernel.");
    BUILD = info("portwatch_build", &["version", "revision"],
        "The version of portwatch that runs.");
    CPU = counter("process_cpu", &[],
        "Processor time of portwatch, user and system.").unit("seconds");
    RESIDENT = gauge("process_resident_memory", &[],
        "Memory of portwatch that is in RAM.").unit("bytes");
    VIRTUAL = gauge("process_virtual_memory", &[],
        "Address space of portwatch.").unit("bytes");
    OPEN_FDS = gauge("process_open_fds", &[],
        "Open file descriptors of portwatch.");
    MAX_FDS = gauge("process_max_fds", &[],
        "File descriptors that portwatch may have open.");
    START_TIME = gauge("process_start_time", &[],
        "When portwatch started, in seconds since 1970.").unit("seconds");
}
