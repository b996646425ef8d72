//! Runs one block as a reader would, with a time limit, and finds what it left running.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// What was told to end, ends within this.
const GRACE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(10);

/// How a block went.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) status: ExitStatus,
    /// All that it printed, as on a terminal: stdout and stderr in one.
    pub(super) output: String,
}

/// A folder to run in, where the block's `portwatch` is the program under test; removed on drop.
#[derive(Debug)]
pub(super) struct Shell {
    folder: PathBuf,
    path: String,
    /// No block may take longer: somebody waits for it.
    limit: Duration,
}

impl Shell {
    pub(super) fn new(portwatch: &Path, limit: Duration) -> Result<Self> {
        // What a block leaves running becomes this program's child, and so is found.
        // SAFETY: this option takes a number and no pointer.
        let adopts = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
        ensure!(adopts == 0, "becoming the parent of orphans: {}", std::io::Error::last_os_error());
        let folder = std::env::temp_dir().join(format!("lineup-document-{}", std::process::id()));
        let (programs, room) = (folder.join("bin"), folder.join("room"));
        fs::create_dir_all(&programs).and_then(|()| fs::create_dir(&room)).context("making a folder")?;
        let portwatch = portwatch.canonicalize().with_context(|| portwatch.display().to_string())?;
        std::os::unix::fs::symlink(portwatch, programs.join("portwatch")).context("linking portwatch")?;
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        Ok(Self { folder, path, limit })
    }

    /// A program in the block's surroundings: where everything is said in one language, without colours, at one width.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let room = self.room();
        command.current_dir(&room).env("TMPDIR", &room).env("PATH", &self.path);
        // On a terminal Python writes line by line, so that what its children print comes in between.
        command.env("PYTHONUNBUFFERED", "1");
        command.env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1").env("COLUMNS", "100").stdin(Stdio::null());
        command
    }

    /// Runs it to its end. `others` are children of this program that are none of the block's.
    pub(super) fn run(&self, script: &str, others: &[u32]) -> Result<Ran> {
        let (mut reader, writer) = std::io::pipe().context("making a pipe")?;
        let mut command = self.command("sh");
        command.args(["-c", script]).process_group(0);
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command.spawn().context("starting sh")?;
        // The command has the pipe's other end, which must not stay open.
        drop(command);
        let hearing = thread::spawn(move || {
            let mut output = Vec::new();
            reader.read_to_end(&mut output).map(|_| output)
        });
        let status = wait(&mut child, self.limit)?;
        let left = sweep(others)?;
        let output = hearing.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        let output = String::from_utf8_lossy(&output).into_owned();
        let Some(status) = status else {
            bail!("it was not done within {:?}; it had printed:\n{output}", self.limit);
        };
        ensure!(left.is_empty(), "it left running: {}", left.join(", "));
        let files = fs::read_dir(self.room())?.flatten().map(|entry| entry.file_name());
        let files: Vec<_> = files.map(|name| name.to_string_lossy().into_owned()).collect();
        ensure!(files.is_empty(), "it left files: {}", files.join(", "));
        Ok(Ran { status, output })
    }

    fn room(&self) -> PathBuf {
        self.folder.join("room")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // What stays behind lies in the folder for such things.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Waits for the end, or ends it with all that is in its process group.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().context("waiting for sh")? {
            return Ok(Some(status));
        }
        thread::sleep(TICK);
    }
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        // Fails only when it has ended just now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    child.wait().context("waiting for sh")?;
    Ok(None)
}

/// Waits for the block's processes that are ending, ends those that are not, and names these.
fn sweep(others: &[u32]) -> Result<Vec<String>> {
    let deadline = Instant::now() + GRACE;
    let mut left = Vec::new();
    loop {
        let children: Vec<Process> = children()?.into_iter().filter(|c| !others.contains(&c.pid)).collect();
        if children.is_empty() {
            return Ok(left);
        }
        for child in children {
            let Some(pid) = Pid::from_raw(child.pid.cast_signed()) else { continue };
            if child.has_ended {
                let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
            } else if Instant::now() > deadline {
                left.push(format!("{}[{}]", child.comm, child.pid));
                // Fails only when it has ended just now.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        thread::sleep(TICK);
    }
}

struct Process {
    pid: u32,
    comm: String,
    has_ended: bool,
}

/// The children of this program.
fn children() -> Result<Vec<Process>> {
    let own = std::process::id();
    let entries = fs::read_dir("/proc").context("reading /proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    Ok(pids.filter_map(|pid| child_of(own, pid)).collect())
}

fn child_of(parent: u32, pid: u32) -> Option<Process> {
    let mut stat = String::new();
    File::open(format!("/proc/{pid}/stat")).ok()?.read_to_string(&mut stat).ok()?;
    let (head, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let has_ended = matches!(fields.next()?, "Z" | "X");
    let is_ours = fields.next()?.parse() == Ok(parent);
    let comm = head.split_once('(').map_or("", |(_, comm)| comm).to_owned();
    is_ours.then_some(Process { pid, comm, has_ended })
}
