//! What is refused, what fails half way, and what is left when portwatch is killed.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portwatch::ports::PortList;
use rustix::mount::MountFlags;

use super::stage::{FILE, FOLDER, KEY, Stage, cover, list, set, uncover};
use super::{expect, notes};

const NOBODY: u32 = 65_534;
const STATE: &str = "/run/portwatch-reserve/state.json";

/// Nonsense is wrong usage, with a reason, and changes nothing.
pub(super) fn refused(stage: &Stage) -> Result<String> {
    let cases = [
        ("reserve 0", "from 1 to 65535"),
        ("reserve 65536", "from 1 to 65535"),
        ("reserve 9-8", "write 8-9"),
        ("reserve 1-65535", "none would be left"),
        ("reserve 1024-60990", "would be left"),
        ("reserve 8080 --netns /etc", "not a network namespace; give self"),
        ("reserve 8080 --netns all", "name one"),
        ("reserve", "<PORT>"),
        ("reserve 80/tcp", "from 1 to 65535"),
    ];
    for (line, part) in cases {
        let said = stage.run(line)?;
        ensure!(said.code == Some(2) && said.err.contains(part), "{line}: {:?} {}", said.code, said.err);
        ensure!(said.out.is_empty() && said.err.lines().count() == 1, "{line}: {} {}", said.out, said.err);
    }
    expect("")?;
    Ok(format!("{} ways", cases.len()))
}

/// Nobody may not change anything, and may see what would be done.
pub(super) fn unprivileged(stage: &Stage) -> Result<String> {
    let file = File::open(&stage.program).context("opening portwatch")?;
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    let stage = Stage { program: by_descriptor.into(), rounds: 0 };
    for (line, code) in
        [("reserve 50010", 4), ("unreserve 50010", 4), ("reserve --persist --dry-run 50010", 0)]
    {
        let output = stage.command(line).uid(NOBODY).gid(NOBODY).output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(code), "{line}: {} {words}", output.status);
        ensure!(code == 0 || words.contains("as root"), "no remedy: {words}");
    }
    expect("")?;
    Ok("exit code 4 and the remedy".to_owned())
}

/// Fits a terminal, and a reader who has enough is no failure.
pub(super) fn columns(stage: &Stage) -> Result<String> {
    set(&(20_001..30_000).step_by(2).map(|port| port.to_string()).collect::<Vec<_>>().join(","))?;
    let output = stage.command("reserve --persist 50010 40000-40099").env("COLUMNS", "60").output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{}", output.status);
    for line in text.lines() {
        ensure!(line.chars().count() <= 60 && line == line.trim_end(), "wider than 60, or blanks: {line}|");
    }
    ensure!(text.contains("51 times likelier"), "nothing of the skew: {text}");
    let mut child = stage.command("unreserve --persist 50010").stdout(Stdio::piped()).spawn()?;
    drop(child.stdout.take());
    let status = child.wait()?;
    ensure!(status.success(), "a closed pipe ended it with {status}");
    Ok(format!("{} lines", text.lines().count()))
}

/// The kernel's list is changed and the file cannot be: both is said.
pub(super) fn half_done(stage: &Stage) -> Result<String> {
    let read_only = |stage: &Stage| {
        cover(FOLDER, MountFlags::RDONLY, None)?;
        failed_half(stage, 50_010, "Read-only file system")
    };
    let full = |stage: &Stage| {
        cover(FOLDER, MountFlags::empty(), Some(c"size=8k"))?;
        fs::write(Path::new(FOLDER).join("filler"), [b'#'; 8192])?;
        failed_half(stage, 50_020, "No space left on device")?;
        let left: Vec<_> = fs::read_dir(FOLDER)?.flatten().map(|entry| entry.file_name()).collect();
        ensure!(left == ["filler"], "left in the folder: {left:?}");
        Ok(())
    };
    for check in [&read_only as &dyn Fn(&Stage) -> Result<()>, &full] {
        let result = check(stage);
        uncover(FOLDER)?;
        result?;
    }
    expect("50010,50020")?;
    stage.json("reserve --persist 50010 50020", 0)?;
    ensure!(fs::read_to_string(FILE)?.ends_with("= 50010,50020\n"), "not made good");
    Ok("said, and made good by the same command again".to_owned())
}

fn failed_half(stage: &Stage, port: u16, why: &str) -> Result<()> {
    let said = stage.json(&format!("reserve --persist {port}"), 1)?;
    let error = said["file"]["error"].as_str().unwrap_or_default();
    ensure!(error.contains(why) && error.contains("as it was"), "{said}");
    ensure!(said["kernel"]["added"] == *port.to_string() && said["kernel"]["error"].is_null(), "{said}");
    let text = stage.run(&format!("reserve --persist {port}"))?;
    ensure!(text.code == Some(1) && text.out.starts_with("Half done"), "{}", text.out);
    Ok(())
}

/// Killed at any moment: the file is the old one or the new one, and what others reserved is in the list.
pub(super) fn killed(stage: &Stage) -> Result<String> {
    let block = "40001-40100";
    let began = Instant::now();
    stage.json(&format!("reserve --persist {block}"), 0)?;
    let whole = began.elapsed();
    stage.json(&format!("unreserve --persist {block}"), 0)?;
    set("8080")?;
    let (mut old, mut new) = (0, 0);
    let rounds = u32::from(stage.rounds);
    for round in 0..rounds {
        let what = if round % 2 == 0 { "reserve" } else { "unreserve" };
        let mut child = stage.command(&format!("{what} --persist {block}")).stdout(Stdio::null()).spawn()?;
        // From at once to when it has long ended.
        thread::sleep(whole.mul_f64(2.0 * f64::from(round) / f64::from(rounds)));
        child.kill()?;
        child.wait()?;
        match fs::read_to_string(FILE) {
            Ok(text) => {
                let good = format!("# portwatch reserve: {block}\n{KEY} = {block}\n");
                ensure!(text == good, "half a file: {text}");
                new += 1;
            }
            Err(_) => old += 1,
        }
        let list = list()?;
        ensure!(list == "8080" || list == format!("8080,{block}"), "half a list: {list}");
    }
    stage.json(&format!("reserve --persist {block}"), 0)?;
    stage.json(&format!("unreserve --persist {block}"), 0)?;
    expect("8080")?;
    ensure!(fs::read_dir(FOLDER)?.next().is_none(), "something is left in {FOLDER}");
    ensure!(old > 0 && new > 0, "killed always at the same moment: {old} without a file, {new} with one");
    Ok(format!("{rounds} times: {old} without a file, {new} with a whole one"))
}

/// Killed while a list of several writes was replaced: the next one puts back what was missing.
pub(super) fn unfinished(stage: &Stage) -> Result<String> {
    let odd: Vec<_> = (20_001..60_000).step_by(2).map(|port| port.to_string()).collect();
    let whole = odd.join(",");
    stage.json("reserve 60000", 0)?;
    set(&odd[..100].join(","))?;
    // As it stands between the first write and the last one.
    let netns = fs::metadata("/proc/self/ns/net").map(|meta| std::os::unix::fs::MetadataExt::ino(&meta))?;
    let state = serde_json::json!({ "namespaces": [
        { "netns": netns, "added": "", "found": "", "unfinished": whole }
    ] });
    fs::write(STATE, state.to_string())?;
    let said = stage.json("reserve 60001", 0)?;
    notes(&said, "repaired", "killed")?;
    let mut wanted = PortList::parse(&whole)?;
    wanted.insert(60_001, 60_001);
    expect(&wanted.to_string())?;
    // And for real, in the middle of a replacement.
    let rounds = stage.rounds.min(20);
    let mut cut = 0;
    for round in 0..rounds {
        stage.json("reserve 60100-60120", 0)?;
        let mut child = stage.command("unreserve 60100-60120").stdout(Stdio::null()).spawn()?;
        while child.try_wait()?.is_none() && !is_unfinished()? {}
        thread::sleep(Duration::from_micros(50) * u32::from(round % 20));
        child.kill()?;
        child.wait()?;
        cut += u16::from(is_unfinished()?);
    }
    stage.json("reserve 60100-60120", 0)?;
    stage.json("unreserve 60100-60120", 0)?;
    expect(&wanted.to_string())?;
    ensure!(cut > 0, "none of {rounds} was killed in the middle");
    Ok(format!("repaired; {cut} of {rounds} were killed in the middle"))
}

/// Whether a list is being written that is not whole yet.
fn is_unfinished() -> Result<bool> {
    Ok(fs::read_to_string(STATE)?.contains("\"unfinished\":\""))
}
