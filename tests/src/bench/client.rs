//! A TCP client that is no socket of the kernel: it writes its packets itself. To whoever watches ports the server's half of
//! such a connection is all there is.

use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, recv, sendto};

const SERVER: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Reserved for documents: nobody has it, so what is sent to it over loopback is only seen by the packet socket.
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const FIRST_PORT: u16 = 1_024;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;

/// The loopback device is the first of every namespace.
const LOOPBACK: i32 = 1;

pub(super) struct Client {
    /// Sends whole IP packets.
    out: OwnedFd,
    /// Sees all that passes loopback.
    back: OwnedFd,
    server_port: u16,
    /// Its end of the present connection.
    port: u16,
    /// The next byte of either side.
    own: u32,
    theirs: u32,
}

impl Client {
    /// In the namespace of the calling thread.
    pub(super) fn new(server_port: u16) -> Result<Self> {
        route_to_client().context("a route to the client's address")?;
        let out = open(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
        let protocol = (libc::ETH_P_IP as u16).to_be();
        let back = open(libc::AF_PACKET, libc::SOCK_DGRAM, i32::from(protocol))?;
        listen_on_loopback(&back, protocol)?;
        set_socket_timeout(&back, Timeout::Recv, Some(Duration::from_secs(5)))?;
        Ok(Self { out, back, server_port, port: FIRST_PORT, own: 0, theirs: 0 })
    }

    /// The three packets of a beginning, from a port of its own.
    pub(super) fn connect(&mut self) -> Result<()> {
        self.port = self.port.checked_add(1).unwrap_or(FIRST_PORT);
        self.own = self.own.wrapping_add(64_000);
        self.send(SYN)?;
        self.own = self.own.wrapping_add(1);
        self.theirs = self.answer()?.wrapping_add(1);
        self.send(ACK)
    }

    /// Says that it has no more to say.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.send(FIN | ACK)?;
        self.own = self.own.wrapping_add(1);
        Ok(())
    }

    /// After the server's close().
    pub(super) fn acknowledge_end(&mut self) -> Result<()> {
        self.theirs = self.theirs.wrapping_add(1);
        self.send(ACK)
    }

    fn send(&self, flags: u8) -> Result<()> {
        let packet = packet(self.port, self.server_port, self.own, self.theirs, flags);
        let to = rustix::net::SocketAddrV4::new(SERVER, 0);
        sendto(&self.out, &packet, SendFlags::empty(), &to).context("sending a packet")?;
        Ok(())
    }

    /// The sequence number with which the server answers.
    fn answer(&self) -> Result<u32> {
        let mut bytes = [0; 128];
        loop {
            let (length, _) = recv(&self.back, &mut bytes, RecvFlags::empty())
                .with_context(|| format!("no answer from port {}", self.server_port))?;
            if let Some(sequence) = begun(&bytes[..length], self.port) {
                return Ok(sequence);
            }
        }
    }
}

/// An IP packet with nothing but a TCP header. Length, number and checksum of the outer header are the kernel's work.
fn packet(from: u16, to: u16, sequence: u32, acknowledged: u32, flags: u8) -> [u8; IP_HEADER + TCP_HEADER] {
    let mut packet = [0; IP_HEADER + TCP_HEADER];
    let (ip, tcp) = packet.split_at_mut(IP_HEADER);
    ip[0] = 0x45;
    ip[8] = 64;
    ip[9] = libc::IPPROTO_TCP as u8;
    ip[12..16].copy_from_slice(&CLIENT.octets());
    ip[16..20].copy_from_slice(&SERVER.octets());
    tcp[0..2].copy_from_slice(&from.to_be_bytes());
    tcp[2..4].copy_from_slice(&to.to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    tcp[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    tcp[12] = (TCP_HEADER as u8 / 4) << 4;
    tcp[13] = flags;
    tcp[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    let sum = checksum(tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Of a TCP header without data, together with the addresses and lengths that it is said to stand between.
fn checksum(tcp: &[u8]) -> u16 {
    let around = [&CLIENT.octets()[..], &SERVER.octets(), &[0, libc::IPPROTO_TCP as u8, 0, TCP_HEADER as u8]];
    let words = |bytes: &[u8]| -> u32 {
        bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum()
    };
    let mut sum = around.iter().map(|bytes| words(bytes)).sum::<u32>() + words(tcp);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The sequence number of a packet that begins the connection to this port of the client's.
fn begun(packet: &[u8], port: u16) -> Option<u32> {
    let tcp = packet.get(IP_HEADER..)?;
    let is_ours = tcp.get(2..4)? == port.to_be_bytes() && tcp.get(13)? & (SYN | ACK) == SYN | ACK;
    is_ours.then_some(u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?))
}

fn open(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: only numbers are passed.
    let raw = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    ensure!(raw >= 0, "opening a raw socket: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Without what goes out: over loopback all of it comes in.
fn listen_on_loopback(socket: &OwnedFd, protocol: u16) -> Result<()> {
    let yes = 1_i32;
    let length = size_of::<i32>() as libc::socklen_t;
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING);
    // SAFETY: the option is one number that outlives the call.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const yes).cast(), length) };
    ensure!(set == 0, "leaving out what goes out: {}", std::io::Error::last_os_error());
    // SAFETY: sockaddr_ll is plain data for which all zeroes is a valid value.
    let mut at: libc::sockaddr_ll = unsafe { mem::zeroed() };
    at.sll_family = libc::AF_PACKET as u16;
    at.sll_protocol = protocol;
    at.sll_ifindex = LOOPBACK;
    let length = size_of_val(&at) as libc::socklen_t;
    // SAFETY: the address is as long as is said and outlives the call.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const at).cast(), length) };
    ensure!(bound == 0, "listening on loopback: {}", std::io::Error::last_os_error());
    Ok(())
}

/// `ip route add CLIENT dev lo`
fn route_to_client() -> Result<()> {
    let socket = open(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let address = |of: Ipv4Addr| {
        // SAFETY: sockaddr is plain data for which all zeroes is a valid value.
        let mut address: libc::sockaddr = unsafe { mem::zeroed() };
        address.sa_family = libc::AF_INET as u16;
        // As in sockaddr_in: the address comes after two bytes of port.
        for (to, from) in address.sa_data[2..6].iter_mut().zip(of.octets()) {
            *to = from.cast_signed() as libc::c_char;
        }
        address
    };
    // SAFETY: rtentry is plain data for which all zeroes is a valid value.
    let mut route: libc::rtentry = unsafe { mem::zeroed() };
    route.rt_dst = address(CLIENT);
    route.rt_genmask = address(Ipv4Addr::BROADCAST);
    route.rt_flags = libc::RTF_UP | libc::RTF_HOST;
    let mut device = *b"lo\0";
    route.rt_dev = device.as_mut_ptr().cast();
    // SAFETY: SIOCADDRT reads one rtentry and the name that it points to; both outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as _, &raw const route) };
    ensure!(result == 0, "{}", std::io::Error::last_os_error());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_right_if_the_sum_with_it_is_zero() {
        let packet = packet(1_025, 1_000, 0x0102_0304, 0xf0e0_d0c0, SYN);
        assert_eq!(checksum(&packet[IP_HEADER..]), 0);
    }

    #[test]
    fn only_the_answer_to_this_port_is_one() {
        let answer = packet(1_000, 1_025, 77, 1, SYN | ACK);
        assert_eq!(begun(&answer, 1_025), Some(77));
        assert_eq!(begun(&answer, 1_026), None);
        assert_eq!(begun(&packet(1_000, 1_025, 77, 1, ACK), 1_025), None);
        assert_eq!(begun(&answer[..30], 1_025), None);
    }
}
