//! Names and default sizes of the BPF maps, and the names of the two read-only globals.

use crate::bucket::WAYS;

/// Socket address → [`crate::Assignment`], in buckets.
pub const PORTS: &str = "PORTS";
/// The same for sockets whose bucket is full; a plain hash, because LRU would evict the old, long-lived client first.
pub const PORTS_SPILL: &str = "PORTS_SPILL";
/// The same for sockets whose release is not seen, SCTP and, in the tracepoint backend, UDP; LRU, so that it cannot fill up.
pub const DATAGRAMS: &str = "DATAGRAMS";
/// Port → address of an SCTP socket that was seen on it: its own table of ports is in a module, and not to be walked.
pub const SCTP: &str = "SCTP";
/// Connection → [`crate::LastOwner`], in buckets: names the dead behind TIME_WAIT where no hook hands the record over.
pub const LAST: &str = "LAST";
/// The same where there are no buckets.
pub const LAST_SPILL: &str = "LAST_SPILL";
/// Processes already announced to user space → when they ended, on the boot clock; 0 for those that run.
pub const PROCESS: &str = "PROCESS";
/// One [`crate::Cpu`] for each: what it has counted, and who came last.
pub const CPUS: &str = "CPUS";
/// The ring buffer: refusals, their holders, new processes.
pub const EVENTS: &str = "EVENTS";

/// Room in [`PORTS`] unless told otherwise: sockets that hold a port at one time.
pub const PORTS_ENTRIES: u32 = 262_144;
/// Entries of [`DATAGRAMS`].
pub const DATAGRAMS_ENTRIES: u32 = 16_384;
/// Entries of [`SCTP`].
pub const SCTP_ENTRIES: u32 = 4_096;
/// Bits of the number of buckets of [`LAST`].
pub const LAST_BITS: u32 = 14;
/// Entries of [`LAST`].
pub const LAST_ENTRIES: u32 = (1 << LAST_BITS) * WAYS as u32;
/// Entries of [`PROCESS`].
pub const PROCESS_ENTRIES: u32 = 16_384;
/// Bits of the number of buckets of the tables of threads.
pub const THREAD_BITS: u32 = 8;
/// Threads inside bind() or listen(), or inside one function of the kernel, that find no room in a bucket.
pub const THREADS_SPILL_ENTRIES: u32 = 4_096;
/// Bytes of the ring buffer: a power of two and a multiple of the page size.
pub const EVENTS_BYTES: u32 = 1 << 20;
