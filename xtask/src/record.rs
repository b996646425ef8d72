//! `cargo xtask record`: recordings of every kernel of the matrix, as fixtures for the tests that need no privilege.
//!
//! In each machine portwatch records while some scenarios play, and a replay there must say the same byte for byte. The
//! recording and what was said live come out through the console, as hexadecimal text.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::build::{self, Profile};
use crate::kernels::{self, Arch};
use crate::vm::{Machine, run_all};
use crate::{project, run};

/// Make the recordings that the tests replay, on every kernel of the matrix
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Only this series: 5.10, 6.1, 6.12, 7.x; repeat for more
    #[arg(long)]
    kernel: Vec<String>,
    /// Only this architecture
    #[arg(long, value_enum)]
    arch: Option<Arch>,
}

/// Machines, and the backends to record with: the best of each kernel, and once every one.
const MATRIX: [(&str, Arch, &[&str]); 6] = [
    ("5.10", Arch::X86_64, &["fexit"]),
    ("6.1", Arch::X86_64, &["fexit"]),
    ("6.12", Arch::X86_64, &["fexit", "kprobe", "tracepoint"]),
    ("7.x", Arch::X86_64, &["kprobe"]),
    ("6.12", Arch::Aarch64, &["fexit"]),
    ("6.1", Arch::Aarch64, &["kprobe"]),
];

/// One of each kind of holder, and of what the correlator must look up.
const SCENARIOS: [&str; 16] = [
    "preexisting-tcp4-client",
    "tcp4-client",
    "tcp4-listener",
    "udp4-client",
    "own-socket",
    "range-exhausted",
    "previous-instance",
    "reuseport-of-another-user",
    "wildcard-against-two-specific",
    "hostile-process-name",
    "time-wait-owner-exited",
    "inherited-parent-dead",
    "kernel-socket",
    "unit-of-the-dead",
    "restart-loop",
    "sctp4-client",
];

pub(crate) fn run(args: &Args) -> Result<i32> {
    let is_wanted = |series: &str, arch: Arch| {
        (args.kernel.is_empty() || args.kernel.iter().any(|wanted| wanted == series))
            && args.arch.is_none_or(|wanted| wanted == arch)
    };
    let wanted: Vec<_> = MATRIX.into_iter().filter(|(series, arch, _)| is_wanted(series, *arch)).collect();
    ensure!(
        !wanted.is_empty(),
        "no such machine; there are 5.10, 6.1, 6.12 and 7.x on x86_64, 6.1 and 6.12 on aarch64"
    );
    for (series, arch, backends) in wanted {
        for (backend, made) in backends.iter().zip(record(series, arch, backends)?) {
            made.save(&format!("{series}-{}-{backend}", arch.name()))?;
        }
    }
    Ok(0)
}

/// What came out of a machine.
#[derive(Debug, Default)]
struct Made {
    recording: Vec<u8>,
    reports: Vec<u8>,
}

fn record(series: &str, arch: Arch, backends: &[&str]) -> Result<Vec<Made>> {
    let kernel = kernels::obtain(arch, series)?;
    let binaries = build::static_for(arch, Profile::Lab)?;
    let commands: Vec<_> = backends.iter().map(|backend| command(backend)).collect();
    let mut made: Vec<_> = backends.iter().map(|_| Made::default()).collect();
    let mut fault = None;
    let codes = run_all(&Machine::usual(&kernel), &binaries, &commands, &mut |index, line| {
        let taken = made.get_mut(index).map_or(Ok(false), |made| made.take(line));
        match taken {
            Ok(true) => {}
            Ok(false) => run::pass_on(line),
            Err(error) => fault = fault.take().or(Some(error)),
        }
    })?;
    ensure!(codes.iter().all(|&code| code == 0), "Linux {series}: recording failed; its own words are above");
    fault.map_or(Ok(made), Err)
}

fn command(backend: &str) -> Vec<String> {
    let words = ["/init", "record", "--portwatch", "/bin/portwatch", "--print", "--backend", backend];
    let only = SCENARIOS.iter().flat_map(|name| ["--only", *name]);
    words.into_iter().chain(only).map(str::to_owned).collect()
}

impl Made {
    /// `RECORDED rec|json HEX`; whether the line was one.
    fn take(&mut self, line: &str) -> Result<bool> {
        let Some((what, text)) = line.strip_prefix("RECORDED ").and_then(|rest| rest.split_once(' ')) else {
            return Ok(false);
        };
        let bytes = bytes(text).with_context(|| format!("the console spoilt a line: {line}"))?;
        if what == "rec" { &mut self.recording } else { &mut self.reports }.extend(bytes);
        Ok(true)
    }

    fn save(&self, name: &str) -> Result<()> {
        ensure!(!self.recording.is_empty() && !self.reports.is_empty(), "{name}: nothing came out");
        let folder: PathBuf = project::root().join("portwatch/tests/replay");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{name}.rec")), &self.recording)?;
        fs::write(folder.join(format!("{name}.json")), &self.reports)?;
        println!("{name}: {} bytes recorded, {} bytes of reports", self.recording.len(), self.reports.len());
        Ok(())
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
    if rest.is_empty() { bytes } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_bytes_are_taken_and_no_others() {
        let mut made = Made::default();
        assert!(made.take("RECORDED rec 00ff").expect("bytes"));
        assert!(made.take("RECORDED json 7b").expect("bytes"));
        assert!(!made.take("ok tcp4-client").expect("no bytes"));
        assert!(made.take("RECORDED rec 0").is_err() && made.take("RECORDED rec zz").is_err());
        assert_eq!((made.recording, made.reports), (vec![0, 255], b"{".to_vec()));
    }
}
