//! Socket units of the system's manager that something wants or requires: which there are, by systemd's own precedence of
//! folders, links and drop-ins, and on which ports they listen.

use super::Configured;
use super::listen::{Listen, Name, listen};
use super::unit_file::{Assignment, assignments};
use crate::model::{ConfiguredBy, Protocol};
use crate::owner::rooted::{Root, Unreadable};
use crate::text;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where systemd looks for units, the weightiest first.
const FOLDERS: [&str; 13] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// A unit file of more is not read.
const MOST: usize = 1 << 20;
/// Names of a folder that are looked at.
const NAMES: usize = 65_536;
/// Links from alias to alias that are followed.
const ALIASES: usize = 8;

/// All ports of all enabled socket units.
pub(super) fn read(root: &Root, notes: &mut Vec<String>) -> Vec<Configured> {
    let mut units = BTreeMap::new();
    for name in enabled(root, notes) {
        // Several aliases may be wanted; the unit is one.
        if let Some(unit) = Unit::find(root, &name, notes) {
            units.entry(unit.name.clone()).or_insert(unit);
        }
    }
    units.values().flat_map(|unit| unit.ports(notes)).collect()
}

/// Names that stand in any folder of wanted or required units; a link to nowhere takes a name out of it.
fn enabled(root: &Root, notes: &mut Vec<String>) -> Vec<String> {
    let mut links: BTreeMap<(String, String), bool> = BTreeMap::new();
    for folder in FOLDERS {
        let names = root.names_up_to(folder, NAMES);
        if names.len() + 2 >= NAMES {
            notes.push(format!("{folder} has more than {NAMES} names; the rest was not looked at"));
        }
        for wanting in names.into_iter().filter(|name| is_of_wishes(name)) {
            let all = root.names_up_to(&format!("{folder}/{wanting}"), NAMES);
            // A template by itself is no unit.
            let is_unit = |name: &String| name.ends_with(".socket") && !name.ends_with("@.socket");
            for name in all.into_iter().filter(is_unit) {
                let is_masked = || is_masked(root, &format!("{folder}/{wanting}/{name}"));
                links.entry((wanting.clone(), name.clone())).or_insert_with(is_masked);
            }
        }
    }
    let mut names: Vec<_> =
        links.into_iter().filter(|(_, masked)| !masked).map(|((_, name), _)| name).collect();
    names.sort();
    names.dedup();
    names
}

fn is_of_wishes(folder: &str) -> bool {
    [".wants", ".requires", ".upholds"].iter().any(|kind| folder.ends_with(kind))
}

fn is_masked(root: &Root, path: &str) -> bool {
    root.link(path).as_deref() == Some("/dev/null")
}

/// A socket unit and the files that it is made of.
#[derive(Debug)]
struct Unit {
    name: String,
    /// Its own file, then drop-ins in the order in which they count.
    files: Vec<(String, Vec<Assignment>)>,
}

impl Unit {
    /// Nothing if it is masked, or is not there.
    fn find(root: &Root, name: &str, notes: &mut Vec<String>) -> Option<Self> {
        let (name, path, bytes) = main_file(root, name, notes)?;
        let mut files = vec![(path, assignments(&bytes))];
        for path in drop_ins(root, &name) {
            match root.load(&path, MOST) {
                Ok(bytes) => files.push((path, assignments(&bytes))),
                Err(why) => notes.push(unread(&path, &why)),
            }
        }
        Some(Self { name, files })
    }

    /// Assignments of its `[Socket]` section.
    fn all(&self) -> impl Iterator<Item = (&str, &Assignment)> {
        self.files.iter().flat_map(|(path, all)| {
            all.iter().filter(|one| one.section == "Socket").map(|one| (path.as_str(), one))
        })
    }

    /// The last assignment counts.
    fn value(&self, key: &str) -> Option<&str> {
        let values = self.all().filter(|(_, one)| one.key == key).map(|(_, one)| one.value.as_str());
        values.last().filter(|value| !value.is_empty())
    }

    fn ports(&self, notes: &mut Vec<String>) -> Vec<Configured> {
        let name = Name::of(&self.name);
        let mut listens: Vec<(&str, &Assignment)> = Vec::new();
        for (path, one) in self.all().filter(|(_, one)| one.key.starts_with("Listen")) {
            // An empty one takes back all before it, of whatever kind.
            if one.value.is_empty() { listens.clear() } else { listens.push((path, one)) }
        }
        let service = self.service(&name);
        let mut found = Vec::new();
        for (path, one) in listens {
            let Some(protocol) = protocol(&one.key, self.value("SocketProtocol")) else { continue };
            match name.expand(&one.value).and_then(|text| listen(&text)) {
                Ok(Listen::Port(address, port)) => found.push(Configured {
                    address,
                    unit: service.clone(),
                    path: Some(PathBuf::from(path)),
                    line: Some(one.line),
                    ..Configured::new(port..=port, protocol, ConfiguredBy::SystemdSocket, self.name.clone())
                }),
                Ok(Listen::Elsewhere) => {}
                Err(why) => notes.push(format!(
                    "{}:{}: {}={}: {why}",
                    text::printable(path),
                    one.line,
                    one.key,
                    text::truncate(&text::printable(&one.value), 80)
                )),
            }
        }
        found
    }

    /// The unit that is given the sockets.
    fn service(&self, name: &Name<'_>) -> Option<String> {
        if let Some(service) = self.value("Service") {
            return name.expand(service).ok();
        }
        let stem = self.name.strip_suffix(".socket")?;
        let is_each = matches!(self.value("Accept"), Some("1" | "yes" | "y" | "true" | "t" | "on"));
        // Each connection gets an instance of its own.
        Some(if is_each { format!("{}@.service", name.prefix) } else { format!("{stem}.service") })
    }
}

/// `None` for what has no ports.
fn protocol(key: &str, of_socket: Option<&str>) -> Option<Protocol> {
    match (key, of_socket) {
        ("ListenStream" | "ListenSequentialPacket", Some("sctp")) => Some(Protocol::Sctp),
        ("ListenStream", Some("mptcp")) => Some(Protocol::Mptcp),
        ("ListenStream", _) => Some(Protocol::Tcp),
        ("ListenDatagram", Some("udplite")) => Some(Protocol::UdpLite),
        ("ListenDatagram", _) => Some(Protocol::Udp),
        _ => None,
    }
}

/// The unit's own name, its file and what stands in it.
fn main_file(root: &Root, name: &str, notes: &mut Vec<String>) -> Option<(String, String, Vec<u8>)> {
    let mut name = name.to_owned();
    for _ in 0..ALIASES {
        let template = Name::of(&name).template();
        let names = [Some(name.clone()), template.clone()];
        let mut places = names.iter().flatten().flat_map(|file| FOLDERS.map(|folder| (folder, file)));
        let (path, bytes) = places.find_map(|(folder, file)| {
            let path = format!("{folder}/{file}");
            match root.load(&path, MOST) {
                Ok(bytes) => Some((path, Some(bytes))),
                Err(Unreadable::Missing) if root.link(&path).is_none() => None,
                Err(_) if is_masked(root, &path) => Some((path, None)),
                Err(why) => {
                    notes.push(unread(&path, &why));
                    Some((path, None))
                }
            }
        })?;
        let target = root.link(&path).and_then(|target| Some(target.rsplit('/').next()?.to_owned()));
        match target.filter(|target| *target != name && Some(target) != template.as_ref()) {
            Some(target) if target.ends_with(".socket") => name = target,
            // An empty file masks as well.
            _ => return bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| (name, path, bytes)),
        }
    }
    notes.push(format!("{}: its names lead in a circle", text::printable(&name)));
    None
}

/// Drop-ins in the order in which they count: by file name, wherever they stand; of two of one name the weightier.
fn drop_ins(root: &Root, name: &str) -> Vec<String> {
    let parts = Name::of(name);
    let mut folders = vec![name.to_owned()];
    folders.extend(parts.template());
    // a-b-c.socket also gets what is in a-b-.socket.d and a-.socket.d.
    if parts.instance.is_none() {
        let dashes = parts.prefix.rmatch_indices('-').filter(|(at, _)| at + 1 < parts.prefix.len());
        folders.extend(dashes.map(|(at, _)| format!("{}.socket", &parts.prefix[..=at])));
    }
    folders.push("socket".to_owned());
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for unit in folders {
        for folder in FOLDERS {
            let folder = format!("{folder}/{unit}.d");
            for file in root.names_up_to(&folder, NAMES).into_iter().filter(|file| file.ends_with(".conf")) {
                let path = format!("{folder}/{file}");
                by_name.entry(file).or_insert(path);
            }
        }
    }
    by_name.into_values().filter(|path| !is_masked(root, path)).collect()
}

fn unread(path: &str, why: &Unreadable) -> String {
    format!("{} could not be read: {why}", text::printable(path))
}
