//! The short soak: some hundred random conflicts amid churn. The long one is `cargo xtask soak`.

use super::parts::{Part, Place};
use crate::soak::{self, Order};

/// Conflicts on each backend: a quarter of a minute on this machine, and much the same on an emulated one.
const CONFLICTS: u32 = 600;
const CONFLICTS_EMULATED: u32 = 60;

pub(super) fn part(place: &Place<'_>, backends: &[&str]) -> Part {
    // Where hooks are skipped, only probes see every call: what the others miss there they count, and that is known.
    let backends = if place.preempts { &["kprobe"][..] } else { backends };
    let backends = backends.iter().map(|&backend| backend.to_owned()).collect();
    let only =
        if place.preempts { " (kprobe only: this kernel skips other hooks that are preempted)" } else { "" };
    let conflicts = if place.is_emulated { CONFLICTS_EMULATED } else { CONFLICTS };
    let order = Order { backends, conflicts, seed: None, churn: 6 };
    let mut command = place.lineup(&["soak", "--portwatch", place.portwatch]);
    if place.is_emulated {
        command.extend(["--pids", soak::PIDS_IN_A_MACHINE].map(str::to_owned));
    }
    command.extend(order.words());
    let may_skip = !place.is_emulated;
    let judge = move |played: &super::play::Played| {
        let rows = played.lines.iter().filter_map(|line| soak::parse(line)).collect();
        soak::judge(&soak::Played { rows, code: played.code }, &order, may_skip)?;
        Ok(format!("soak: {} conflicts a backend, none wrong, none missed{only}", order.conflicts))
    };
    Part { name: "soak", command, judge: Box::new(judge) }
}
