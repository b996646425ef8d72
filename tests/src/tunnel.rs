//! A VXLAN link, made by one netlink message: when it comes up, the kernel opens a UDP socket that is nobody's.

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// From `linux/rtnetlink.h`, `linux/if_link.h` and `linux/netlink.h`.
const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_PORT: u16 = 15;
const NLMSG_ERROR: u16 = 2;
const FLAGS: u16 = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL) as u16;

/// Creates the link in the namespace of the calling thread and brings it up.
pub(crate) fn open(port: u16) -> Result<(), Errno> {
    // No protocol is protocol 0: NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let to_kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &request(port), SendFlags::empty(), &to_kernel)?;
    let mut answer = [0; 512];
    let (length, _) = recv(&socket, &mut answer[..], RecvFlags::empty())?;
    match error(&answer[..length]) {
        Some(0) => Ok(()),
        Some(negative) => Err(Errno::from_raw_os_error(-negative)),
        None => Err(Errno::BADMSG),
    }
}

fn request(port: u16) -> Vec<u8> {
    let data =
        [attribute(IFLA_VXLAN_ID, &42_u32.to_ne_bytes()), attribute(IFLA_VXLAN_PORT, &port.to_be_bytes())];
    let info = [attribute(IFLA_INFO_KIND, b"vxlan"), attribute(IFLA_INFO_DATA, &data.concat())];
    let body =
        [interface_up(), attribute(IFLA_IFNAME, b"lineup\0"), attribute(IFLA_LINKINFO, &info.concat())];
    let body = body.concat();
    let mut message = Vec::new();
    message.extend(u32::try_from(16 + body.len()).unwrap_or(0).to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(FLAGS.to_ne_bytes());
    // Sequence number and sender: one question, one answer.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// `struct ifinfomsg` that asks for nothing but IFF_UP.
fn interface_up() -> Vec<u8> {
    let up = (libc::IFF_UP as u32).to_ne_bytes();
    [&[0; 8][..], &up, &up].concat()
}

/// A netlink attribute, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(0);
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The error number of an answer; 0 is an acknowledgement.
fn error(answer: &[u8]) -> Option<i32> {
    let kind = answer.get(4..6)?;
    let error = answer.get(16..20)?.try_into().ok()?;
    (kind == NLMSG_ERROR.to_ne_bytes()).then(|| i32::from_ne_bytes(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_how_long_it_is() {
        let message = request(4_789);
        assert_eq!(message[..4], u32::try_from(message.len()).unwrap().to_ne_bytes());
        assert_eq!(message.len() % 4, 0);
        assert!(message.windows(2).any(|bytes| bytes == 4_789_u16.to_be_bytes()));
    }

    #[test]
    fn attributes_are_padded_but_not_counted_so() {
        assert_eq!(attribute(3, b"abc"), [&7_u16.to_ne_bytes()[..], &3_u16.to_ne_bytes(), b"abc\0"].concat());
    }

    #[test]
    fn only_an_answer_with_an_error_number_is_an_answer() {
        let mut answer = [0; 20];
        assert_eq!(error(&answer), None);
        answer[4..6].copy_from_slice(&NLMSG_ERROR.to_ne_bytes());
        answer[16..20].copy_from_slice(&(-17_i32).to_ne_bytes());
        assert_eq!(error(&answer), Some(-17));
        assert_eq!(error(&answer[..19]), None);
    }
}
