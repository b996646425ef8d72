//! The bpf maps and programs of a process, found by its descriptors: what the kernel tells of them, and what is put in.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, ensure};

const LOOKUP: libc::c_long = 1;
const GET_MAP_BY_ID: libc::c_long = 14;
const GET_NEXT_KEY: libc::c_long = 4;
const UPDATE_BATCH: libc::c_long = 26;
const DELETE_BATCH: libc::c_long = 27;
const GET_PROGRAM_BY_ID: libc::c_long = 13;
const GET_INFO: libc::c_long = 15;

/// The largest `union bpf_attr` that is used here, as words.
type Attributes = [u64; 7];

fn bpf(command: libc::c_long, attributes: &mut Attributes) -> io::Result<i32> {
    // SAFETY: the attributes are as long as is said, and whatever they point to outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of::<Attributes>() as libc::c_uint,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// A number of 32 bits beside the one that follows it.
fn words(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn by_id(command: libc::c_long, id: u32) -> Result<OwnedFd> {
    let fd =
        bpf(command, &mut [words(id, 0), 0, 0, 0, 0, 0, 0]).with_context(|| format!("bpf object {id}"))?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn info<const N: usize>(fd: &OwnedFd) -> Result<[u8; N]> {
    let mut info = [0_u8; N];
    let fd = fd.as_raw_fd().cast_unsigned();
    let mut attributes = [words(fd, u32::try_from(N)?), info.as_mut_ptr() as u64, 0, 0, 0, 0, 0];
    bpf(GET_INFO, &mut attributes).context("asking for what a bpf object is")?;
    Ok(info)
}

fn number(info: &[u8], at: usize) -> u32 {
    info[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn long(info: &[u8], at: usize) -> u64 {
    info[at..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

fn name(info: &[u8], at: usize) -> String {
    let bytes = info[at..].iter().take(16).take_while(|byte| **byte != 0);
    bytes.map(|byte| char::from(*byte)).collect()
}

/// What the descriptors of a process say, for those that have the key.
fn descriptors(pid: u32, key: &str) -> Result<Vec<HashMap<String, String>>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // It may have been closed by now.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let fields: HashMap<_, _> = fields(&text).collect();
        all.extend(fields.contains_key(key).then_some(fields));
    }
    Ok(all)
}

fn fields(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
}

/// A map.
pub(super) struct Table {
    fd: OwnedFd,
    pub(super) capacity: u32,
    /// Kernel memory, by its own reckoning.
    pub(super) memory: u64,
}

impl Table {
    /// The map of this name that a process has open.
    pub(super) fn of(pid: u32, wanted: &str) -> Result<Self> {
        for fields in descriptors(pid, "map_id")? {
            let fd = by_id(GET_MAP_BY_ID, fields["map_id"].parse()?)?;
            let info: [u8; 88] = info(&fd)?;
            if name(&info, 24) == wanted {
                let memory = fields.get("memlock").context("no memlock in fdinfo")?.parse()?;
                return Ok(Self { fd, capacity: number(&info, 16), memory });
            }
        }
        anyhow::bail!("{pid} has no map called {wanted}")
    }

    /// The values of the first `count` keys of an array, from `first` on.
    pub(super) fn read<V: Default + Clone>(&self, first: u32, count: u32) -> Result<Vec<V>> {
        let keys: Vec<u32> = (first..first + count).collect();
        let mut values = vec![V::default(); keys.len()];
        for (key, value) in keys.iter().zip(&mut values) {
            let fd = words(self.fd.as_raw_fd().cast_unsigned(), 0);
            let (key, value) = (key as *const u32 as u64, value as *mut V as u64);
            bpf(LOOKUP, &mut [fd, key, value, 0, 0, 0, 0]).context("reading an entry of a map")?;
        }
        Ok(values)
    }

    /// Writes many entries at once.
    pub(super) fn write<K, V>(&self, entries: &[(K, V)]) -> Result<()>
    where
        K: Copy,
        V: Copy,
    {
        let keys: Vec<K> = entries.iter().map(|(key, _)| *key).collect();
        let values: Vec<V> = entries.iter().map(|(_, value)| *value).collect();
        self.batch(UPDATE_BATCH, keys.as_ptr() as u64, values.as_ptr() as u64, keys.len())
    }

    /// Takes many entries out at once.
    pub(super) fn delete(&self, keys: &[u64]) -> Result<()> {
        self.batch(DELETE_BATCH, keys.as_ptr() as u64, 0, keys.len())
    }

    fn batch(&self, command: libc::c_long, keys: u64, values: u64, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let fd = self.fd.as_raw_fd().cast_unsigned();
        let mut attributes = [0, 0, keys, values, words(u32::try_from(count)?, fd), 0, 0];
        bpf(command, &mut attributes).map(drop).context("changing many entries of a map")
    }

    /// Entries of a hash that it has now; for small ones.
    pub(super) fn count(&self) -> Result<u64> {
        let (mut key, mut next, mut count) = (0_u64, 0_u64, 0);
        let fd = words(self.fd.as_raw_fd().cast_unsigned(), 0);
        loop {
            let place = if count == 0 { 0 } else { &raw mut key as u64 };
            match bpf(GET_NEXT_KEY, &mut [fd, place, &raw mut next as u64, 0, 0, 0, 0]) {
                Ok(_) => (key, count) = (next, count + 1),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(count),
                Err(error) => return Err(error).context("going through a map"),
            }
        }
    }
}

/// A program, as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) id: u32,
    /// Cut by the kernel to 15 bytes.
    pub(super) name: String,
    /// Bytes of its instructions after the verifier, and of the machine's.
    pub(super) translated: u32,
    pub(super) compiled: u32,
    /// Instructions that the verifier went through; 0 before 5.16, which does not tell.
    pub(super) verified: u32,
    pub(super) run_ns: u64,
    pub(super) runs: u64,
}

/// All that a process has open, in the order of their loading.
pub(super) fn programs(pid: u32) -> Result<Vec<Program>> {
    let mut ids: Vec<u32> = Vec::new();
    for fields in descriptors(pid, "prog_id")? {
        // A link tells the id of its program too, and has no type of one.
        if fields.contains_key("prog_type") {
            ids.push(fields["prog_id"].parse()?);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ensure!(!ids.is_empty(), "{pid} has no bpf programs");
    ids.into_iter().map(program).collect()
}

fn program(id: u32) -> Result<Program> {
    let info: [u8; 232] = info(&by_id(GET_PROGRAM_BY_ID, id)?)?;
    Ok(Program {
        id,
        name: name(&info, 64),
        translated: number(&info, 20),
        compiled: number(&info, 16),
        verified: number(&info, 216),
        run_ns: long(&info, 192),
        runs: long(&info, 200),
    })
}

/// What the kernel counts for a run of a program that does nothing: its reading of the clock.
pub(super) fn empty_program_ns() -> Result<f64> {
    const LOAD: libc::c_long = 5;
    const TEST_RUN: libc::c_long = 10;
    const SOCKET_FILTER: u32 = 1;
    const RUNS: u32 = 1_000;
    // r0 = 0; exit
    let instructions = [0xb7_u64, 0x95];
    let (license, packet) = (c"GPL", [0_u8; 64]);
    let count = u32::try_from(instructions.len())?;
    let program = instructions.as_ptr() as u64;
    let mut attributes = [words(SOCKET_FILTER, count), program, license.as_ptr() as u64, 0, 0, 0, 0];
    let fd = bpf(LOAD, &mut attributes).context("loading a program that does nothing")?;
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let number = fd.as_raw_fd().cast_unsigned();
    let data = words(u32::try_from(packet.len())?, 0);
    let mut attributes = [words(number, 0), data, packet.as_ptr() as u64, 0, words(RUNS, 0), 0, 0];
    bpf(TEST_RUN, &mut attributes).context("running a program that does nothing")?;
    let info: [u8; 232] = info(&fd)?;
    let (run_ns, runs) = (long(&info, 192), long(&info, 200));
    ensure!(runs >= RUNS.into(), "the kernel has counted {runs} of {RUNS} runs");
    Ok(run_ns as f64 / runs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let text = "pos:\t0\nmap_type:\t1\nmemlock:\t4096\nmap_id:\t7\n";
        let fields: HashMap<_, _> = fields(text).collect();
        assert_eq!((fields["map_id"].as_str(), fields["memlock"].as_str()), ("7", "4096"));
        assert_eq!(name(b"xxPORTS\0\0\0", 2), "PORTS");
        assert_eq!(words(1, 2), 0x2_0000_0001);
        assert_eq!((number(&[0, 0, 7, 0, 0, 0], 2), long(&[9, 0, 0, 0, 0, 0, 0, 0], 0)), (7, 9));
    }
}
