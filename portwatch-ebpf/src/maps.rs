//! The tables.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use portwatch_common::{
    Assignment, Attempt, Bucket, Call, Cpu, LastOwner, PortKey, ProcessKey,
    bucket::WAYS,
    map::{
        DATAGRAMS_ENTRIES, EVENTS_BYTES, LAST_BITS, LAST_ENTRIES, PORTS_ENTRIES, PROCESS_ENTRIES,
        SCTP_ENTRIES, THREAD_BITS, THREADS_SPILL_ENTRIES,
    },
};

#[map]
pub(crate) static PORTS: Array<Bucket<Assignment>> = Array::with_max_entries(PORTS_ENTRIES / WAYS as u32, 0);
#[map]
pub(crate) static PORTS_SPILL: HashMap<u64, Assignment> = HashMap::with_max_entries(PORTS_ENTRIES, 0);
#[map]
pub(crate) static DATAGRAMS: LruHashMap<u64, Assignment> = LruHashMap::with_max_entries(DATAGRAMS_ENTRIES, 0);
#[map]
pub(crate) static SCTP: LruHashMap<PortKey, u64> = LruHashMap::with_max_entries(SCTP_ENTRIES, 0);
#[map]
pub(crate) static LAST: Array<Bucket<LastOwner>> = Array::with_max_entries(1 << LAST_BITS, 0);
#[map]
pub(crate) static LAST_SPILL: LruHashMap<u64, LastOwner> = LruHashMap::with_max_entries(LAST_ENTRIES, 0);
#[map]
pub(crate) static PROCESS: LruHashMap<ProcessKey, u64> = LruHashMap::with_max_entries(PROCESS_ENTRIES, 0);
#[map]
pub(crate) static CPUS: PerCpuArray<Cpu> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(crate) static ATTEMPTS: Array<Bucket<Attempt>> = Array::with_max_entries(1 << THREAD_BITS, 0);
#[map]
pub(crate) static ATTEMPTS_SPILL: HashMap<u64, Attempt> = HashMap::with_max_entries(THREADS_SPILL_ENTRIES, 0);
#[map]
pub(crate) static CALLS: Array<Bucket<Call>> = Array::with_max_entries(1 << THREAD_BITS, 0);
#[map]
pub(crate) static CALLS_SPILL: HashMap<u64, Call> = HashMap::with_max_entries(THREADS_SPILL_ENTRIES, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

/// What this CPU keeps for itself.
#[inline(always)]
pub(crate) fn cpu<'a>() -> Option<&'a mut Cpu> {
    // SAFETY: no other CPU has it, and where another program comes between two accesses, that does no harm.
    CPUS.get_ptr_mut(0).map(|cpu| unsafe { &mut *cpu })
}

/// Adds one to a counter.
#[inline(always)]
pub(crate) fn count(index: u32) {
    if let Some(counter) = cpu().and_then(|cpu| cpu.counters.get_mut(index as usize)) {
        *counter = counter.wrapping_add(1);
    }
}
