//! Every network namespace that can be reached from here, and a way into each.

use super::netns;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Ways into one namespace that are remembered: any of these processes may end meanwhile.
const DOORS: usize = 4;
/// Where `ip netns` keeps its names.
const NAMED: [&str; 2] = ["/run/netns/", "/var/run/netns/"];

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Inode number.
    pub number: u32,
    /// Name of `ip netns`, or the path that it is mounted on.
    pub name: Option<String>,
    /// Files that lead into it, names first.
    pub doors: Vec<PathBuf>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespaces {
    /// portwatch's own first, then by number.
    pub all: Vec<Namespace>,
    /// Processes whose namespace may not be seen.
    pub hidden: usize,
}

impl Namespace {
    /// portwatch's own.
    pub fn own() -> Self {
        Self { number: netns::own(), name: None, doors: vec![PathBuf::from("/proc/self/ns/net")] }
    }

    /// One that a file leads into.
    pub fn behind(number: u32, path: &Path) -> Self {
        let mut all = BTreeMap::from([(number, Self { number, name: None, doors: vec![path.to_owned()] })]);
        add_mounts(&mut all, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        all.remove(&number).unwrap_or_else(Self::own)
    }

    /// Does something inside, on a thread of its own: a namespace is entered for good.
    ///
    /// # Errors
    /// When no door leads there any more, or it may not be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        if self.number == netns::own() {
            return Ok(work());
        }
        let inside = || self.enter().map(|()| work());
        std::thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|_| Err(io::Error::other("the thread in the network namespace panicked")))
    }

    fn enter(&self) -> io::Result<()> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for door in &self.doors {
            match self.enter_by(door) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn enter_by(&self, door: &Path) -> io::Result<()> {
        let file = openat(CWD, door, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        // The pid may be somebody else's by now.
        if netns::number(fstat(&file)?.st_ino) != self.number {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

impl Namespaces {
    /// Those of all processes, and those that are mounted.
    pub fn find() -> Self {
        let own = netns::own();
        let mut all = BTreeMap::new();
        let hidden = add_processes(&mut all);
        add_mounts(&mut all, &fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        all.entry(own).or_insert_with(Namespace::own);
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_by_key(|namespace| (namespace.number != own, namespace.number));
        Self { all, hidden }
    }
}

/// One a process; returns how many may not be seen.
fn add_processes(all: &mut BTreeMap<u32, Namespace>) -> usize {
    let mut hidden = 0;
    let Ok(entries) = fs::read_dir("/proc") else { return 0 };
    for entry in entries.flatten() {
        if !entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let door = entry.path().join("ns/net");
        match fs::metadata(&door) {
            Ok(meta) => add(all, netns::number(meta.ino()), door, None),
            // The kernel says the same of a process that has just ended.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && entry.path().exists() => {
                hidden += 1;
            }
            Err(_) => {} // exited meanwhile
        }
    }
    hidden
}

fn add(all: &mut BTreeMap<u32, Namespace>, number: u32, door: PathBuf, name: Option<String>) {
    let known = all.entry(number).or_insert_with(|| Namespace { number, name: None, doors: Vec::new() });
    if name.is_some() {
        known.doors.insert(0, door);
        known.name = name;
    } else if known.doors.len() < DOORS {
        known.doors.push(door);
    }
}

/// The mounts of the file system of namespaces: `… net:[4026532281] /run/netns/blue … - nsfs nsfs rw`.
fn add_mounts(all: &mut BTreeMap<u32, Namespace>, mountinfo: &str) {
    for line in mountinfo.lines().filter(|line| line.contains(" - nsfs ")) {
        let mut fields = line.split(' ').skip(3);
        let number =
            fields.next().and_then(|root| root.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok());
        let (Some(number), Some(path)) = (number, fields.next().map(unescape)) else { continue };
        let short = NAMED.iter().find_map(|folder| path.strip_prefix(folder)).unwrap_or(&path).to_owned();
        let is_better = all.get(&number).is_none_or(|known| known.name.is_none()) || short != path;
        if is_better {
            add(all, number, PathBuf::from(&path), Some(short));
        }
    }
}

/// mountinfo writes blanks and the like as `\040`.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounted_namespaces_have_their_names() {
        let mountinfo = "\
36 25 0:33 / /run rw - tmpfs tmpfs rw
90 36 0:4 net:[4026532281] /run/netns/blue rw shared:1 - nsfs nsfs rw
91 36 0:4 mnt:[4026532300] /run/snapd/ns/lxd.mnt rw - nsfs nsfs rw
92 36 0:4 net:[4026532400] /run/docker/netns/a\\040b rw - nsfs nsfs rw
93 36 0:4 net:[4026532281] /mnt/other rw - nsfs nsfs rw
";
        let mut all = BTreeMap::new();
        add(&mut all, 4_026_532_281, PathBuf::from("/proc/7/ns/net"), None);
        add_mounts(&mut all, mountinfo);
        assert_eq!(all.len(), 2);
        let blue = &all[&4_026_532_281];
        assert_eq!(blue.name.as_deref(), Some("blue"));
        assert_eq!(blue.doors, [PathBuf::from("/run/netns/blue"), PathBuf::from("/proc/7/ns/net")]);
        assert_eq!(all[&4_026_532_400].name.as_deref(), Some("/run/docker/netns/a b"));
    }

    #[test]
    fn our_own_comes_first_and_is_where_we_are() {
        let found = Namespaces::find();
        assert_eq!(found.all[0].number, netns::own());
        assert_eq!(found.all[0].within(netns::own).expect("our own"), netns::own());
    }

    #[test]
    fn a_dead_door_is_an_error() {
        let gone = Namespace { number: 1, name: None, doors: vec![PathBuf::from("/proc/self/ns/net")] };
        assert!(gone.within(|| ()).is_err(), "another namespace is behind that door");
    }
}
