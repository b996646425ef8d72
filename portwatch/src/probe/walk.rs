//! Every entry of a table, a few thousand at a time: a million of them neither stand in memory at once nor take two system
//! calls each.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Pod;
use aya::maps::{HashMap, Map, MapData};
use portwatch_common::Bucket;

/// `BPF_MAP_LOOKUP_BATCH` (5.6).
const LOOKUP_BATCH: libc::c_long = 24;
/// Entries of one call. More than a bucket ever has, or the kernel would hand out none of it.
const BATCH: usize = 4_096;

/// `union bpf_attr` for that command.
#[repr(C)]
struct Attributes {
    /// Where to go on; nothing for the beginning.
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// Meets every entry. Of those that come and go meanwhile some are met and some are not.
pub(super) fn each<K: Pod + Default, V: Pod + Default>(map: &Map, mut meet: impl FnMut(&K, &V)) {
    let (Map::Array(data) | Map::HashMap(data) | Map::LruHashMap(data)) = map else { return };
    if batches(data, &mut meet).is_ok() {
        return;
    }
    // A kernel that does not do it refuses the first call, so that nobody is met twice. It has no buckets either.
    if let Ok(map) = HashMap::<_, K, V>::try_from(map) {
        map.iter().flatten().for_each(|(key, value)| meet(&key, &value));
    }
}

/// Meets every value of a table by numbers, whether it has buckets or is a hash.
pub(super) fn each_value<V: Pod + Default>(map: &Map, mut meet: impl FnMut(&V))
where
    Bucket<V>: Pod,
{
    if !matches!(map, Map::Array(_)) {
        return each(map, |_: &u64, value| meet(value));
    }
    each(map, |_: &u32, bucket: &Bucket<V>| {
        // Odd keys are of values that are being written.
        let pairs = bucket.keys.iter().zip(&bucket.values).filter(|(key, _)| **key != 0 && **key & 1 == 0);
        pairs.for_each(|(_, value)| meet(value));
    });
}

fn batches<K: Pod + Default, V: Pod + Default>(
    data: &MapData,
    meet: &mut impl FnMut(&K, &V),
) -> io::Result<()> {
    let (mut keys, mut values) = (vec![K::default(); BATCH], vec![V::default(); BATCH]);
    // The kernel's place in the table: a number of 32 bits for a hash.
    let (mut place, mut next) = (0_u64, 0_u64);
    let mut is_first = true;
    loop {
        let mut attributes = Attributes {
            in_batch: if is_first { 0 } else { &raw mut place as u64 },
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: BATCH as u32,
            map_fd: data.fd().as_fd().as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: the kernel writes at most `count` keys and values, of the sizes that the map was made with, and a place;
        // all of them outlive the call, and the attributes are as long as is said.
        let result = unsafe {
            let size = size_of::<Attributes>() as libc::c_uint;
            libc::syscall(libc::SYS_bpf, LOOKUP_BATCH, &raw mut attributes, size)
        };
        let error = (result != 0).then(io::Error::last_os_error);
        let is_last = error.as_ref().is_some_and(|error| error.raw_os_error() == Some(libc::ENOENT));
        match error {
            Some(error) if !is_last && is_first => return Err(error),
            // What was met stays met.
            Some(_) if !is_last => return Ok(()),
            _ => {}
        }
        let count = (attributes.count as usize).min(BATCH);
        keys.iter().zip(&values).take(count).for_each(|(key, value)| meet(key, value));
        if is_last {
            return Ok(());
        }
        (place, is_first) = (next, false);
    }
}
