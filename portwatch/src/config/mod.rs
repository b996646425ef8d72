//! Everything that can be set of the agent: one table of keys, which gives the flags, the environment, the file, the
//! help and the documentation.
//!
//! A flag goes before the environment, that before the file, that before the default.

mod file;
mod keys;
#[cfg(test)]
mod tests;
mod values;

pub use keys::{KEYS, Key};

use crate::exit_code::Refused;
use crate::probe::Backend;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the file is unless told otherwise; it may be missing there.
pub const DEFAULT_FILE: &str = "/etc/portwatch/portwatch.toml";

/// What the agent is to do, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Kernel hooks to force; `None` for the best.
    pub backend: Option<Backend>,
    /// Entries of the kernel's table of ports.
    pub table_size: u32,
    /// Where metrics are served; `None` for nowhere.
    pub listen: Option<SocketAddr>,
    /// TLS and passwords of the metrics, in the form of Prometheus's exporters.
    pub web_config: Option<PathBuf>,
    /// The file of the history; `None` for none.
    pub store: Option<PathBuf>,
    /// Conflicts older than that are deleted.
    pub store_age: Duration,
    /// Bytes of the history at most.
    pub store_size: u64,
    /// Whether conflicts are written to the journal.
    pub journal: Journal,
    /// Where `trace` and `who` ask the agent; `None` for nowhere.
    pub socket: Option<PathBuf>,
    /// The group that may ask.
    pub socket_group: String,
    /// File to record raw events into; `None` for none.
    pub record: Option<PathBuf>,
}

/// Whether conflicts are written to the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journal {
    /// If there is one.
    Auto,
    /// Yes; not to have one is an error.
    On,
    /// No.
    Off,
}

/// Text from a flag or from the environment, by the key's name.
pub type Given<'a> = &'a dyn Fn(&'static str) -> Option<String>;

impl Config {
    /// Puts file, environment and flags together. `file` is the one that was asked for; without it the default one is
    /// read if it is there.
    ///
    /// # Errors
    /// [`Refused`] with exit code 2, saying where the wrong value stands and what would be right.
    pub fn load(file: Option<&Path>, environment: Given<'_>, flags: Given<'_>) -> Result<Self, Refused> {
        let from_file = match file {
            Some(path) => file::read(path)?,
            None => file::read_if_there(Path::new(DEFAULT_FILE))?,
        };
        Self::merge(&from_file, environment, flags)
    }

    fn merge(from_file: &file::Values, environment: Given<'_>, flags: Given<'_>) -> Result<Self, Refused> {
        let mut config = Self::default();
        for key in KEYS {
            let (text, place) = if let Some(text) = flags(key.name) {
                (text, format!("--{}", key.flag()))
            } else if let Some(text) = environment(key.name) {
                (text, key.variable())
            } else if let Some((text, place)) = from_file.get(key.name) {
                (text.clone(), place.clone())
            } else {
                continue;
            };
            (key.set)(&mut config, &text)
                .map_err(|wanted| Refused::usage(format!("{place}: {text:?} will not do: {wanted}")))?;
        }
        Ok(config)
    }

    /// Keys in which another configuration differs from this one and that a running agent cannot change.
    pub fn needing_restart(&self, other: &Self) -> Vec<&'static str> {
        let differs = |key: &&Key| (key.get)(self) != (key.get)(other);
        KEYS.iter().filter(|key| !key.live).filter(differs).map(|key| key.name).collect()
    }
}

impl Default for Config {
    fn default() -> Self {
        keys::defaults()
    }
}
