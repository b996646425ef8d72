//! What to do where the whole ephemeral range is used up.

use super::{Situation, advice, command};
use crate::model::{Action, Advice, Conflict};

/// The advice for a range without a free port, best first.
pub(super) fn exhausted(conflict: &Conflict, situation: &Situation) -> Vec<Advice> {
    /// Below it lie most ports that programs are configured with.
    const LOW: u16 = 16_384;
    let range = conflict.range;
    let inspect_why = "shows who uses up the range";
    let inspect = advice(Action::Inspect, inspect_why, vec![command::inspect(conflict, situation)]);
    if range.low <= LOW {
        return vec![inspect];
    }
    let why = format!(
        "all of {} to {} is taken for this address: more ports. First make sure that no service is configured below {}",
        range.low, range.high, range.low
    );
    vec![advice(Action::WidenRange, why, vec![command::widen(conflict, situation, LOW)]), inspect]
}
