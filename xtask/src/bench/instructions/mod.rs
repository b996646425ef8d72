//! What taking, giving back and being refused a port costs under each watcher, in guest instructions.
//!
//! Deterministic: under QEMU's instruction counting a guest nanosecond is one instruction.

mod limits;
mod machine;
mod quick;
mod row;
mod table;

use std::fmt::Write as _;

use anyhow::Result;

use super::{Args, Section, document};
use crate::setup::peers;
use limits::Limits;
use machine::Effort;
pub(crate) use quick::{check, is_measured};

/// No watcher at all: what the others are compared with.
const NONE: &str = "none";
/// portwatch's own, the cheapest first.
const BACKENDS: [&str; 3] = ["fexit", "kprobe", "tracepoint"];
/// The kernel whose costs the README tells.
const SUMMARY: &str = "6.12";
/// What portwatch is compared with most.
const TRACER: &str = "tcptracer";
/// The operation that everybody pays for.
const CONNECTION: &str = "tcp-connection";

/// Empty programs in place of that backend's.
fn floor(backend: &str) -> String {
    format!("floor-{backend}")
}

pub(super) fn section(args: &Args) -> Result<Section> {
    let limits = Limits::read()?;
    let peers = peers::obtain()?;
    let mut section = Section::default();
    for series in args.kernels() {
        let own = BACKENDS.iter().flat_map(|backend| [(*backend).to_owned(), floor(backend)]);
        let none = std::iter::once(NONE.to_owned());
        let watchers: Vec<String> =
            none.clone().chain(own).chain(peers.commands.iter().cloned()).chain(none).collect();
        let measured = machine::measure(series, &watchers, &peers.files, Effort::WHOLE)?;
        let verdicts = limits.targets(&measured)?;
        let text = format!("{}\n{}", table::whole(&measured)?, table::targets(&verdicts));
        println!("{text}");
        if args.update_docs {
            document::update(&format!("instructions-{series}"), &text)?;
        }
        section.faults.extend(measured.faults());
        section.faults.extend(verdicts.into_iter().filter_map(|verdict| verdict.fault(&measured.release)));
        if args.update_limits {
            // Another run may have recorded another kernel's meanwhile.
            Limits::read()?.record(&measured)?;
        } else {
            section.faults.extend(limits.regressions(&measured)?);
        }
        if args.update_docs && series == SUMMARY {
            document::update_in("README.md", "summary", &table::summary(&measured)?)?;
        }
    }
    writeln!(section.text, "The other tools: {}, of Debian bookworm.", peers.versions.join(", "))?;
    Ok(section)
}
