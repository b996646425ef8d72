//! The kernel side's counters and tables, as numbers.

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapInfo, PerCpuArray};
use portwatch_common::{Assignment, Bucket, Cpu, LastOwner, ProcessKey, Task, bucket::WAYS, counter, map};
use serde::Serialize;

use super::sizes::{Room, hash_memory};
use super::walk;

/// TCP_TIME_WAIT.
const TIME_WAIT: u8 = 6;

/// Counters of the kernel side, summed over the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Counters(Vec<u64>);

impl Counters {
    pub(super) fn read(ebpf: &Ebpf) -> Self {
        let array = ebpf.map(map::CPUS).and_then(|map| PerCpuArray::<_, Cpu>::try_from(map).ok());
        let Some(cpus) = array.and_then(|array| array.get(&0, 0).ok()) else { return Self::default() };
        let sum = |index: usize| cpus.iter().fold(0, |sum: u64, cpu| sum.wrapping_add(cpu.counters[index]));
        Self((0..counter::COUNT as usize).map(sum).collect())
    }

    /// The same with so much less in one of them.
    pub(super) fn without(mut self, name: &str, less: u64) -> Self {
        let index = counter::NAMES.iter().position(|known| *known == name);
        if let Some(count) = index.and_then(|index| self.0.get_mut(index)) {
            *count = count.saturating_sub(less);
        }
        self
    }

    /// One counter by its name; 0 for an unknown one.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        let index = counter::NAMES.iter().position(|known| *known == name);
        index.and_then(|index| self.0.get(index)).copied().unwrap_or(0)
    }

    /// Every counter with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        counter::NAMES.iter().copied().zip(self.0.iter().copied())
    }

    /// Ports that were assigned: IPPROTO_*, how, how often. All of them, in a fixed order.
    pub fn assigned(&self) -> impl Iterator<Item = (u16, u8, u64)> + '_ {
        let hows = 0..counter::HOWS as u8;
        let pairs = counter::PROTOCOLS
            .into_iter()
            .flat_map(move |protocol| hows.clone().map(move |how| (protocol, how)));
        pairs.map(|(protocol, how)| {
            let count = self.0.get(counter::assigned(protocol, how) as usize).copied().unwrap_or(0);
            (protocol, how, count)
        })
    }

    /// Those that count something lost.
    pub fn losses(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        const HARMLESS: [&str; 3] = ["refusals", "preexisting", "stood_in"];
        self.iter().filter(|(name, _)| !HARMLESS.contains(name))
    }
}

/// Who was given which port: the kernel side's records, to be read at any time.
#[derive(Debug)]
pub struct Assignments {
    tables: Vec<(&'static str, Map)>,
    /// Connections that may be in TIME_WAIT, on backends that do not see their stand-ins: buckets, and the hash without.
    last: Vec<Map>,
    processes: Option<Map>,
}

impl Assignments {
    /// Takes the tables out of the object; the programs go on writing them.
    pub(super) fn take(ebpf: &mut Ebpf) -> Self {
        let take = |name| Some((name, ebpf.take_map(name)?));
        let tables = [map::PORTS, map::PORTS_SPILL, map::DATAGRAMS].into_iter().filter_map(take).collect();
        Self {
            tables,
            last: [map::LAST, map::LAST_SPILL].into_iter().filter_map(|name| ebpf.take_map(name)).collect(),
            processes: ebpf.take_map(map::PROCESS),
        }
    }

    /// When a process ended, on the boot clock; `None` for one that runs, or that is not known.
    #[must_use]
    pub fn ended_ns(&self, task: &Task) -> Option<u64> {
        let processes = HashMap::<_, ProcessKey, u64>::try_from(self.processes.as_ref()?).ok()?;
        let key = ProcessKey { start_ns: task.start_ns, tgid: task.tgid, pad: 0 };
        processes.get(&key, 0).ok().filter(|ended_ns| *ended_ns != 0)
    }

    /// The records that are wanted, as they are now. Walks the tables: not for a loop.
    #[must_use]
    pub fn wanted(&self, is_wanted: &dyn Fn(&Assignment) -> bool) -> Vec<Assignment> {
        let mut wanted = Vec::new();
        for (_, map) in &self.tables {
            walk::each_value(map, |record| wanted.extend(is_wanted(record).then_some(*record)));
        }
        wanted
    }

    /// The records of connections that were closed since then, on the boot clock, and may be in TIME_WAIT; none where the
    /// stand-ins have the records themselves. Walks a table, as [`Self::wanted`] does.
    #[must_use]
    pub fn closed(&self, since_ns: u64, is_wanted: &dyn Fn(&Assignment) -> bool) -> Vec<Assignment> {
        let mut wanted = Vec::new();
        for map in &self.last {
            walk::each_value(map, |last: &LastOwner| {
                let may_wait = last.state == TIME_WAIT && last.released_ns >= since_ns;
                wanted.extend((may_wait && is_wanted(&last.assignment)).then_some(last.assignment));
            });
        }
        wanted
    }
}

/// Size and fill of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Table {
    /// Name of the map.
    pub name: &'static str,
    /// Entries now.
    pub entries: u64,
    /// Entries at most.
    pub capacity: u32,
    /// Kernel memory, in bytes.
    pub memory: u64,
}

impl Table {
    pub(super) fn all(assignments: &Assignments) -> Vec<Self> {
        let table = |wanted| assignments.tables.iter().find(|(name, _)| *name == wanted).map(|(_, map)| map);
        let ports = || Self::ports(table(map::PORTS)?, table(map::PORTS_SPILL)?);
        let others =
            [(map::DATAGRAMS, table(map::DATAGRAMS)), (map::PROCESS, assignments.processes.as_ref())];
        let others = others.into_iter().filter_map(|(name, map)| Self::read(name, map?));
        ports().into_iter().chain(Self::last(&assignments.last)).chain(others).collect()
    }

    /// Buckets and spill, told as one.
    fn ports(buckets: &Map, spill: &Map) -> Option<Self> {
        let bucket_bits = info(buckets)?.max_entries().trailing_zeros();
        let room = Room { bucket_bits, spill: info(spill)?.max_entries() };
        let entries = count_values::<Assignment>(&[buckets, spill]);
        Some(Self { name: map::PORTS, entries, capacity: room.capacity(), memory: room.memory() })
    }

    /// Buckets and hash as one: at most one of them is more than a stub.
    fn last(maps: &[Map]) -> Option<Self> {
        let [buckets, spill] = maps else { return None };
        let entries = count_values::<LastOwner>(&[buckets, spill]);
        let (buckets, spill) = (info(buckets)?, info(spill)?);
        let (of_buckets, of_spill) = (buckets.max_entries(), spill.max_entries());
        let memory = u64::from(of_buckets) * size_of::<Bucket<LastOwner>>() as u64
            + hash_memory(size_of::<u64>(), size_of::<LastOwner>(), of_spill);
        Some(Self { name: map::LAST, entries, capacity: (of_buckets * WAYS as u32).max(of_spill), memory })
    }

    fn read(name: &'static str, map: &Map) -> Option<Self> {
        let info = info(map)?;
        let capacity = info.max_entries();
        let entries = match name {
            map::PROCESS => count::<ProcessKey, u64>(map),
            _ => count::<u64, Assignment>(map),
        };
        let memory = hash_memory(info.key_size() as usize, info.value_size() as usize, capacity);
        Some(Self { name, entries, capacity, memory })
    }
}

fn info(map: &Map) -> Option<MapInfo> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::LruHashMap(data) => data.info().ok(),
        _ => None,
    }
}

fn count<K: aya::Pod + Default, V: aya::Pod + Default>(map: &Map) -> u64 {
    let mut count = 0;
    walk::each(map, |_: &K, _: &V| count += 1);
    count
}

fn count_values<V: aya::Pod + Default>(maps: &[&Map]) -> u64
where
    Bucket<V>: aya::Pod,
{
    let mut count = 0;
    maps.iter().for_each(|map| walk::each_value(map, |_: &V| count += 1));
    count
}
