//! `cargo xtask demo`: builds portwatch and shows it catching a thief, on this machine or in a virtual one.

use std::env;
use std::path::Path;

use anyhow::Result;

use crate::build::{self, Profile};
use crate::kernels::{self, Arch};
use crate::run;
use crate::vm::{Machine, run_guest};

/// Build portwatch, stage a real conflict and see it name the culprit
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Run it in a virtual machine with this kernel: for hosts that admit no BPF
    #[arg(long, value_name = "KERNEL")]
    vm: Option<String>,
    /// Arguments for `portwatch demo`, such as -o json
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// The exit code with which portwatch says that this host admits no hooks.
const UNSUPPORTED: i32 = 4;

pub(crate) fn run(args: &Args) -> Result<i32> {
    match &args.vm {
        Some(series) => in_a_machine(series, &args.arguments),
        None => here(&args.arguments),
    }
}

fn here(arguments: &[String]) -> Result<i32> {
    let portwatch = build::portwatch()?;
    let code = run::visible(run::as_root(&portwatch)?.arg("demo").args(arguments))?;
    if code == 0 && arguments.is_empty() {
        eprintln!("Next, watch this machine: sudo {} trace", shown(&portwatch).display());
    }
    if code == UNSUPPORTED {
        eprintln!(
            "This host admits no kernel hooks. In a virtual machine it works all the same: cargo xtask demo --vm 6.12"
        );
    }
    Ok(code)
}

/// The path from the present folder, where that is shorter.
fn shown(path: &Path) -> &Path {
    let here = env::current_dir().ok();
    here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path)
}

fn in_a_machine(series: &str, arguments: &[String]) -> Result<i32> {
    let kernel = kernels::obtain(Arch::X86_64, series)?;
    let binaries = build::static_for(Arch::X86_64, Profile::Lab)?;
    eprintln!("  boot Linux {}: emulated, so everything takes some seconds", kernel.release);
    let mut command = vec!["/bin/portwatch".to_owned(), "demo".to_owned()];
    command.extend_from_slice(arguments);
    run_guest(&Machine::usual(&kernel), &binaries, &command, &mut run::pass_on)
}
