//! `cargo xtask vm`: boots a Debian kernel under QEMU without KVM and runs one command in it.
//!
//! The initramfs holds the static `lineup` as /init, portwatch, and a shell. The commands' words stand in the file
//! `/command`; after each, /init says in a line of its own how it ended.

pub(crate) mod archive;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::build::{self, Binaries, Profile};
use crate::kernels::{self, Arch, Kernel};
use crate::run;

/// Boot a kernel and run a command in it
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Series of the kernel: 5.10, 6.1, 6.12, 7.x
    #[arg(long, default_value = "6.12")]
    kernel: String,
    /// Architecture of the machine
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Memory, in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// Processors
    #[arg(long, default_value_t = 2)]
    cpus: u32,
    /// Count instructions as nanoseconds; one processor
    #[arg(long)]
    icount: bool,
    /// More words for the kernel's command line
    #[arg(long, default_value = "")]
    append: String,
    /// Look for a newer kernel of the series than the cached one
    #[arg(long)]
    refresh: bool,
    /// A file to put into the machine
    #[arg(long, value_name = "HOST:GUEST")]
    file: Vec<String>,
    /// Seconds until the machine is given up
    #[arg(long, default_value_t = 600)]
    timeout: u64,
    /// What to run; /bin/portwatch, /bin/sh and /init (the test runner) are there
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What to boot.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) icount: bool,
    pub(crate) timeout: Duration,
    pub(crate) append: String,
    /// Files of this machine to put in, with their places.
    pub(crate) files: Vec<(PathBuf, String)>,
}

impl<'a> Machine<'a> {
    /// Two processors, 1 GiB.
    pub(crate) fn usual(kernel: &'a Kernel) -> Self {
        let timeout = Duration::from_secs(600);
        Self {
            kernel,
            memory_mib: 1024,
            cpus: 2,
            icount: false,
            timeout,
            append: String::new(),
            files: Vec::new(),
        }
    }
}

/// The line with which /init ends each command.
pub(crate) const MARKER: &str = "PORTWATCH-VM-EXIT ";
/// What /init says before anything else. A kernel that died earlier never saw a line of ours.
pub(crate) const UP: &str = "PORTWATCH-VM-UP";
/// Now and then QEMU 7.2, emulating several processors, delivers a breakpoint that a booting kernel has just taken back
/// (`Oops: int3` while it patches itself); such a machine is started again, this often in all.
const BOOTS: u32 = 3;
/// What a machine that counts instructions boots with. In how many batches the kernel frees what has waited for a grace period
/// is chance else, and moves a TCP connection by 0.1 %. And where a slab of its allocator happens to have room for fewer objects
/// than a connection needs at a time, two of them take turns, on the allocator's slow path: on 6.1 by 1 %, for whole rounds.
/// In large slabs there is room.
const STEADY: &str = "rcutree.blimit=1000000 slub_max_order=6 slub_min_objects=256";
/// Text after which nothing more is to be expected. Not "soft lockup": a busy host makes those too.
const FATAL: &str = "Kernel panic - not syncing";
/// What the firmware prints before the kernel begins; the first clears the terminal.
const FIRMWARE: [&str; 3] = ["\u{1b}c\u{1b}[?7l", "SeaBIOS (version", "Booting from ROM"];

pub(crate) fn run(args: &Args) -> Result<i32> {
    if args.refresh {
        kernels::refresh(args.arch, &args.kernel)?;
    }
    let kernel = kernels::obtain(args.arch, &args.kernel)?;
    let binaries = build::static_for(args.arch, Profile::Lab)?;
    let machine = Machine {
        memory_mib: args.memory,
        cpus: args.cpus,
        icount: args.icount,
        timeout: Duration::from_secs(args.timeout),
        append: args.append.clone(),
        files: args.file.iter().map(|text| parse_file(text)).collect::<Result<_>>()?,
        ..Machine::usual(&kernel)
    };
    run_guest(&machine, &binaries, &args.command, &mut run::pass_on)
}

fn parse_file(text: &str) -> Result<(PathBuf, String)> {
    let (host, guest) = text.split_once(':').with_context(|| format!("--file {text}: give HOST:GUEST"))?;
    Ok((host.into(), guest.to_owned()))
}

/// Boots the machine and runs `command` in it; every line of its console goes to `on_line`. Returns the exit code.
pub(crate) fn run_guest(
    machine: &Machine<'_>,
    binaries: &Binaries,
    command: &[String],
    on_line: &mut dyn FnMut(&str),
) -> Result<i32> {
    let codes = run_all(machine, binaries, &[command.to_vec()], &mut |_, line| on_line(line))?;
    codes.first().copied().context("ended without an answer")
}

/// Boots the machine and runs all `commands` in it, one after the other. Lines come with the number of their command.
/// Returns the exit codes.
pub(crate) fn run_all(
    machine: &Machine<'_>,
    binaries: &Binaries,
    commands: &[Vec<String>],
    on_line: &mut dyn FnMut(usize, &str),
) -> Result<Vec<i32>> {
    let initrd = archive::write(machine, binaries, commands)?;
    boot(machine, &initrd, commands.len(), on_line)
}

/// Boots the machine from an archive of one's own, which is removed afterwards. What runs in it says [`MARKER`] and a
/// number `answers` times. Lines come with the number of those before them; returns the numbers said.
pub(crate) fn boot(
    machine: &Machine<'_>,
    initrd: &Path,
    answers: usize,
    on_line: &mut dyn FnMut(usize, &str),
) -> Result<Vec<i32>> {
    let mut outcome = start(machine, initrd, answers, on_line);
    for _ in 1..BOOTS {
        let Ok(End::DiedBooting(line)) = &outcome else { break };
        eprintln!(
            "  Linux {} died before anything of portwatch ran, and is started again: {line}",
            machine.kernel.release
        );
        outcome = start(machine, initrd, answers, on_line);
    }
    fs::remove_file(initrd)?;
    let outcome = outcome.and_then(|end| match end {
        End::Answered(codes) => Ok(codes),
        End::DiedBooting(line) => bail!("died at each of {BOOTS} starts, before /init: {line}"),
    });
    outcome.with_context(|| format!("the virtual machine with Linux {}", machine.kernel.release))
}

/// How a machine ended, where it was not at fault.
enum End {
    Answered(Vec<i32>),
    /// With the kernel's last line.
    DiedBooting(String),
}

/// Starts it once, and sees it to its end.
fn start(
    machine: &Machine<'_>,
    initrd: &Path,
    answers: usize,
    on_line: &mut dyn FnMut(usize, &str),
) -> Result<End> {
    let start = Instant::now();
    let mut child = qemu(machine, initrd).spawn().context("cannot start QEMU")?;
    let lines = console(&mut child)?;
    let outcome = follow(machine, &lines, start, answers, on_line);
    // Killed only where it did not power off by itself.
    if !matches!(outcome, Ok(End::Answered(_))) {
        child.kill()?;
    }
    child.wait()?;
    outcome
}

fn follow(
    machine: &Machine<'_>,
    lines: &Receiver<String>,
    start: Instant,
    commands: usize,
    on_line: &mut dyn FnMut(usize, &str),
) -> Result<End> {
    let mut codes = Vec::new();
    let mut is_up = false;
    loop {
        let line = match lines.recv_timeout(machine.timeout.saturating_sub(start.elapsed())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                bail!("was not done after {} s and is ended (vm takes --timeout)", machine.timeout.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if line == UP {
            eprintln!(
                "  Linux {} is up after {:.1} s",
                machine.kernel.release,
                start.elapsed().as_secs_f32()
            );
            is_up = true;
        } else if let Some(told) = line.strip_prefix(MARKER) {
            codes.push(told.trim().parse().with_context(|| format!("says {told:?} for an exit code"))?);
        } else if line.contains(FATAL) {
            ensure!(!is_up, "died: {line}");
            return Ok(End::DiedBooting(line));
        } else if codes.len() < commands {
            on_line(codes.len(), &line);
        }
    }
    ensure!(
        codes.len() == commands,
        "ended without an answer to {} commands",
        commands - codes.len().min(commands)
    );
    Ok(End::Answered(codes))
}

/// The console's lines, cleaned of what firmware does to a terminal.
fn console(child: &mut Child) -> Result<Receiver<String>> {
    let output = child.stdout.take().context("QEMU has no output")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut bytes = Vec::new();
        while let Ok(1..) = reader.by_ref().read_until(b'\n', &mut bytes) {
            let line = String::from_utf8_lossy(&bytes).replace('\r', "");
            let line = line.trim_end_matches('\n');
            if !FIRMWARE.iter().any(|text| line.contains(text)) && sender.send(line.to_owned()).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    Ok(lines)
}

fn qemu(machine: &Machine<'_>, initrd: &Path) -> Command {
    let arch = machine.kernel.arch;
    let mut command = Command::new(format!("qemu-system-{}", arch.name()));
    let (board, console) = match arch {
        Arch::X86_64 => ("q35", "ttyS0"),
        Arch::Aarch64 => ("virt", "ttyAMA0"),
    };
    command.args(["-machine", board]);
    if machine.icount {
        // One instruction is one nanosecond. Without cmpxchg16b, which QEMU 7.2 now and then gets wrong under icount.
        command.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]);
        command.args(["-cpu", if arch == Arch::X86_64 { "qemu64,-cx16" } else { "cortex-a72" }]);
    } else {
        // Never KVM: a nested one hangs on some hosts, and the emulation is quick enough.
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", &machine.cpus.to_string()]);
    }
    command.args([
        "-m",
        &machine.memory_mib.to_string(),
        "-nodefaults",
        "-nographic",
        "-serial",
        "stdio",
        "-no-reboot",
    ]);
    command.arg("-kernel").arg(&machine.kernel.image).arg("-initrd").arg(initrd);
    let append = if machine.icount { STEADY } else { "" };
    command.args(["-append", &format!("console={console} quiet panic=-1 {append} {}", machine.append)]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}
