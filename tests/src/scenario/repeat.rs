//! The restart loop: a supervisor starts the service again and again, and it is one conflict all the while.

use anyhow::{Context, Result};

use super::Watch::FromTheStart;
use super::refuse::{VICTIM, bind_by};
use super::{Needs, Scenario, Stage, hold};
use crate::case::{Holder, Refusal};
use crate::wire::Transport::Tcp4;

const STARTS: u64 = 4;
const TRIES: u64 = 5;

pub(super) const SCENARIOS: &[Scenario] = &[Scenario {
    name: "restart-loop",
    watch: FromTheStart,
    needs: Needs::Nothing,
    hold: |stage| hold::tcp_client(stage, "thief-steady", Tcp4),
    refuse: restart_loop,
}];

fn restart_loop(stage: &mut Stage, thief: &Holder) -> Result<Refusal> {
    let mut refusals = Vec::new();
    for _ in 0..STARTS {
        let mut victim = stage.actor(VICTIM)?;
        for _ in 0..TRIES {
            refusals.push(bind_by(&mut victim, Tcp4, &[], thief.local)?);
        }
        stage.keep(victim);
    }
    let victims = refusals.iter().flat_map(|refusal| refusal.victims.clone()).collect();
    let last = refusals.pop().context("a loop without a turn")?;
    let from = refusals.first().map_or(last.when, |first| first.when).from;
    let when = crate::clock::Window { from, ..last.when };
    Ok(Refusal { victims, count: STARTS * TRIES, when, ..last })
}
