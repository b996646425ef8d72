//! What the files that are applied at boot set the reserved ports to, by the rules of sysctl.d(5) and sysctl(8).

use serde::Serialize;
use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Folders, the first wins where two have a file of the same name.
const FOLDERS: [&str; 5] =
    ["etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d"];
/// Portwatch's own file.
pub(super) const OWN_NAME: &str = "60-portwatch.conf";
/// The key as a path.
const KEY: &str = "net/ipv4/ip_local_reserved_ports";
/// Read of a file at most: the longest list takes 191,052 bytes.
const LONGEST: u64 = 16 << 20;

/// A line that sets the reserved ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// What it sets them to, as it stands there; not escaped.
    pub value: String,
    /// The key has `*` and the like: systemd-sysctl lets every plain key win over it, `sysctl --system` does not.
    pub pattern: bool,
    /// Only `sysctl --system` reads the file, last of all; systemd-sysctl does not.
    pub only_procps: bool,
}

/// What all files but portwatch's own say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// Of files that are read before portwatch's; the last is the one that counts.
    pub(super) earlier: Vec<Setting>,
    /// Of files that are read after it.
    pub(super) later: Vec<Setting>,
    /// Files that could not be read, and why.
    pub(super) unread: Vec<String>,
}

impl Others {
    /// What would be set at boot if portwatch's file were not there: what its line must not take away.
    pub(super) fn inherited(&self) -> Option<&Setting> {
        winner(&self.earlier)
    }

    /// What replaces portwatch's line at boot.
    pub(super) fn overriding(&self) -> Option<&Setting> {
        winner(&self.later)
    }
}

/// The last wins; a pattern only where there is no plain key.
fn winner(settings: &[Setting]) -> Option<&Setting> {
    settings.iter().rev().find(|setting| !setting.pattern).or(settings.last())
}

/// Reads all files below `root` (`/`, but in tests).
pub(super) fn read(root: &Path) -> Others {
    let mut others = Others::default();
    let own = root.join("etc/sysctl.d").join(OWN_NAME);
    let files = files(root, &own, &mut others.unread);
    for (name, path) in &files {
        let found = settings_of(path, &mut others.unread);
        let is_later = name.as_encoded_bytes() > OWN_NAME.as_bytes();
        if is_later { others.later.extend(found) } else { others.earlier.extend(found) }
    }
    let last = root.join("etc/sysctl.conf");
    // Debian links it into the folder, where systemd-sysctl finds it too.
    let is_linked = |path: &PathBuf| last.canonicalize().ok() == path.canonicalize().ok();
    if last.exists() && !files.values().any(is_linked) {
        let found = settings_of(&last, &mut others.unread);
        others.later.extend(found.into_iter().map(|setting| Setting { only_procps: true, ..setting }));
    }
    others
}

/// By name, which is the order they are read in. A file of the same name in an earlier folder stands for all.
fn files(root: &Path, own: &Path, unread: &mut Vec<String>) -> BTreeMap<OsString, PathBuf> {
    let mut files = BTreeMap::new();
    for folder in FOLDERS.map(|folder| root.join(folder)) {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => {
                unread.push(format!("{}: {error}", folder.display()));
                continue;
            }
        };
        for entry in entries.flatten() {
            let is_conf = entry.path().extension().is_some_and(|extension| extension == "conf");
            if is_conf && entry.path() != own {
                files.entry(entry.file_name()).or_insert_with(|| entry.path());
            }
        }
    }
    files
}

fn settings_of(path: &Path, unread: &mut Vec<String>) -> Vec<Setting> {
    let text = || {
        // A link to /dev/null is the way to switch a file off.
        if !fs::metadata(path)?.is_file() {
            return Ok(Vec::new());
        }
        let mut text = Vec::new();
        fs::File::open(path)?.take(LONGEST).read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    match text() {
        Ok(text) => settings(path, &String::from_utf8_lossy(&text)),
        Err(error) => {
            unread.push(format!("{}: {error}", path.display()));
            Vec::new()
        }
    }
}

/// The lines of a file that set the reserved ports. Pure.
pub(super) fn settings(path: &Path, text: &str) -> Vec<Setting> {
    let setting = |(index, line): (usize, &str)| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (key, value) = line.split_once('=')?;
        let key = key.trim();
        let key = as_path(key.strip_prefix('-').unwrap_or(key).trim());
        let pattern = key != KEY;
        let is_meant = !pattern || (key.contains(['*', '?', '[']) && matches(&key));
        let value = value.trim().to_owned();
        is_meant.then(|| Setting {
            path: path.to_owned(),
            line: index + 1,
            value,
            pattern,
            only_procps: false,
        })
    };
    text.split('\n').enumerate().filter_map(setting).collect()
}

/// `net.ipv4.x` or `net/ipv4/x`: the first separator says which is meant.
fn as_path(key: &str) -> String {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'.' => key.chars().map(swap).collect(),
        _ => key.trim_start_matches('/').to_owned(),
    }
}

/// Whether the pattern means our key.
fn matches(pattern: &str) -> bool {
    let (Ok(pattern), Ok(key)) = (CString::new(pattern), CString::new(KEY)) else { return false };
    // SAFETY: both are strings that end with NUL and outlive the call, which only reads them.
    unsafe { libc::fnmatch(pattern.as_ptr(), key.as_ptr(), libc::FNM_PATHNAME) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::owner::scratch::Scratch;

    fn values(text: &str) -> Vec<(usize, String, bool)> {
        settings(Path::new("f"), text).into_iter().map(|s| (s.line, s.value, s.pattern)).collect()
    }

    #[test]
    fn every_way_to_write_the_key_is_understood() {
        for line in [
            "net.ipv4.ip_local_reserved_ports=1,2",
            "  net/ipv4/ip_local_reserved_ports = 1,2  ",
            "-net.ipv4.ip_local_reserved_ports =1,2",
            "- net.ipv4.ip_local_reserved_ports =1,2\r",
        ] {
            assert_eq!(values(&format!("# x\n{line}\n")), [(2, "1,2".to_owned(), false)], "{line}");
        }
        for line in [
            "net.ipv4.ip_local_*=1,2",
            "net/*/ip_local_reserved_ports=1,2",
            "net.ipv4.ip_local_reserved_port?=1,2",
        ] {
            assert_eq!(values(line), [(1, "1,2".to_owned(), true)], "{line}");
        }
        for line in [
            "#net.ipv4.ip_local_reserved_ports=1",
            "; net.ipv4.ip_local_reserved_ports=1",
            "net.ipv4.ip_local_port_range=1",
            "net.*=1",
            "net.ipv4.ip_local_reserved_ports",
            "net.ipv6.*=1",
        ] {
            assert_eq!(values(line), [], "{line}");
        }
    }

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn line(ports: &str) -> String {
        format!("net.ipv4.ip_local_reserved_ports = {ports}\n")
    }

    #[test]
    fn files_are_read_by_name_and_the_folder_of_the_person_in_charge_wins() {
        let scratch = Scratch::new("reserve-order");
        let root = scratch.path();
        put(root, "usr/lib/sysctl.d/10-a.conf", &line("1"));
        put(root, "usr/lib/sysctl.d/50-b.conf", &line("2"));
        put(root, "etc/sysctl.d/10-a.conf", "# nothing\n");
        put(root, "etc/sysctl.d/20-c.conf", &line("3"));
        put(root, "etc/sysctl.d/60-portwatch.conf", &line("4"));
        put(root, "etc/sysctl.d/README", &line("5"));
        put(root, "run/sysctl.d/70-d.conf", &line("6"));
        let others = read(root);
        assert_eq!(others.inherited().map(|s| s.value.as_str()), Some("2"));
        assert_eq!(others.overriding().map(|s| (s.value.as_str(), s.line)), Some(("6", 1)));
        put(root, "etc/sysctl.conf", &line("7"));
        let others = read(root);
        assert!(others.overriding().is_some_and(|s| s.value == "7" && s.only_procps));
        std::os::unix::fs::symlink("../sysctl.conf", root.join("etc/sysctl.d/99-sysctl.conf"))
            .expect("linked");
        let others = read(root);
        assert!(others.overriding().is_some_and(|s| s.value == "7" && !s.only_procps));
        assert_eq!((others.earlier.len(), others.later.len(), others.unread.len()), (2, 2, 0));
    }

    #[test]
    fn a_file_that_is_switched_off_says_nothing() {
        let scratch = Scratch::new("reserve-mask");
        let root = scratch.path();
        put(root, "usr/lib/sysctl.d/50-b.conf", &line("2"));
        fs::create_dir_all(root.join("etc/sysctl.d")).expect("made");
        std::os::unix::fs::symlink("/dev/null", root.join("etc/sysctl.d/50-b.conf")).expect("linked");
        assert_eq!(read(root), Others::default());
    }
}
