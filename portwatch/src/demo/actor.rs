//! What the services of the demo do: each is a process of its own, this same binary under another name.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};

use clap::{Args, Subcommand};
use rustix::net::sockopt::set_socket_linger;

/// A part to play.
#[derive(Args, Clone, Debug)]
pub struct ActorArgs {
    /// Name of the process
    name: String,
    #[command(subcommand)]
    part: Part,
}

#[derive(Clone, Debug, Subcommand)]
enum Part {
    /// Listen on a port and accept
    Listen {
        /// The port
        port: u16,
    },
    /// Connect to a port and hold the connection
    Connect {
        /// The port
        port: u16,
    },
}

/// Plays the part, prints one line about how it went, and stays until standard input ends.
///
/// # Errors
/// Only when the line could not be written: a refused port is part of the play.
pub fn run(args: &ActorArgs) -> io::Result<()> {
    let name = std::ffi::CString::new(args.name.as_str())?;
    rustix::thread::set_name(&name)?;
    match args.part {
        Part::Listen { port } => listen(port),
        Part::Connect { port } => connect(port),
    }
}

fn at(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn listen(port: u16) -> io::Result<()> {
    // The standard library sets SO_REUSEADDR, as most servers do. It does not help against a client.
    let listener = match TcpListener::bind(at(port)) {
        Ok(listener) => listener,
        Err(error) => return say(&format!("refused {error}")),
    };
    say(&format!("port {port}"))?;
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            held.push(stream);
        }
    });
    until_dismissed()
}

fn connect(port: u16) -> io::Result<()> {
    let stream = match TcpStream::connect(at(port)) {
        Ok(stream) => stream,
        Err(error) => return say(&format!("refused {error}")),
    };
    // Closed with a reset: TIME_WAIT would keep the port for a minute, and the demo would have to wait for it.
    set_socket_linger(&stream, Some(std::time::Duration::ZERO))?;
    say(&format!("port {}", stream.local_addr()?.port()))?;
    until_dismissed()
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{line}")?;
    out.flush()
}

fn until_dismissed() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
