//! Names and default sizes of the BPF maps, and the names of the two read-only globals.

/// Who was given the port of which socket, in buckets: [`crate::record::bucket_of`] → [`crate::Bucket`].
pub const PORTS: &str = "PORTS";
/// Socket address → [`crate::Assignment`], for sockets whose bucket is full; a plain hash, because LRU would evict the old,
/// long-lived client first.
pub const SPILL: &str = "SPILL";
/// The same for sockets whose release is not seen, SCTP and, in the tracepoint backend, UDP; LRU, so that it cannot fill up.
pub const DATAGRAMS: &str = "DATAGRAMS";
/// Port → address of an SCTP socket that was seen on it: its own table of ports is in a module, and not to be walked.
pub const SCTP: &str = "SCTP";
/// Port → [`crate::LastOwner`]: names the dead behind TIME_WAIT where no hook hands the record over.
pub const LAST: &str = "LAST";
/// Processes already announced to user space → when they ended, on the boot clock; 0 for those that run.
pub const PROCESS: &str = "PROCESS";
/// The process that was given a port last on each CPU, which need not be looked up in [`PROCESS`].
pub const RECENT: &str = "RECENT";
/// bind() and listen() calls that are being decided right now, by thread.
pub const ATTEMPTS: &str = "ATTEMPTS";
/// Functions that a thread is inside, with what their return needs to know.
pub const CALLS: &str = "CALLS";
/// Per-CPU counters, indexed by [`crate::counter`].
pub const COUNTERS: &str = "COUNTERS";
/// The ring buffer: refusals, their holders, new processes.
pub const EVENTS: &str = "EVENTS";

/// Read-only global of type [`crate::Offsets`].
pub const OFFSETS_GLOBAL: &str = "OFFSETS";
/// Read-only global of type [`crate::Tuning`].
pub const TUNING_GLOBAL: &str = "TUNING";

/// Room in [`PORTS`] unless told otherwise: sockets that hold a port at one time.
pub const PORTS_ENTRIES: u32 = 262_144;
/// Entries of [`DATAGRAMS`].
pub const DATAGRAMS_ENTRIES: u32 = 16_384;
/// Entries of [`SCTP`].
pub const SCTP_ENTRIES: u32 = 4_096;
/// Entries of [`LAST`].
pub const LAST_ENTRIES: u32 = 65_536;
/// Entries of [`PROCESS`].
pub const PROCESS_ENTRIES: u32 = 16_384;
/// Entries of [`ATTEMPTS`]: threads inside bind() or listen() at one time.
pub const ATTEMPTS_ENTRIES: u32 = 4_096;
/// Entries of [`CALLS`].
pub const CALLS_ENTRIES: u32 = 4_096;
/// Bytes of the ring buffer: a power of two and a multiple of the page size.
pub const EVENTS_BYTES: u32 = 1 << 20;
