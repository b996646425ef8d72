//! portwatch's own process as numbers, from /proc/self.

use std::fs;

/// What /proc says; `None` where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct OwnProcess {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) virtual_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
    /// Seconds since 1970.
    pub(super) start_time: Option<f64>,
}

/// Ticks of /proc in a second: `USER_HZ`, which is 100 on every architecture that portwatch is built for.
const TICKS: f64 = 100.0;

impl OwnProcess {
    pub(super) fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let host = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self {
            open_fds: open_fds(),
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            ..parse(&stat, &status, &host)
        }
    }
}

/// The folder is open itself while it is read.
fn open_fds() -> Option<u64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u64::try_from(count).ok()?.checked_sub(1)
}

fn parse(stat: &str, status: &str, host: &str) -> OwnProcess {
    // The name is field 2, and may hold anything: fields count from behind it.
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let boot = line(host, "btime").and_then(|text| text.parse::<f64>().ok());
    let kilobytes = |name: &str| Some(line(status, name)?.split(' ').next()?.parse::<u64>().ok()? * 1024);
    OwnProcess {
        cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| (user + system) / TICKS),
        start_time: ticks(22).zip(boot).map(|(since, boot)| boot + since / TICKS),
        resident_bytes: kilobytes("VmRSS:"),
        virtual_bytes: kilobytes("VmSize:"),
        ..OwnProcess::default()
    }
}

/// What follows a name at the beginning of a line.
fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_all_of_it() {
        let own = OwnProcess::read();
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        assert!(own.start_time.is_some_and(|time| time > 1.7e9 && time < now + 2.0), "{own:?}");
        assert!(own.cpu_seconds.is_some_and(|seconds| seconds < 3600.0), "{own:?}");
        let resident = own.resident_bytes.expect("VmRSS");
        assert!(resident > 100_000 && own.virtual_bytes.is_some_and(|bytes| bytes > resident), "{own:?}");
        assert!(own.open_fds.is_some_and(|fds| fds >= 3 && Some(fds) <= own.max_fds), "{own:?}");
    }

    #[test]
    fn a_hostile_name_moves_no_field() {
        let fields: Vec<String> = (4..=22).map(|field| (field * 100).to_string()).collect();
        let stat = format!("7 (a) S 1 (b) S {}", fields.join(" "));
        let own = parse(&stat, "VmSize:\t  10 kB\nVmRSS:\t 4 kB\n", "cpu 1\nbtime 1000\n");
        assert_eq!((own.cpu_seconds, own.start_time), (Some(29.0), Some(1022.0)));
        assert_eq!((own.virtual_bytes, own.resident_bytes), (Some(10_240), Some(4_096)));
        assert_eq!(parse("", "", ""), OwnProcess::default());
    }
}
