//! `lineup soak`: thousands of random conflicts amid processes and ports that come and go, each report compared with
//! what really happened.
//!
//! A troupe is a long-lived process in a network namespace of its own. It forks holders and victims, and writes down
//! what they did. The director (this file) starts portwatch, the troupes and the bystanders; the referee joins reports
//! with what was written down.

mod act;
mod bystander;
mod child;
mod dice;
mod holder;
mod judge;
mod kind;
mod players;
mod ports;
mod referee;
mod socket;
mod stage;
mod summary;
mod table;
mod troupe;
mod truth;
mod victim;

pub(crate) use bystander::BystanderArgs;
pub(crate) use dice::Dice;
pub(crate) use stage::{Args, run};
pub(crate) use troupe::TroupeArgs;

/// Serves as a troupe until every conflict was staged and answered for.
pub(crate) fn perform(args: &TroupeArgs) -> anyhow::Result<()> {
    troupe::perform(args)
}

/// Takes and gives back ports until the director ends.
pub(crate) fn pass_by(args: &BystanderArgs) -> anyhow::Result<()> {
    bystander::pass_by(args)
}
