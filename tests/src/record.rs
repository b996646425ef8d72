//! `lineup record`: scenarios while portwatch records, and a replay on the same kernel: what it says must be what was said
//! live, byte for byte. The host of a virtual machine gets the recording as text, for there is no other way out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::product::Backend;
use crate::{run, say};

/// Bytes on one line of the text.
const PER_LINE: usize = 512;

/// Records, replays and compares; whether all is well.
pub(crate) fn run(program: &Path, backend: Backend, only: &[String], print: bool) -> Result<bool> {
    let name = run::row_name(backend);
    let file = Scratch::new()?;
    let (is_well, live) = run::record(program, backend, only, &file.0)?;
    let Some(live) = live else { bail!("{name}: portwatch did not run, so nothing was recorded") };
    compare(program, &file.0, &live)?;
    let recording = fs::read(&file.0).context("reading the recording")?;
    say::line(format_args!("ok replay row={name} recording={} output={}", recording.len(), live.len()));
    if print {
        as_text("rec", &recording);
        as_text("json", &live);
    }
    Ok(is_well)
}

fn compare(program: &Path, file: &Path, live: &[u8]) -> Result<()> {
    let replay = Command::new(program)
        .args(["replay", "-o", "json"])
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .context("starting the replay")?;
    let words = String::from_utf8_lossy(&replay.stderr);
    ensure!(replay.status.success(), "the replay ended with {}; it said: {words}", replay.status);
    ensure!(!words.contains("no answer"), "the replay asked what was not asked live: {words}");
    if replay.stdout == live {
        return Ok(());
    }
    let lines = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
    let (now, then) = (lines(&replay.stdout), lines(live));
    let at = now.iter().zip(&then).take_while(|(now, then)| now == then).count();
    let shown = |lines: &[Vec<u8>]| lines.get(at).map(|line| line.escape_ascii().to_string());
    bail!("line {at} differs: live {:?}, replay {:?}", shown(&then), shown(&now));
}

fn as_text(what: &str, bytes: &[u8]) {
    for part in bytes.chunks(PER_LINE) {
        let mut line = String::with_capacity(2 * part.len());
        for byte in part {
            // A string takes everything.
            let _ = write!(line, "{byte:02x}");
        }
        say::line(format_args!("RECORDED {what} {line}"));
    }
}

/// A file name of this process's own, below a folder that nobody else can write to; gone on drop.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("lineup-record-{}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        Ok(Self(folder.join("recording")))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays costs room only.
        let _ = self.0.parent().map(fs::remove_dir_all);
    }
}
