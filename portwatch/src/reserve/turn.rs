//! One portwatch at a time changes a list, and what is remembered from one to the next until the host boots.
//!
//! The folder is not that of the agent, `/run/portwatch`: systemd removes that one when the agent ends, and a lock in a
//! removed folder keeps nobody out. Only root can make `/run/portwatch-reserve` and only its owner can look inside, so
//! nobody else can hold the lock, or put a link there. Where no such folder can be had (a user namespace whose root is not
//! the host's), the setting's own file is the lock, and nothing is remembered.

use super::kernel;
use crate::owner::namespaces::Namespace;
use crate::ports::PortList;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

const FOLDER: &str = "/run/portwatch-reserve";
const LOCK: &str = "/run/portwatch-reserve/lock";
const STATE: &str = "/run/portwatch-reserve/state.json";
const NEW_STATE: &str = "/run/portwatch-reserve/state.json.new";
/// A change takes milliseconds; even a hundred of them are through by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// The right to change lists, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
    /// Why nothing is remembered, if so.
    pub(super) forgetful: Option<String>,
}

/// What portwatch did to the list of a namespace since the host booted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Ports that it added.
    pub(super) added: PortList,
    /// Ports that it was asked to add and that others had reserved before.
    pub(super) found: PortList,
    /// The list that a portwatch began to write and did not end.
    pub(super) unfinished: Option<PortList>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct State {
    namespaces: Vec<Entry>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Entry {
    netns: u32,
    added: String,
    found: String,
    unfinished: Option<String>,
}

impl Turn {
    /// Waits for it.
    pub(super) fn take(namespace: &Namespace) -> io::Result<Self> {
        let (lock, forgetful) = match own_lock() {
            Ok(lock) => (lock, None),
            Err(error) => (kernel::open_to_lock(namespace)?, Some(format!("{FOLDER}: {error}"))),
        };
        wait(&lock)?;
        Ok(Self { _lock: lock, forgetful })
    }

    /// What is remembered of a namespace. Of a list that was emptied meanwhile, or of another namespace that has the number
    /// now, the ports that are not reserved are forgotten.
    pub(super) fn recall(&self, netns: u32) -> Memory {
        if self.forgetful.is_some() { Memory::default() } else { recall(netns) }
    }

    /// Remembers it.
    pub(super) fn remember(&self, netns: u32, memory: &Memory) -> io::Result<()> {
        if self.forgetful.is_some() {
            return Ok(());
        }
        let mut state = read_state();
        state.namespaces.retain(|entry| entry.netns != netns);
        if *memory != Memory::default() {
            let Memory { added, found, unfinished } = memory;
            let unfinished = unfinished.as_ref().map(ToString::to_string);
            let entry = Entry { netns, added: added.to_string(), found: found.to_string(), unfinished };
            state.namespaces.push(entry);
        }
        let _ = fs::remove_file(NEW_STATE);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(NEW_STATE)?;
        file.write_all(&serde_json::to_vec(&state)?)?;
        // Memory of this boot only: it needs no way to the disk, just to be whole.
        fs::rename(NEW_STATE, STATE)
    }
}

/// What is remembered of a namespace, without a turn: for a look that changes nothing.
pub(super) fn recall(netns: u32) -> Memory {
    let entry = read_state().namespaces.into_iter().find(|entry| entry.netns == netns).unwrap_or_default();
    let list = |text: &str| PortList::parse(text).unwrap_or_default();
    Memory {
        added: list(&entry.added),
        found: list(&entry.found),
        unfinished: entry.unfinished.as_deref().map(list),
    }
}

fn read_state() -> State {
    fs::read(STATE).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn own_lock() -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(FOLDER) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = Path::new(FOLDER).symlink_metadata()?;
    let me = rustix::process::geteuid().as_raw();
    if !found.is_dir() || found.uid() != me || found.mode() & 0o077 != 0 {
        let why = format!("not a folder of uid {me} that is closed to others; remove it");
        return Err(io::Error::other(why));
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(LOCK)
}

/// The lock goes with the process, however that ends.
fn wait(lock: &File) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => {
                let why = format!(
                    "another portwatch has been changing reserved ports for {} s; `lslocks` shows its pid",
                    PATIENCE.as_secs()
                );
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
