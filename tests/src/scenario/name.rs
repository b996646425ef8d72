//! What processes are called: threads, long names, programs that were replaced, deleted, or named by somebody hostile.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Watch::FromTheStart;
use super::hold::{Connection, connection, listener};
use super::refuse::{VICTIM, in_use, refusal};
use super::timewait::{TIME_WAIT, wait_for_state};
use super::{Needs, SERVICE_PORT, Scenario, Stage, hold, refuse};
use crate::case::{Holder, Refusal, state};
use crate::moves::Move;
use crate::wire::Command;
use crate::wire::Transport::{Tcp4, Udp4};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "thread-with-a-name",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: through_a_thread,
        refuse: |stage, thief| refuse::bind(stage, Udp4, thief.local),
    },
    Scenario {
        name: "thread-of-the-dead",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: dead_with_its_thread,
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "victim-is-a-thread",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| listener(stage, "holder-listen", Tcp4, &[], Tcp4.loopback(SERVICE_PORT)),
        refuse: refused_in_a_thread,
    },
    Scenario {
        name: "name-of-15-bytes",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::udp_client(stage, "exactly-fifteen", Udp4),
        refuse: |stage, thief| refuse::bind(stage, Udp4, thief.local),
    },
    Scenario {
        name: "name-of-16-bytes",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| hold::udp_client(stage, "sixteen-bytes-it", Udp4),
        refuse: |stage, thief| refuse::bind(stage, Udp4, thief.local),
    },
    Scenario {
        name: "exec-after-connect",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| becomes_another(stage, Exec { name: b"successor", ..Exec::default() }),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "program-deleted",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| becomes_another(stage, Exec { name: b"upgraded", deleted: true, ..Exec::default() }),
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
    Scenario {
        name: "hostile-program-path",
        watch: FromTheStart,
        needs: Needs::Nothing,
        hold: |stage| {
            let name = b"\x1b[2Jevil\n$(reboot) \"'\xfe";
            let argument0 = b"\x1b]0;owned\x07 arg\n\xff; rm -rf";
            becomes_another(stage, Exec { name, argument0, comm: b"evil\r\x1b[1mcomm", ..Exec::default() })
        },
        refuse: |stage, thief| refuse::bind(stage, Tcp4, thief.local),
    },
];

/// What a client becomes after it has connected.
#[derive(Clone, Copy)]
struct Exec {
    /// File name of the program.
    name: &'static [u8],
    argument0: &'static [u8],
    comm: &'static [u8],
    deleted: bool,
}

impl Default for Exec {
    fn default() -> Self {
        Self { name: b"", argument0: b"become", comm: b"after-exec", deleted: false }
    }
}

/// The same process under another name: pid and start are what they were, the report must have the present name.
fn becomes_another(stage: &mut Stage, exec: Exec) -> Result<Holder> {
    let Connection { server, mut thief, holder, .. } = connection(stage, OsStr::new("before-exec"), Tcp4)?;
    let path = stage.program(OsStr::from_bytes(exec.name))?;
    thief.exec(&path, exec.argument0, exec.comm)?;
    if exec.deleted {
        fs::remove_file(&path).with_context(|| format!("deleting {}", path.display()))?;
        let gone = [path.as_os_str().as_bytes(), b" (deleted)"].concat();
        thief.process.portrait.exe = Some(PathBuf::from(OsStr::from_bytes(&gone)));
    }
    let process = Some(thief.process.clone());
    stage.keep(server);
    stage.keep(thief);
    Ok(Holder { process, ..holder })
}

/// The port is given to a thread; the report must name the process, and may tell the thread by its number only.
fn through_a_thread(stage: &mut Stage) -> Result<Holder> {
    let mut thief = stage.actor("thief-threads")?;
    let socket = thief.open(Udp4, &[])?;
    let connect = Command::Connect(socket, Udp4.loopback(SERVICE_PORT));
    let answer = thief.must(&Command::Move(Move::InThread("worker-7".to_owned(), Box::new(connect))))?;
    thief.process.portrait.thread = answer.reply.pid;
    let holder = Holder {
        state: state::ESTABLISHED,
        cause: "ephemeral-client",
        assigned_by: "autobind",
        ephemeral: true,
        ..hold::described(&thief, &answer)?
    };
    stage.keep(thief);
    Ok(holder)
}

/// The connection is in TIME_WAIT, its thread and its process are gone: only the record knows both.
fn dead_with_its_thread(stage: &mut Stage) -> Result<Holder> {
    let mut server = stage.actor("far-server")?;
    let listener = server.open(Tcp4, &[])?;
    let target = Tcp4.loopback(SERVICE_PORT);
    server.must(&Command::Bind(listener, target))?;
    server.must(&Command::Listen(listener))?;
    let mut thief = stage.actor("thief-threads")?;
    let socket = thief.open(Tcp4, &[])?;
    let connect = Command::Connect(socket, target);
    let answer = thief.must(&Command::Move(Move::InThread("worker-9".to_owned(), Box::new(connect))))?;
    thief.process.portrait.thread = answer.reply.pid;
    let accepted = server.accept(listener)?;
    let holder = hold::described(&thief, &answer)?;
    thief.must(&Command::Close(socket))?;
    server.must(&Command::Close(accepted))?;
    wait_for_state(server.process.pid, holder.port(), TIME_WAIT)?;
    stage.keep(server);
    Ok(Holder {
        process: Some(thief.kill()?),
        inode: None,
        state: state::TIME_WAIT,
        cause: "time-wait",
        assigned_by: "connect",
        ephemeral: true,
        ..holder
    })
}

fn refused_in_a_thread(stage: &mut Stage, holder: &Holder) -> Result<Refusal> {
    let mut victim = stage.actor(VICTIM)?;
    let socket = victim.open(Tcp4, &[])?;
    let bind = Command::Bind(socket, holder.local);
    let answer = in_use(&mut victim, &Command::Move(Move::InThread("acceptor".to_owned(), Box::new(bind))))?;
    victim.process.portrait.thread = answer.reply.pid;
    let refusal = refusal(&victim, "bind", Tcp4, holder.local, answer.when);
    stage.keep(victim);
    Ok(refusal)
}
