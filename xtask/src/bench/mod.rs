//! `cargo xtask bench`: what portwatch costs and how it holds up, measured; one file a part. Each part gives its section of
//! docs/performance.md, and says what is not as it must be.

mod document;
mod facts;
mod instructions;
mod scale;
mod storm;
mod targets;
mod userspace;

use anyhow::Result;

pub(crate) use instructions::{check as check_instructions, is_measured};

/// Measure what portwatch costs
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only this part; repeat for more
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(PARTS.iter().map(|part| part.name)))]
    part: Vec<String>,
    /// Only kernels of this series, where a part has machines; repeat for more
    #[arg(long, value_parser = ["6.1", "6.12", "7.x"])]
    kernel: Vec<String>,
    /// Write what was measured into docs/performance.md and the README
    #[arg(long)]
    update_docs: bool,
    /// Take what portwatch adds now for normal, and write it into xtask/bench-limits.toml
    #[arg(long)]
    update_limits: bool,
}

/// The kernels of the machines, unless told otherwise.
const KERNELS: [&str; 3] = ["6.1", "6.12", "7.x"];

impl Args {
    /// The kernels to measure on.
    fn kernels(&self) -> Vec<&str> {
        if self.kernel.is_empty() {
            KERNELS.to_vec()
        } else {
            self.kernel.iter().map(String::as_str).collect()
        }
    }
}

/// Something to measure.
struct Part {
    /// As on the command line and in the marks of docs/performance.md.
    name: &'static str,
    measure: fn(&Args) -> Result<Section>,
}

/// What a part has measured.
#[derive(Debug, Default)]
struct Section {
    /// In Markdown.
    text: String,
    /// What is worse than it must be, or no measurement.
    faults: Vec<String>,
}

/// In the order of docs/performance.md.
const PARTS: &[Part] = &[
    Part { name: "instructions", measure: instructions::section },
    Part { name: "storm", measure: storm::section },
    Part { name: "scale", measure: scale::section },
    Part { name: "userspace", measure: userspace::section },
];

/// Returns the exit code: 1 if something is not as it must be.
pub(crate) fn run(args: &Args) -> Result<i32> {
    let mut faults = Vec::new();
    for part in
        PARTS.iter().filter(|part| args.part.is_empty() || args.part.iter().any(|name| name == part.name))
    {
        let section = (part.measure)(args)?;
        println!("{}", section.text);
        if args.update_docs {
            document::update(part.name, &section.text)?;
        }
        faults.extend(section.faults);
    }
    for fault in &faults {
        println!("NOT AS IT MUST BE: {fault}");
    }
    Ok(i32::from(!faults.is_empty()))
}
