//! What a process takes of the machine: memory and processor time, as the kernel has it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Memory in RAM, in KiB.
pub(super) fn resident_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    resident(&status).with_context(|| format!("no VmRSS in {path}"))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Processor time of all its threads so far, user and system, to the kernel's tick of 10 ms.
pub(super) fn processor_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let ticks = ticks(&stat).with_context(|| format!("no times in {path}"))?;
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// Fields 14 and 15, counted from the last bracket: the name in field 2 may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    Some(fields.next()?.ok()? + fields.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        assert_eq!(resident("VmPeak:\t 99 kB\nVmRSS:\t   1234 kB\n"), Some(1_234));
        assert_eq!(ticks("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 55 66 0 0"), Some(121));
        assert_eq!(ticks("7 (a"), None);
    }
}
