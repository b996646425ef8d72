//! Who watches while it is measured: nobody, portwatch, empty programs in its place, or another tool.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use portwatch::probe;

use super::floor::Floor;
use super::peer::Peer;
use crate::product::{self, Backend, Portwatch};

/// As it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Watcher {
    None,
    Portwatch(Backend),
    Floor(probe::Backend),
    /// Another tool, by its command: its path and arguments, with a space between.
    Peer(String),
}

/// One that has started.
pub(super) enum Running {
    None,
    Portwatch(Portwatch),
    Floor(#[expect(dead_code, reason = "dropping it detaches")] Floor),
    Peer(Peer),
}

/// How a start went.
pub(super) enum Started {
    Ready(Running),
    /// This kernel does not admit it, in its own words.
    Unavailable(String),
}

impl FromStr for Watcher {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let backend = |name: &str| probe::Backend::ALL.iter().copied().find(|one| one.name() == name);
        Ok(match text {
            "none" => Self::None,
            "fexit" => Self::Portwatch(Backend::Fexit),
            "kprobe" => Self::Portwatch(Backend::Kprobe),
            "tracepoint" => Self::Portwatch(Backend::Tracepoint),
            _ => match text.strip_prefix("floor-") {
                Some(name) => Self::Floor(backend(name).with_context(|| format!("no backend {name}"))?),
                None => {
                    ensure!(
                        text.starts_with('/'),
                        "{text:?} is no watcher: none, a backend, floor-BACKEND, /PATH"
                    );
                    Self::Peer(text.to_owned())
                }
            },
        })
    }
}

impl fmt::Display for Watcher {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("none"),
            Self::Portwatch(backend) => out.write_str(backend.name()),
            Self::Floor(backend) => write!(out, "floor-{}", backend.name()),
            // A script is called by its own name, not by that of its interpreter.
            Self::Peer(command) => out.write_str(command.rsplit('/').next().unwrap_or(command)),
        }
    }
}

impl Watcher {
    /// Whether it is another tool, which need not be able to do its work on this kernel.
    pub(super) fn is_peer(&self) -> bool {
        matches!(self, Self::Peer(_))
    }

    /// Starts it and waits until it watches.
    pub(super) fn start(&self, program: &Path) -> Result<Started> {
        Ok(Started::Ready(match self {
            Self::None => Running::None,
            Self::Portwatch(backend) => match Portwatch::start_unheard(program, *backend, 4)? {
                product::Started::Ready(portwatch) => Running::Portwatch(portwatch),
                product::Started::Unavailable(reason) => return Ok(Started::Unavailable(reason)),
            },
            Self::Floor(backend) => Running::Floor(Floor::attach(*backend)?),
            Self::Peer(command) => match Peer::start(command)? {
                Ok(peer) => Running::Peer(peer),
                Err(words) => return Ok(Started::Unavailable(words)),
            },
        }))
    }
}

impl Running {
    /// Its process.
    pub(super) fn pid(&self) -> Option<u32> {
        match self {
            Self::None | Self::Floor(_) => None,
            Self::Portwatch(portwatch) => Some(portwatch.pid()),
            Self::Peer(peer) => Some(peer.pid()),
        }
    }

    /// Ends it; an error if it had gone wrong meanwhile.
    pub(super) fn stop(&mut self) -> Result<()> {
        match self {
            Self::None | Self::Floor(_) => Ok(()),
            Self::Portwatch(portwatch) => {
                let faults = portwatch.stop()?;
                if !faults.is_empty() {
                    bail!("portwatch misbehaved: {}", faults.join("; "));
                }
                Ok(())
            }
            Self::Peer(peer) => peer.stop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for name in
            ["none", "fexit", "kprobe", "tracepoint", "floor-fexit", "floor-kprobe", "floor-tracepoint"]
        {
            assert_eq!(name.parse::<Watcher>().unwrap().to_string(), name);
        }
        let script = "/peers/bpftrace /peers/tcpconnect.bt";
        assert_eq!(script.parse::<Watcher>().unwrap().to_string(), "tcpconnect.bt");
        assert_eq!("/peers/tcpconnect".parse::<Watcher>().unwrap().to_string(), "tcpconnect");
        assert!("tcpconnect".parse::<Watcher>().is_err());
        assert!("floor-none".parse::<Watcher>().is_err());
    }
}
