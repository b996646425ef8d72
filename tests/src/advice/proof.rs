//! What cannot be seen from a victim that starts: that it will not happen again, and what the kernel is able to do.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::{FdFlags, fcntl_setfd};

use super::scene::Scene;
use crate::netns::{Netns, Range};
use crate::scenario::RANGE;
use crate::wire::Transport::{Tcp4, Udp4};

/// Ports that are left to the kernel.
const FEW: u16 = 8;

/// A port is reserved: the holder keeps it, and once that has ended clients take every port there is but this one.
pub(super) fn reserved_for_good(scene: &mut Scene) -> Result<String> {
    let port = scene.case.refusal.port;
    let errno = scene.retry(&[], None, scene.wanted())?;
    ensure!(errno == libc::EADDRINUSE, "the present holder let go, which it is said not to: {errno}");
    let low = port.saturating_sub(FEW / 2).max(RANGE.low);
    scene.stage.dismiss();
    scene.stage.netns.narrow(Range { low, high: low + FEW })?;
    let is_udp = !scene.case.refusal.transport.is_tcp();
    let given = scene.stage.netns.within(|| {
        let given = if is_udp { udp_clients()? } else { tcp_clients()? };
        ensure!(!given.iter().any(|(other, _)| *other == port), "{port} was given to a client all the same");
        Ok(given)
    })?;
    let count = given.len();
    // A connection of before may wait for its end.
    if scene.report["cause"] != "time-wait" {
        scene.starts_within(super::deed::AT_ONCE)?;
    }
    drop(given);
    Ok(format!("{count} clients later it was still kept"))
}

type Given = Vec<(u16, Box<dyn std::any::Any + Send>)>;

/// Connects until no port is left.
fn tcp_clients() -> Result<Given> {
    let server = TcpListener::bind(Tcp4.loopback(8_081))?;
    let at = server.local_addr()?;
    let mut given: Given = Vec::new();
    for _ in 0..=u16::from(FEW as u8) * 2 {
        match TcpStream::connect(at) {
            Ok(client) => {
                let accepted = server.accept()?;
                given.push((client.local_addr()?.port(), Box::new((client, accepted))));
            }
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => return full(given),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("more clients than ports")
}

fn udp_clients() -> Result<Given> {
    let mut given: Given = Vec::new();
    for _ in 0..=FEW * 2 {
        match UdpSocket::bind(Udp4.wildcard(0)) {
            Ok(client) => given.push((client.local_addr()?.port(), Box::new(client))),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return full(given),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("more clients than ports")
}

fn full(given: Given) -> Result<Given> {
    ensure!(given.len() >= usize::from(FEW / 2), "only {} clients found a port", given.len());
    Ok(given)
}

/// A program that closes on exec leaves nothing to its children, and one that does not leaves the port.
pub(super) fn close_on_exec(scene: &mut Scene) -> Result<String> {
    scene.stage.dismiss();
    scene.starts_within(super::deed::AT_ONCE)?;
    let at = scene.wanted();
    for (closes, expected) in [(true, 0), (false, libc::EADDRINUSE)] {
        let mut child = scene.stage.netns.within(|| parent(at, closes))?;
        let errno = scene.retry(&[], None, at);
        child.kill()?;
        child.wait()?;
        let errno = errno?;
        ensure!(errno == expected, "with a child of a parent that closes: {closes}, the kernel says {errno}");
    }
    Ok("started beside the child of a parent that closes on exec".to_owned())
}

/// Listens, starts a program, and lets go.
fn parent(at: SocketAddr, closes: bool) -> Result<std::process::Child> {
    let listener = TcpListener::bind(at)?;
    fcntl_setfd(listener.as_fd(), if closes { FdFlags::CLOEXEC } else { FdFlags::empty() })?;
    let mut command = Command::new("sh");
    command.args(["-c", "read line"]).stdin(Stdio::piped());
    command.spawn().context("starting a child")
}

/// Whether the kernel ends sockets on request, by having one of a namespace of its own ended.
pub(super) fn destroys_sockets() -> Result<bool> {
    let netns = Netns::new(RANGE)?;
    netns.within(|| {
        let server = TcpListener::bind(Tcp4.loopback(8_081))?;
        let client = TcpStream::connect(server.local_addr()?)?;
        let port = client.local_addr()?.port();
        let filter = format!("sport = :{port}");
        Command::new("ss")
            .args(["-tK", &filter])
            .output()
            .context("starting ss, of which advice makes use")?;
        let table = fs::read_to_string("/proc/thread-self/net/tcp")?;
        let local = format!(":{port:04X} ");
        Ok(!table.lines().any(|line| line.contains(&local) && line.contains(" 01 ")))
    })
}
