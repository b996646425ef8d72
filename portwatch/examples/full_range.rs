//! Measures a count of the ephemeral range among many sockets: makes connections on the loopback and closes them, so that they
//! are in TIME_WAIT and no process has to have them open; then counts, and says how long that took and how much memory it
//! needed. All within the minute that TIME_WAIT lasts. In a network namespace of its own, as root:
//! `unshare --net sh -c 'ip link set lo up && exec cargo run --release --example full_range -- CONNECTIONS DESTINATIONS'`.

use anyhow::Context as _;
use portwatch::occupancy::{BoundPorts, Occupancy};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Instant;

const PORT: u16 = 9_000;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let (Some(connections), Some(destinations)) = (arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: full_range CONNECTIONS DESTINATIONS");
    };
    let (connections, destinations) = (connections?, destinations?.max(1));
    for (name, value) in
        [("ip_local_port_range", "10000 65535"), ("tcp_max_tw_buckets", "4000000"), ("tcp_tw_reuse", "0")]
    {
        let path = format!("/proc/sys/net/ipv4/{name}");
        std::fs::write(&path, value).with_context(|| format!("writing {path}"))?;
    }
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    for number in 0..connections {
        let to = Ipv4Addr::from(0x7f01_0000 + number % destinations);
        drop(TcpStream::connect((to, PORT)).with_context(|| format!("connection {number}"))?);
        drop(listener.accept()?);
    }
    let before = resident()?;
    let begun = Instant::now();
    let seen = Occupancy::read(&BoundPorts::default());
    let took = begun.elapsed();
    let peak = resident()?;
    println!(
        "{} sockets, {destinations} destinations: {took:.1?}, {} kB more in RAM",
        connections,
        peak.saturating_sub(before)
    );
    println!("{:?} of {} ports", seen.unavailable, seen.range_ports);
    Ok(())
}

/// The most that was in RAM so far, in kB.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()).context("no VmHWM")?;
    Ok(number.parse()?)
}
