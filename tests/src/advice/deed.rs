//! Does what an advice says, and sees the victim start.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::proof;
use super::scene::Scene;
use crate::cgroup;
use crate::scenario::SERVICE_PORT;
use crate::wire::Transport::Tcp6;
use crate::wire::{Command, Flag};

/// A holder that is ended lets go at once.
pub(super) const AT_ONCE: Duration = Duration::from_secs(10);
/// How long a closed connection waits for the other side, which never closes here: 60 seconds as a rule. The shorter it is,
/// the shorter the test.
const FIN_TIMEOUT: &str = "/proc/sys/net/ipv4/tcp_fin_timeout";
/// TIME_WAIT lasts 60 seconds.
const WAIT: Duration = Duration::from_secs(75);

/// What came of it, in a few words.
pub(super) fn carry_out(scene: &mut Scene, advice: &Value) -> Result<String> {
    let why = advice["why"].as_str().unwrap_or_default().to_owned();
    match advice["action"].as_str().unwrap_or_default() {
        "reserve-port" => {
            obey(scene, advice)?;
            proof::reserved_for_good(scene)
        }
        "free-port" | "stop-holder" | "stop-first" => {
            let is_slow = why.contains("TIME_WAIT");
            if is_slow {
                scene.stage.netns.within(|| Ok(fs::write(FIN_TIMEOUT, "2")?))?;
            }
            let count = obey(scene, advice)?;
            let waited = scene.starts_within(AT_ONCE)?;
            // Not a figure, but proof that the words are needed.
            ensure!(!is_slow || waited > Duration::from_secs(1), "it was free after {waited:?} already");
            Ok(format!("{count} run, victim started"))
        }
        "change-port" => move_to(scene, &why),
        "set-option" => set_option(scene, &why),
        "same-user" => {
            let uid =
                scene.report["holders"][0]["process"]["uid"].as_u64().context("a holder without uid")?;
            start(scene, &[Flag::ReusePort], Some(u32::try_from(uid)?), scene.wanted())?;
            Ok(format!("started as uid {uid}"))
        }
        "wait" => {
            if scene.report["cause"] == "closing" {
                scene.stage.dismiss(); // the other side confirms
            }
            let waited = scene.starts_within(WAIT)?;
            Ok(format!("started after {} s", waited.as_secs()))
        }
        "close-on-exec" => proof::close_on_exec(scene),
        "inspect" => {
            let shown = output(scene, advice)?;
            let port = format!(":{}", scene.case.refusal.port);
            ensure!(shown.contains(&port), "{port} is not in what it shows: {shown}");
            Ok("shows the port".to_owned())
        }
        other => bail!("nobody has tried {other} yet"),
    }
}

fn start(scene: &Scene, flags: &[Flag], uid: Option<u32>, at: SocketAddr) -> Result<()> {
    let errno = scene.retry(flags, uid, at)?;
    ensure!(errno == 0, "the victim is refused at {at}: {}", std::io::Error::from_raw_os_error(errno));
    Ok(())
}

/// `… port 61000 is free …`
fn move_to(scene: &Scene, why: &str) -> Result<String> {
    let before = why.split(" is free").next().unwrap_or_default();
    let port: u16 = before.rsplit(' ').next().unwrap_or_default().parse().context("no free port is named")?;
    let range = scene.stage.netns.range;
    ensure!(!range.contains(port) && port > 1_023, "{port} is no port to move to");
    start(scene, &[], Some(1_000), SocketAddr::new(scene.case.refusal.address, port))?;
    Ok(format!("started on {port}"))
}

fn set_option(scene: &mut Scene, why: &str) -> Result<String> {
    ensure!(why.contains("IPV6_V6ONLY"), "another option than expected: {why}");
    if !why.contains("holder's socket") {
        start(scene, &[Flag::V6Only], None, scene.wanted())?;
        return Ok("started with IPV6_V6ONLY".to_owned());
    }
    // The holder starts again with the option, and the victim beside it.
    scene.stage.dismiss();
    let mut holder = scene.stage.actor("holder-again")?;
    let socket = holder.open(Tcp6, &[Flag::V6Only])?;
    holder.must(&Command::Bind(socket, Tcp6.wildcard(SERVICE_PORT)))?;
    holder.must(&Command::Listen(socket))?;
    start(scene, &[], None, scene.wanted())?;
    Ok("started beside the holder with IPV6_V6ONLY".to_owned())
}

/// Runs the commands as they are, and says how many.
fn obey(scene: &Scene, advice: &Value) -> Result<usize> {
    let commands = commands(advice)?;
    output(scene, advice)?;
    Ok(commands.len())
}

fn commands(advice: &Value) -> Result<Vec<&str>> {
    let commands: Vec<_> =
        advice["commands"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(!commands.is_empty(), "there is nothing to type");
    Ok(commands)
}

fn output(scene: &Scene, advice: &Value) -> Result<String> {
    let mut shown = String::new();
    for command in commands(advice)? {
        let mut shell = Program::new("sh");
        shell.args(["-c", command]);
        let manager = command.starts_with("systemctl").then(|| Manager::of(scene)).transpose()?;
        if let Some(manager) = &manager {
            shell.env("PATH", manager.path()?);
        }
        let output = shell.output().context("starting sh")?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{command}: {}: {words}", output.status);
        shown.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    Ok(shown)
}

/// The unit of the stage is a cgroup that no systemd knows of: `systemctl` does to it what systemd would do, which is to
/// end everybody inside. What starts is the victim.
struct Manager {
    folder: PathBuf,
}

impl Manager {
    fn of(scene: &Scene) -> Result<Self> {
        let group =
            scene.report["holders"][0]["process"]["cgroup"].as_str().context("a holder without cgroup")?;
        ensure!(group.contains("lineup-"), "{group} is no unit of the lineup's");
        let procs = cgroup::folder(group).context("no cgroup2 file system")?.join("cgroup.procs");
        let folder = std::env::temp_dir().join(format!("lineup-manager-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let script = format!("#!/bin/sh\n[ \"$1\" != stop ] || kill -9 $(cat {})\n", procs.display());
        let path = folder.join("systemctl");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(Self { folder })
    }

    fn path(&self) -> Result<String> {
        let folder: &Path = &self.folder;
        Ok(format!("{}:{}", folder.display(), std::env::var("PATH").context("no PATH")?))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // What stays behind lies in the folder for such things.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
