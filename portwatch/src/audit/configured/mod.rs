//! Ports that somebody wants though perhaps nobody has them open now: one file a source, each reading below a root folder
//! that the tests make up, with its parser apart from it.
//!
//! Not looked at: socket units of users' own service managers, and socket units that nothing wants or requires; one that
//! was started by hand is open, and found as a listener.

mod command_line;
mod kubernetes;
mod listen;
mod past;
mod port_file;
mod services;
mod sockets;
#[cfg(test)]
mod tests;
mod unit_file;

use crate::exit_code::Refused;
use crate::model::{ConfiguredBy, Protocol};
use crate::owner::rooted::Root;
use crate::who::Query;
use jiff::Timestamp;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Words about what could not be read stop here; how many more there were is said.
const MOST_NOTES: usize = 50;

/// A port, or a range, that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// The ports.
    pub ports: RangeInclusive<u16>,
    /// Their protocol.
    pub protocol: Protocol,
    /// The address; `None` if it is every one, or not known.
    pub address: Option<IpAddr>,
    /// Where it stands.
    pub by: ConfiguredBy,
    /// Its name there: the socket unit, the service, `FILE:LINE`, the victim. Untrusted text.
    pub name: String,
    /// systemd unit that would have the port.
    pub unit: Option<String>,
    /// The file, as it is called below the root.
    pub path: Option<PathBuf>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// Network namespace of past victims; `None` is the host's, or portwatch's own.
    pub netns: Option<u32>,
    /// When a past victim was last refused it.
    pub last_time: Option<Timestamp>,
    /// In how many conflicts.
    pub count: Option<u64>,
}

impl Configured {
    fn new(
        ports: RangeInclusive<u16>,
        protocol: Protocol,
        by: ConfiguredBy,
        name: impl Into<String>,
    ) -> Self {
        Self {
            ports,
            protocol,
            by,
            name: name.into(),
            address: None,
            unit: None,
            path: None,
            line: None,
            netns: None,
            last_time: None,
            count: None,
        }
    }
}

/// What is asked for beside what stands on the host anyway.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Names in /etc/services, or `all`.
    pub services: &'a [String],
    /// Lists of ports; `-` is the standard input.
    pub files: &'a [PathBuf],
    /// Ports; without a protocol TCP is meant.
    pub ports: &'a [Query],
    /// The history.
    pub store: Option<&'a Path>,
    /// The host's root folder: `/`, or `/proc/1/root` from inside a container.
    pub root: &'a Path,
}

/// All of them, and in words what could not be read and why.
///
/// # Errors
/// Wrong usage, if what was asked for by name cannot be had: a file, a line in it, a service. Whoever asks in a script
/// must not take silence for "not at risk".
pub fn configured(wanted: &Wanted<'_>) -> Result<(Vec<Configured>, Vec<String>), Refused> {
    let mut found = command_line::ports(wanted.ports);
    for file in wanted.files {
        found.extend(port_file::read(file)?);
    }
    let mut notes = Vec::new();
    match Root::open(wanted.root) {
        Some(root) => {
            found.extend(services::read(&root, wanted.services)?);
            found.extend(sockets::read(&root, &mut notes));
            found.extend(kubernetes::read(&root, wanted.root, &mut notes));
        }
        None => notes.push(format!(
            "socket units and Kubernetes: the root folder {} cannot be opened",
            wanted.root.display()
        )),
    }
    if let Some(store) = wanted.store {
        found.extend(past::read(store, &mut notes));
    }
    let more = notes.len().saturating_sub(MOST_NOTES);
    notes.truncate(MOST_NOTES);
    if more > 0 {
        notes.push(format!("{more} more things of this kind that could not be read"));
    }
    Ok((found, notes))
}
