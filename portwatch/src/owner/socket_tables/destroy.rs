//! Whether the kernel ends a socket on request, as `ss -K` asks it to: tried on a socket that cannot exist.

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use rustix::net::{recv, send, socket_with};
use std::time::Duration;

/// `SOCK_DESTROY`.
const DESTROY: u16 = 21;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// The kernel answers at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether there is `INET_DIAG_DESTROY` for TCP; `None` if the kernel does not say.
pub(crate) fn destroys_sockets() -> Option<bool> {
    match errno()? {
        // There is no such socket, or we may not end it: in both cases somebody would.
        Errno::NOENT | Errno::PERM | Errno::ACCESS => Some(true),
        Errno::OPNOTSUPP => Some(false),
        _ => None,
    }
}

/// What the kernel says of the wish to end the TCP connection from port 0 to port 0, which nobody can have.
fn errno() -> Option<Errno> {
    let kind = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, kind, Some(netlink::SOCK_DIAG)).ok()?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).ok()?;
    send(&socket, &request(), SendFlags::empty()).ok()?;
    let mut buffer = [0; 1_024];
    let (_, length) = recv(&socket, &mut buffer[..], RecvFlags::empty()).ok()?;
    let answer = buffer.get(..length)?;
    let kind = u16::from_ne_bytes([*answer.get(4)?, *answer.get(5)?]);
    if i32::from(kind) != libc::NLMSG_ERROR {
        return None;
    }
    let code = i32::from_ne_bytes(*answer.get(HEADER..)?.first_chunk()?);
    Some(Errno::from_raw_os_error(code.saturating_neg()))
}

fn request() -> Vec<u8> {
    const LENGTH: u32 = (HEADER + REQUEST) as u32;
    const FLAGS: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
    let mut bytes = Vec::with_capacity(HEADER + REQUEST);
    bytes.extend(LENGTH.to_ne_bytes());
    bytes.extend(DESTROY.to_ne_bytes());
    bytes.extend(FLAGS.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number and sender
    bytes.extend([libc::AF_INET as u8, libc::IPPROTO_TCP as u8, 0, 0]);
    bytes.extend((!0_u32).to_ne_bytes());
    bytes.resize(HEADER + REQUEST - 8, 0); // ports, addresses and device are all 0
    bytes.extend([0xff; 8]); // INET_DIAG_NOCOOKIE: whoever it is
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_kernel_answers_and_nobody_is_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        assert!(destroys_sockets().is_some(), "{:?}", errno());
        assert!(client.take_error().expect("asked").is_none() && client.peer_addr().is_ok());
    }
}
