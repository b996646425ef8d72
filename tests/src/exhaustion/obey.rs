//! Does what an advice says, without a shell: a virtual machine has none, and no sysctl, nsenter or kill either.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::netns::enter_path;

/// Does one command.
pub(super) fn obey(program: &Path, command: &str) -> Result<()> {
    if let Some(rest) = command.strip_prefix("nsenter --net=") {
        let (path, inner) = rest.split_once(' ').context("nsenter without a command")?;
        return within(Path::new(path), || obey(program, inner));
    }
    match command.split_once(' ') {
        Some(("sysctl", words)) => set(words),
        Some(("kill", pid)) => {
            let pid = Pid::from_raw(pid.parse()?).context("no process has that number")?;
            kill_process(pid, Signal::TERM).context("killing")
        }
        Some(("portwatch", words)) => run(program, words),
        _ => bail!("nobody here knows this command"),
    }
}

fn within(path: &Path, work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let inside = || enter_path(path).and_then(|()| work());
    std::thread::scope(|scope| scope.spawn(inside).join())
        .map_err(|_| anyhow::anyhow!("a thread in a network namespace panicked"))?
}

/// `-w net.ipv4.name='value'`
fn set(words: &str) -> Result<()> {
    let (name, value) =
        words.strip_prefix("-w ").and_then(|words| words.split_once('=')).context("sets nothing")?;
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::write(&path, value.trim_matches('\'')).with_context(|| format!("writing {path}"))
}

fn run(program: &Path, words: &str) -> Result<()> {
    let output = Command::new(program).args(words.split(' ')).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(())
}
