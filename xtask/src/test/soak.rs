//! The short soak: some hundred random conflicts amid churn. The long one is `cargo xtask soak`.

use super::parts::{Part, Place};
use crate::soak::{self, Order};

/// Conflicts on each backend, and ports: so few that the same connections come again. A table that keeps the record of an earlier
/// one then gives a wrong name within seconds.
const CONFLICTS: u32 = 600;
const PORTS: u16 = 200;
/// The same on an emulated machine, in one namespace.
const CONFLICTS_EMULATED: u32 = 120;
const PORTS_EMULATED: u16 = 100;

pub(super) fn part(place: &Place<'_>, backends: &[&str]) -> Part {
    // Where hooks are skipped, only probes see every call: what the others miss there they count, and that is known.
    let backends = if place.preempts { &["kprobe"][..] } else { backends };
    let backends = backends.iter().map(|&backend| backend.to_owned()).collect();
    let only =
        if place.preempts { " (kprobe only: this kernel skips other hooks that are preempted)" } else { "" };
    let (conflicts, ports, troupes) = if place.is_emulated {
        (CONFLICTS_EMULATED, PORTS_EMULATED, Some(1))
    } else {
        (CONFLICTS, PORTS, None)
    };
    let order = Order { backends, conflicts, seed: None, churn: 6, ports: Some(ports), troupes };
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
