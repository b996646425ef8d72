//! The kernel side's counters and tables, as numbers.

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapInfo, PerCpuArray};
use portwatch_common::{Assignment, LastOwner, PortKey, ProcessKey, Task, counter, map};
use serde::Serialize;

use super::walk;

/// Counters of the kernel side, summed over the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Counters(Vec<u64>);

impl Counters {
    pub(super) fn read(ebpf: &Ebpf) -> Self {
        let read = |array: &PerCpuArray<_, u64>, index| {
            array.get(&index, 0).map(|cpus| cpus.iter().sum()).unwrap_or(0)
        };
        let array = ebpf.map(map::COUNTERS).and_then(|map| PerCpuArray::<_, u64>::try_from(map).ok());
        Self(
            array.map_or_else(Vec::new, |array| {
                (0..counter::COUNT).map(|index| read(&array, index)).collect()
            }),
        )
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
    /// Connections that may be in TIME_WAIT, on backends that do not see their stand-ins.
    last: Option<Map>,
    processes: Option<Map>,
}

impl Assignments {
    /// Takes the tables out of the object; the programs go on writing them.
    pub(super) fn take(ebpf: &mut Ebpf) -> Self {
        let take = |name| Some((name, ebpf.take_map(name)?));
        let tables = [map::PORTS, map::DATAGRAMS].into_iter().filter_map(take).collect();
        Self { tables, last: ebpf.take_map(map::LAST), processes: ebpf.take_map(map::PROCESS) }
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
            walk::each(map, |_: &u64, record| wanted.extend(is_wanted(record).then_some(*record)));
        }
        wanted
    }

    /// The records of connections that were closed since then, on the boot clock, and may be in TIME_WAIT; none where the
    /// stand-ins have the records themselves. Walks a table, as [`Self::wanted`] does.
    #[must_use]
    pub fn closed(&self, since_ns: u64, is_wanted: &dyn Fn(&Assignment) -> bool) -> Vec<Assignment> {
        let mut wanted = Vec::new();
        let Some(map) = &self.last else { return wanted };
        walk::each(map, |key: &PortKey, last: &LastOwner| {
            let record = Assignment { port: key.port, ..last.assignment };
            wanted.extend((last.released_ns >= since_ns && is_wanted(&record)).then_some(record));
        });
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
        let taken = assignments.tables.iter().filter_map(|(name, map)| Self::read(name, map));
        let last = assignments.last.as_ref().and_then(|map| Self::read(map::LAST, map));
        let processes = assignments.processes.as_ref().and_then(|map| Self::read(map::PROCESS, map));
        taken.chain(last).chain(processes).collect()
    }

    fn read(name: &'static str, map: &Map) -> Option<Self> {
        let (Map::HashMap(data) | Map::LruHashMap(data)) = map else { return None };
        let info: MapInfo = data.info().ok()?;
        let capacity = info.max_entries();
        let entries = match name {
            map::LAST => count::<PortKey, LastOwner>(map),
            map::PROCESS => count::<ProcessKey, u64>(map),
            _ => count::<u64, Assignment>(map),
        };
        Some(Self { name, entries, capacity, memory: memory(info.key_size(), info.value_size(), capacity) })
    }
}

fn count<K: aya::Pod + Default, V: aya::Pod + Default>(map: &Map) -> u64 {
    let mut count = 0;
    walk::each(map, |_: &K, _: &V| count += 1);
    count
}

/// What a preallocated hash takes: 48 bytes an element beside key and value, each rounded up to 8, and 16 a bucket.
fn memory(key: u32, value: u32, capacity: u32) -> u64 {
    let round = |bytes: u32| u64::from(bytes.next_multiple_of(8));
    u64::from(capacity) * (48 + round(key) + round(value)) + 16 * u64::from(capacity.next_power_of_two())
}
