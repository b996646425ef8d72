//! The scenarios: each makes a real conflict whose culprit is known, in a network namespace of its own.
//!
//! A scenario has two halves, so that those about holders from before portwatch's start can hold first.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::actor::Actor;
use crate::case::{Case, Holder, Refusal};
use crate::cgroup::{self, Cgroup};
use crate::netns::{Netns, Range};

mod bound;
mod client;
mod earlier;
mod hold;
mod quiet;
mod refuse;
mod repeat;
mod timewait;

/// The ephemeral range of a stage: narrow, and unlike any kernel's own, so that a report with the host's is caught.
pub(crate) const RANGE: Range = Range { low: 42_000, high: 42_999 };

/// A number outside `RANGE`, for servers.
pub(crate) const SERVICE_PORT: u16 = 8_080;

/// When portwatch is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Before anybody holds anything.
    FromTheStart,
    /// Between the holder and the refusal.
    AfterHolder,
}

/// What a scenario cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Ipv6,
    /// A writable cgroup hierarchy of version 2.
    Cgroup2,
}

impl Needs {
    /// Why the scenario cannot be played here, if it cannot.
    pub(crate) fn lacking(self) -> Option<&'static str> {
        match self {
            Self::Ipv6 if !Path::new("/proc/net/if_inet6").exists() => Some("this kernel has no IPv6"),
            Self::Cgroup2 if !cgroup::is_writable() => {
                Some("no cgroup2 file system that could be written to")
            }
            Self::Nothing | Self::Ipv6 | Self::Cgroup2 => None,
        }
    }
}

/// A conflict to stage.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) watch: Watch,
    pub(crate) needs: Needs,
    pub(crate) hold: fn(&mut Stage) -> Result<Holder>,
    pub(crate) refuse: fn(&mut Stage, &Holder) -> Result<Refusal>,
}

/// Every scenario, those that hold before the start first.
pub(crate) fn all() -> impl Iterator<Item = &'static Scenario> {
    [
        earlier::SCENARIOS,
        client::SCENARIOS,
        bound::SCENARIOS,
        timewait::SCENARIOS,
        repeat::SCENARIOS,
        quiet::SCENARIOS,
    ]
    .into_iter()
    .flatten()
}

/// Those of the given names, or all when none is given.
pub(crate) fn selected(only: &[String]) -> Result<Vec<&'static Scenario>> {
    let is_known = |name: &String| all().any(|scenario| scenario.name == name);
    if let Some(unknown) = only.iter().find(|name| !is_known(name)) {
        let names: Vec<_> = all().map(|scenario| scenario.name).collect();
        bail!("there is no scenario named {unknown}; there are: {}", names.join(" "));
    }
    Ok(all().filter(|scenario| only.is_empty() || only.iter().any(|name| name == scenario.name)).collect())
}

/// Where a scenario plays: its namespace and everybody who must stay alive until the report was checked.
pub(crate) struct Stage {
    pub(crate) netns: Netns,
    elsewhere: Vec<Netns>,
    cast: Vec<Actor>,
    /// After the cast: a cgroup can only be removed when nobody is left in it.
    cgroup: Option<Cgroup>,
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { netns: Netns::new(RANGE)?, elsewhere: Vec::new(), cast: Vec::new(), cgroup: None })
    }

    /// Starts an actor in the namespace of the conflict, and in the service if the stage has one.
    pub(crate) fn actor(&self, comm: impl AsRef<OsStr>) -> Result<Actor> {
        let actor = Actor::start(&self.netns, comm.as_ref())?;
        if let Some(cgroup) = &self.cgroup {
            cgroup.admit(actor.process.pid)?;
        }
        Ok(actor)
    }

    /// Makes everybody who comes from now on part of one service.
    fn become_service(&mut self, unit: &str) -> Result<()> {
        self.cgroup = Some(Cgroup::new(unit)?);
        Ok(())
    }

    /// Starts an actor in a namespace of its own.
    fn actor_elsewhere(&mut self, comm: &str) -> Result<Actor> {
        let netns = Netns::new(RANGE)?;
        let actor = Actor::start(&netns, OsStr::new(comm))?;
        self.elsewhere.push(netns);
        Ok(actor)
    }

    /// Keeps an actor and its sockets until the stage is struck.
    fn keep(&mut self, actor: Actor) {
        self.cast.push(actor);
    }

    /// Takes back the actor that was kept last.
    fn recall(&mut self) -> Result<Actor> {
        self.cast.pop().context("nobody was kept on this stage")
    }

    /// Sends everybody home; the namespaces stay, so that their numbers stay theirs.
    pub(crate) fn dismiss(&mut self) {
        self.cast.clear();
        self.cgroup = None;
    }

    /// The namespaces in which this stage may be reported on.
    pub(crate) fn is_here(&self, netns: u64) -> bool {
        self.netns.inode == netns || self.elsewhere.iter().any(|other| other.inode == netns)
    }
}

impl Scenario {
    /// The first half.
    pub(crate) fn set_up(&self) -> Result<(Stage, Holder)> {
        let mut stage = Stage::new()?;
        let holder = (self.hold)(&mut stage).context("staging the holder")?;
        Ok((stage, holder))
    }

    /// The second half.
    pub(crate) fn play(&self, stage: &mut Stage, holder: Holder) -> Result<Case> {
        let refusal = (self.refuse)(stage, &holder).context("staging the refusal")?;
        Ok(Case { holder, refusal, netns: stage.netns.inode, range: stage.netns.range })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_a_log_line_and_unique() {
        let mut names: Vec<_> = all().map(|scenario| scenario.name).collect();
        assert!(names.iter().all(|name| !name.contains(char::is_whitespace)));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn servers_do_not_stand_in_the_way_of_clients() {
        assert!(!RANGE.contains(SERVICE_PORT));
    }
}
