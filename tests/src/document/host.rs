//! What a block must leave as it was: the host's network settings, what sets them at boot, and named things of the block.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Settings of the network, the files that hold them, and what `portwatch reserve` remembers of them.
const SETTINGS: [&str; 4] = ["/proc/sys/net", "/etc/sysctl.d", "/etc/sysctl.conf", "/run/portwatch-reserve"];
/// Where things get names: network namespaces and control groups.
const NAMES: [&str; 3] = ["/run/netns", "/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// Nobody's settings: the kernel counts there.
const COUNTERS: [&str; 2] = ["_count", "_entries"];

/// The host in a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    settings: BTreeMap<PathBuf, Vec<u8>>,
    names: Vec<PathBuf>,
}

impl Host {
    pub(super) fn now() -> Self {
        let mut host = Self::default();
        SETTINGS.iter().for_each(|path| host.read(Path::new(path)));
        let folders = NAMES.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
        host.names = folders.flatten().map(|entry| entry.path()).collect();
        host
    }

    fn read(&mut self, path: &Path) {
        let is_counter = || COUNTERS.iter().any(|end| path.to_string_lossy().ends_with(end));
        match fs::read_dir(path) {
            Ok(entries) => entries.flatten().for_each(|entry| self.read(&entry.path())),
            // Some can only be written, or are gone by now.
            Err(_) if !is_counter() => {
                if let Ok(text) = fs::read(path) {
                    self.settings.insert(path.to_owned(), text);
                }
            }
            Err(_) => {}
        }
    }

    /// What is another since then, by the block with this text. Names that it does not mention are others' work.
    pub(super) fn changed_since(&self, before: &Self, script: &str) -> Vec<String> {
        let paths = self.settings.keys().chain(before.settings.keys());
        let mut changed: Vec<String> = paths
            .filter(|path| self.settings.get(*path) != before.settings.get(*path))
            .map(|path| format!("{} was changed", path.display()))
            .collect();
        changed.dedup();
        let is_ours =
            |path: &Path| path.file_name().is_some_and(|name| script.contains(&*name.to_string_lossy()));
        let stayed = self.names.iter().filter(|path| is_ours(path) && !before.names.contains(path));
        changed.extend(stayed.map(|path| format!("{} is still there", path.display())));
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_setting_and_a_name_that_stayed_are_told() {
        let before = Host::default();
        let mut after = before.clone();
        assert!(after.changed_since(&before, "").is_empty());
        after.settings.insert("/proc/sys/net/x".into(), b"1".to_vec());
        after.names.push("/run/netns/demo".into());
        after.names.push("/run/netns/other".into());
        let changed = after.changed_since(&before, "ip netns add demo");
        assert_eq!(changed, ["/proc/sys/net/x was changed", "/run/netns/demo is still there"]);
    }

    #[test]
    fn the_range_is_among_the_settings() {
        let host = Host::now();
        assert!(host.settings.contains_key(Path::new("/proc/sys/net/ipv4/ip_local_port_range")));
    }
}
