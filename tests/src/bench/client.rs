//! A TCP client that is no socket of the kernel: it writes its packets itself. To whoever watches ports the server's half of
//! such a connection is all there is. It has few calls, and none that a watcher would look into: no address is named in them.

use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::io::{read, write};
use rustix::net::connect;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

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
    /// Sees on loopback how the server begins a connection, and nothing else: to read only to throw away would be measured.
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
        // Once, instead of an address with every packet. Of the headers it changes nothing.
        connect(&out, &rustix::net::SocketAddrV4::new(SERVER, 0)).context("connecting a raw socket")?;
        // Without a protocol it is deaf: nothing comes in past the filter.
        let back = open(libc::AF_PACKET, libc::SOCK_DGRAM, 0)?;
        admit_beginnings(&back, server_port)?;
        listen_on_loopback(&back)?;
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
        // Not send(): that is sendto() without an address, which a watcher has to tell from the others.
        write(&self.out, &packet).context("sending a packet")?;
        Ok(())
    }

    /// The sequence number with which the server answers.
    fn answer(&self) -> Result<u32> {
        let mut bytes = [0; 128];
        loop {
            let length = read(&self.back, &mut bytes)
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

/// The sequence number of a packet that begins the connection to this port of the client's. The filter knows no port of the
/// client's: it would have to be another for every connection.
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

/// Of what is sent to a socket that sees packets from the IP header on, only the server's part in a beginning is kept.
fn admit_beginnings(socket: &impl AsRawFd, server_port: u16) -> Result<()> {
    use libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET};
    let load = |width, at: usize| step(BPF_LD | BPF_ABS | width, at as u32, 0);
    // Neither side sends IP options, nor does the client offer ECN, which would be a flag more.
    let mut steps = [
        load(BPF_H, IP_HEADER),
        step(BPF_JMP | BPF_JEQ | BPF_K, u32::from(server_port), 3),
        load(BPF_B, IP_HEADER + 13),
        step(BPF_JMP | BPF_JEQ | BPF_K, u32::from(SYN | ACK), 1),
        step(BPF_RET | BPF_K, u32::MAX, 0),
        step(BPF_RET | BPF_K, 0, 0),
    ];
    let filter = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    let length = size_of_val(&filter) as libc::socklen_t;
    let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: the kernel copies the steps, as many as is said; they and what points to them outlive the call.
    let set =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const filter).cast(), length) };
    ensure!(set == 0, "attaching a filter: {}", std::io::Error::last_os_error());
    Ok(())
}

/// Of a filter; where it is a comparison that fails, so many of the next are left out.
fn step(code: u32, operand: u32, skipped: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: skipped, k: operand }
}

/// Without what goes out: over loopback all of it comes in.
fn listen_on_loopback(socket: &OwnedFd) -> Result<()> {
    let yes = 1_i32;
    let length = size_of::<i32>() as libc::socklen_t;
    let (level, name) = (libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING);
    // SAFETY: the option is one number that outlives the call.
    let set = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const yes).cast(), length) };
    ensure!(set == 0, "leaving out what goes out: {}", std::io::Error::last_os_error());
    // SAFETY: sockaddr_ll is plain data for which all zeroes is a valid value.
    let mut at: libc::sockaddr_ll = unsafe { mem::zeroed() };
    at.sll_family = libc::AF_PACKET as u16;
    at.sll_protocol = (libc::ETH_P_IP as u16).to_be();
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
    use std::os::unix::net::UnixDatagram;

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

    /// A socket of this family, too, sees what is sent to it from the first byte on, and asks nobody for permission.
    #[test]
    fn only_beginnings_pass_the_filter() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        receiver.set_nonblocking(true).unwrap();
        admit_beginnings(&receiver, 1_000).unwrap();
        let passes = |bytes: &[u8]| {
            // Some kernels tell the sender of a packet that was dropped.
            let _ = sender.send(bytes);
            receiver.recv(&mut [0; 128]).is_ok_and(|length| length == bytes.len())
        };
        let answer = packet(1_000, 1_025, 77, 1, SYN | ACK);
        assert!(passes(&answer));
        assert!(!passes(&answer[..30]));
        assert!(!passes(&packet(1_001, 1_025, 77, 1, SYN | ACK)));
        for flags in [SYN, ACK, FIN | ACK] {
            assert!(!passes(&packet(1_000, 1_025, 77, 1, flags)));
        }
        assert!(passes(&answer));
    }
}
