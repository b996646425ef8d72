//! Answers of a real kernel (6.18), and bytes that are none.

use super::*;
use proptest::prelude::*;

/// Port 42042: a listener, a connection that it has not accepted, and one in TIME_WAIT.
const THREE: &str = "7c0000001400020000000000a33e0000020a0000a43a00007f00000100000000000000000000000000000000000000000000000000000000000000000500000000000000000000000100000080000000000000009e9f0700050008000000000008000f00000000000c001500010000000000000006001600520000007c0000001400020000000000a33e000002010000a43a8b9e7f0000010000000000000000000000007f0000010000000000000000000000000000000006000000000000000000000000000000000000000000000000000000050008000000000008000f00000000000c00150001000000000000000600160052000000600000001400020000000000a33e000002060300a43a8b9c7f0000010000000000000000000000007f000001000000000000000000000000000000000700000000000000b8e800000000000000000000000000000000000008000f0000000000";
/// [::1]:42043, bound only.
const BOUND: &str = "840000001400020000000000a33e00000a070000a43b0000000000000000000000000000000000010000000000000000000000000000000000000000080000000000000000000000000000000000000000000000c2a60700050008000000000005000b000100000008000f00000000000c00150001000000000000000600160012000000";
const END: &str = "140000000300020000000000a33e000000000000";
/// No table for the protocol: the error comes in the message that ends the dump.
const NO_TABLE: &str = "140000000300020000000000a33e0000feffffff";

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn read(hex: &str, port: u16) -> (io::Result<Progress>, Vec<Entry>) {
    let mut entries = Vec::new();
    let progress = read_messages(&bytes(hex), Protocol::Tcp, port, &mut |entry| entries.push(entry));
    (progress, entries)
}

fn at(text: &str) -> Option<SocketAddr> {
    Some(text.parse().expect("an address"))
}

#[cfg(target_endian = "little")]
#[test]
fn a_real_dump_is_read_to_the_end() {
    let (progress, entries) = read(&format!("{THREE}{BOUND}{END}"), 42042);
    assert_eq!(progress.expect("no error"), Progress::Done);
    let seen: Vec<_> = entries.iter().map(|entry| (entry.state, entry.remote, entry.inode)).collect();
    assert_eq!(
        seen,
        [
            (State::Listen, None, 499_614),
            (State::Established, at("127.0.0.1:35742"), 0),
            (State::TimeWait, at("127.0.0.1:35740"), 0),
        ],
        "and the bound-only one, of another port, is left out"
    );
    assert!(entries.iter().all(|entry| entry.local == at("127.0.0.1:42042")));
    assert_eq!(entries.iter().map(|entry| entry.uid).collect::<Vec<_>>(), [Some(0), None, None]);
    assert_eq!(entries[2].ends_in_ms, Some(59_576));
}

#[cfg(target_endian = "little")]
#[test]
fn a_bound_only_socket_is_read() {
    let (progress, entries) = read(BOUND, 42043);
    assert_eq!(progress.expect("no error"), Progress::More);
    let [entry] = entries[..] else { panic!("one socket: {entries:?}") };
    assert_eq!((entry.state, entry.remote), (State::Close, None));
    assert_eq!((entry.local, entry.inode), (at("[::1]:42043"), 501_442));
}

#[cfg(target_endian = "little")]
#[test]
fn an_error_is_an_error_wherever_it_comes() {
    let (progress, _) = read(NO_TABLE, 42042);
    assert_eq!(progress.expect_err("no table").kind(), io::ErrorKind::NotFound);
    let as_message = NO_TABLE.replacen("1400000003", "1400000002", 1);
    assert_eq!(read(&as_message, 42042).0.expect_err("no table").kind(), io::ErrorKind::NotFound);
    let too_long = NO_TABLE.replacen("14", "18", 1);
    assert!(read(&too_long, 42042).0.is_err());
}

#[test]
fn the_request_is_what_the_kernel_wants() {
    let request = request(Protocol::UdpLite, Family::V6, 0x1234, Bounds::default());
    assert_eq!(request.len(), 72);
    assert_eq!(request[..4], 72_u32.to_ne_bytes());
    assert_eq!(request[4..6], 20_u16.to_ne_bytes());
    assert_eq!(request[6..8], 0x301_u16.to_ne_bytes(), "a request for a dump");
    assert_eq!(request[16..26], [10, 136, 0, 0, 255, 255, 255, 255, 0x12, 0x34]);
}

#[test]
fn the_kernel_leaves_out_other_ports_itself() {
    use std::net::TcpListener;
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let mut ports = listeners.each_ref().map(|one| one.local_addr().expect("an address").port());
    ports.sort_unstable();
    // No filter of this side's: what the kernel sends is all that is read.
    let sent = |ports| {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )
        .expect("sock_diag");
        let bounds = Bounds { ports: Some(ports), ..Bounds::default() };
        send(&socket, &request(Protocol::Tcp, Family::V4, 0, bounds), SendFlags::empty()).expect("asked");
        let (mut buffer, mut all) = (vec![0; BUFFER], Vec::new());
        loop {
            let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::TRUNC).expect("an answer");
            let mut take = |entry: Entry| all.extend(entry.local.map(|local| local.port()));
            if read_messages(&buffer[..length], Protocol::Tcp, 0, &mut take).expect("readable")
                == Progress::Done
            {
                return all;
            }
        }
    };
    let [low, middle, high] = ports;
    let both = sent((low, middle));
    assert!(both.contains(&low) && both.contains(&middle) && !both.contains(&high), "{both:?}");
    assert!(both.iter().all(|port| (low..=middle).contains(port)), "{both:?}");
    assert_eq!(sent((high, high)).iter().filter(|port| **port == high).count(), 1);
    assert!(sent((high, low)).is_empty());
}

proptest! {
    #[test]
    fn any_bytes_end(
        packet in proptest::collection::vec(any::<u8>(), 0..300),
        length in any::<u32>(),
    ) {
        let mut entries = Vec::new();
        let _ = read_messages(&packet, Protocol::Udp, 1, &mut |entry| entries.push(entry));
        let mut headed = length.to_ne_bytes().to_vec();
        headed.extend(BY_FAMILY.to_ne_bytes());
        headed.extend(&packet);
        let _ = read_messages(&headed, Protocol::Udp, 1, &mut |entry| entries.push(entry));
    }
}
