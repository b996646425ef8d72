//! The scenarios: each makes a real conflict whose culprit is known, in a network namespace of its own.
//!
//! A scenario has two halves, so that those about holders from before portwatch's start can hold first.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::actor::Actor;
use crate::case::{Case, Holder, Refusal};
use crate::cgroup::{self, Cgroup};
use crate::feature::Feature;
use crate::netns::{Netns, Range};
use crate::offspring::Offspring;
use crate::portrait::Place;
use crate::product::Backend;
use crate::program::Program;

mod bound;
mod client;
mod client_odd;
mod crowd;
mod dying;
mod earlier;
mod exhaust;
mod hold;
mod kernel;
mod listen;
mod moved;
mod name;
mod place;
mod quiet;
mod quiet_more;
mod refuse;
mod repeat;
mod reused;
mod sctp;
mod storm;
mod timewait;
mod ways;

pub(crate) use timewait::{TIME_WAIT, wait_for_state};

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
    /// Links of the kind `vxlan`.
    Vxlan,
    /// Linux 5.6.
    PidfdGetfd,
    Feature(Feature),
}

impl Needs {
    /// Why the scenario cannot be played here under a backend, or unwatched, if it cannot.
    pub(crate) fn lacking(self, backend: Option<Backend>) -> Option<&'static str> {
        match self {
            Self::Ipv6 if !Path::new("/proc/net/if_inet6").exists() => Some("this kernel has no IPv6"),
            Self::Cgroup2 if !cgroup::is_writable() => {
                Some("no cgroup2 file system that could be written to")
            }
            Self::Vxlan => kernel::lacks_vxlan(),
            Self::PidfdGetfd => moved::lacks_pidfd_getfd(),
            Self::Feature(feature) => feature.lacking(backend),
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
        reused::SCENARIOS,
        repeat::SCENARIOS,
        quiet::SCENARIOS,
        dying::SCENARIOS,
        moved::SCENARIOS,
        name::SCENARIOS,
        place::SCENARIOS,
        kernel::SCENARIOS,
        client_odd::SCENARIOS,
        listen::SCENARIOS,
        crowd::SCENARIOS,
        exhaust::SCENARIOS,
        storm::SCENARIOS,
        quiet_more::SCENARIOS,
        sctp::SCENARIOS,
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
    offspring: Vec<Offspring>,
    /// Where actors run, the present place last. After the cast: a cgroup can only be removed when nobody is in it.
    places: Vec<(Cgroup, Place)>,
    /// Copies of the lineup; removed last.
    programs: Vec<Program>,
    /// Who else is in the way of the refusal to come.
    also: Vec<Holder>,
    /// Conflicts before the last one.
    earlier: Vec<(Holder, Refusal)>,
}

impl Stage {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            netns: Netns::new(RANGE)?,
            elsewhere: Vec::new(),
            cast: Vec::new(),
            offspring: Vec::new(),
            places: Vec::new(),
            programs: Vec::new(),
            also: Vec::new(),
            earlier: Vec::new(),
        })
    }

    /// Starts an actor in the namespace of the conflict, and in the service if the stage has one.
    pub(crate) fn actor(&self, comm: impl AsRef<OsStr>) -> Result<Actor> {
        let mut actor = Actor::start(&self.netns, comm.as_ref())?;
        if let Some((cgroup, place)) = self.places.last() {
            cgroup.admit(actor.process.pid)?;
            actor.process.portrait.place = Some(*place);
        }
        Ok(actor)
    }

    /// Makes everybody who comes from now on part of one service.
    fn become_service(&mut self, unit: &'static str) -> Result<()> {
        self.move_to(Place { path: unit, unit: Some(unit), ..Place::default() })
    }

    /// Has everybody who comes from now on run in a cgroup.
    fn move_to(&mut self, place: Place) -> Result<()> {
        self.places.push((Cgroup::new(place.path)?, place));
        Ok(())
    }

    /// Removes the present cgroup. Nobody may be in it any more.
    fn abandon_place(&mut self) -> Result<()> {
        let (cgroup, _) = self.places.pop().context("the stage has no cgroup")?;
        cgroup.remove()
    }

    /// Keeps a child until the stage is struck.
    fn adopt(&mut self, child: Offspring) {
        self.offspring.push(child);
    }

    /// A copy of the lineup under another path.
    fn program(&mut self, name: &OsStr) -> Result<PathBuf> {
        let program = Program::copy(name)?;
        let path = program.path();
        self.programs.push(program);
        Ok(path)
    }

    /// Starts an actor in a namespace of its own.
    fn actor_elsewhere(&mut self, comm: &str) -> Result<Actor> {
        let netns = Netns::new(RANGE)?;
        let actor = Actor::start(&netns, OsStr::new(comm))?;
        self.elsewhere.push(netns);
        Ok(actor)
    }

    /// The way to a namespace beside the conflict's.
    fn another_netns(&mut self) -> Result<PathBuf> {
        let netns = Netns::new(RANGE)?;
        let path = netns.path();
        self.elsewhere.push(netns);
        Ok(path)
    }

    /// Keeps an actor and its sockets until the stage is struck.
    fn keep(&mut self, actor: Actor) {
        self.cast.push(actor);
    }

    /// Names another who is in the way of the refusal to come.
    fn also(&mut self, holder: Holder) {
        self.also.push(holder);
    }

    /// Tells of a conflict of its own before the one that ends the scenario.
    fn happened(&mut self, holder: Holder, refusal: Refusal) {
        self.earlier.push((holder, refusal));
    }

    /// Takes back the actor that was kept last.
    fn recall(&mut self) -> Result<Actor> {
        self.cast.pop().context("nobody was kept on this stage")
    }

    /// Sends everybody home; the namespaces stay, so that their numbers stay theirs.
    pub(crate) fn dismiss(&mut self) {
        self.cast.clear();
        self.offspring.clear();
        self.places.clear();
        self.programs.clear();
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
    pub(crate) fn play(&self, stage: &mut Stage, holder: Holder) -> Result<Vec<Case>> {
        let refusal = (self.refuse)(stage, &holder).context("staging the refusal")?;
        let also = std::mem::take(&mut stage.also);
        let (netns, range) = (stage.netns.inode, stage.netns.range);
        let case = |holder, also, refusal| Case { holder, also, refusal, netns, range };
        let earlier = stage.earlier.drain(..).map(|(holder, refusal)| case(holder, Vec::new(), refusal));
        let mut cases: Vec<_> = earlier.collect();
        cases.push(case(holder, also, refusal));
        Ok(cases)
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
