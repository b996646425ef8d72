//! What an agent has in memory when nothing happens, and what that is made of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{project, run};

/// The agent says this when everything runs.
const READY: &str = "metrics at ";
/// Two rounds of its counters: what they need is then there.
const SETTLED: Duration = Duration::from_secs(5);
/// Parts with less than so many KiB are added up.
const SMALL: u64 = 100;

/// An agent in a folder of its own; both go with this.
struct Agent {
    child: Child,
    folder: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The table, or why there is none.
pub(super) fn measure() -> Result<String> {
    if !rustix::process::geteuid().is_root() {
        return Ok("The memory of an idle agent: skipped, it needs root.\n".to_owned());
    }
    let mut cargo = Command::new(project::cargo());
    cargo.current_dir(project::root()).args(["build", "--release", "--locked", "--package", "portwatch"]);
    run::quiet(&mut cargo, "build portwatch", "release build for this machine")?;
    let Some(agent) = start(&project::target().join("release").join("portwatch"))? else {
        return Ok("The memory of an idle agent: skipped, this kernel admits no backend.\n".to_owned());
    };
    sleep(SETTLED);
    let of = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", agent.child.id()));
    table(&of("status")?, &of("smaps")?)
}

/// `None` where it ends by itself.
fn start(program: &Path) -> Result<Option<Agent>> {
    let folder = project::target().join("bench").join("agent");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let mut command = Command::new(program);
    command.args(["agent", "--listen", "127.0.0.1:0", "--journal", "off", "--store"]);
    command.arg(folder.join("history.db")).arg("--socket").arg(folder.join("portwatch.sock"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the agent")?;
    let said = child.stderr.take().context("the agent has no standard error")?;
    let agent = Agent { child, folder };
    let mut lines = BufReader::new(said).lines();
    let is_ready = lines.any(|line| line.is_ok_and(|line| line.contains(READY)));
    Ok(is_ready.then_some(agent))
}

fn table(status: &str, smaps: &str) -> Result<String> {
    let most = number(status, "VmHWM:").context("no VmHWM")?;
    let total = number(status, "VmRSS:").context("no VmRSS")?;
    let mut out = String::from("| an idle agent's memory | KiB |\n|---|---:|\n");
    let mut rest = total;
    for (what, size) in parts(smaps).into_iter().filter(|(_, size)| *size >= SMALL) {
        writeln!(out, "| {what} | {size} |")?;
        rest = rest.saturating_sub(size);
    }
    writeln!(
        out,
        "| the rest | {rest} |\n| all of it | {total} |\n| the most it had, at its start | {most} |"
    )?;
    Ok(out)
}

/// What is in memory, by what it is; the largest first.
fn parts(smaps: &str) -> Vec<(String, u64)> {
    let (mut sizes, mut current) = (BTreeMap::<String, u64>::new(), String::new());
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if words.first().is_some_and(|word| !word.ends_with(':')) {
            current = kind(words.get(5..).unwrap_or_default());
        } else if let Some(size) = number(line, "Rss:") {
            *sizes.entry(current.clone()).or_default() += size;
        }
    }
    let mut sizes: Vec<_> = sizes.into_iter().collect();
    sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
    sizes
}

/// By the name of a mapping.
fn kind(name: &[&str]) -> String {
    match name.first() {
        None => "what its threads have allocated, and their stacks".to_owned(),
        Some(&"[heap]") => "what its first thread has allocated".to_owned(),
        Some(name) if name.starts_with("anon_inode:bpf-map") => "the ring, which is the kernel's".to_owned(),
        Some(name) => format!("`{}`", name.rsplit('/').next().unwrap_or(name)),
    }
}

/// The number behind a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_added_up_by_what_they_are() {
        let smaps = "55-56 r-xp 00000000 fe:00 1   /usr/bin/portwatch\nRss:    5000 kB\n56-57 r--p 0 fe:00 1 /usr/bin/portwatch\n\
            Rss: 1000 kB\n7f-80 rw-p 00000000 00:00 0\nSize: 9000 kB\nRss: 700 kB\n80-81 rw-p 0 00:00 0 [heap]\nRss: 20 kB\n";
        let table = table("VmHWM:\t 9000 kB\nVmRSS:\t  6750 kB\n", smaps).expect("a table");
        assert!(table.contains("| `portwatch` | 6000 |"), "{table}");
        assert!(table.contains("| what its threads have allocated, and their stacks | 700 |"), "{table}");
        assert!(table.contains("| the rest | 50 |\n| all of it | 6750 |"), "{table}");
        assert!(table.contains("at its start | 9000 |"), "{table}");
    }
}
