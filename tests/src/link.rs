//! A network device beside the loopback, made over rtnetlink by hand: `ip link add NAME type dummy`.

use std::os::fd::AsFd;

use anyhow::{Result, anyhow};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::actor_main::open_raw;
use crate::netns::{Netns, Range};

/// The name of the second device.
pub(crate) const SECOND: &str = "second0";
/// Kinds that serve, in the order in which they are tried.
const KINDS: [&str; 3] = ["dummy", "veth", "ifb"];

const IFLA_INFO_KIND: u16 = 1;

/// Whether the kernel makes one, tried in a namespace that is gone at once.
pub(crate) fn can_make() -> Result<(), Errno> {
    let netns = Netns::new(Range { low: 42_000, high: 42_999 }).map_err(|_| Errno::PERM)?;
    make(&netns).map_err(|_| Errno::OPNOTSUPP)
}

/// Makes the second device of a namespace. It stays down, which is enough to bind sockets to it.
pub(crate) fn make(netns: &Netns) -> Result<()> {
    netns.within(|| {
        let results = KINDS.iter().map(|kind| add(kind));
        let mut last = Errno::OPNOTSUPP;
        for result in results {
            match result {
                Ok(()) => return Ok(()),
                Err(errno) => last = errno,
            }
        }
        Err(anyhow!("making a second network device: {last}"))
    })
}

/// RTM_NEWLINK in the namespace of the calling thread.
fn add(kind: &str) -> Result<(), Errno> {
    let socket = open_raw(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?;
    send(socket.as_fd(), &message(kind), SendFlags::empty())?;
    let mut answer = [0; 4096];
    let (length, _) = recv(socket.as_fd(), &mut answer[..], RecvFlags::empty())?;
    // The answer is a header of sixteen bytes and an error number, 0 for none.
    match answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw_os_error(-errno)),
        None => Err(Errno::PROTO),
    }
}

fn message(kind: &str) -> Vec<u8> {
    let name = attribute(libc::IFLA_IFNAME, &[SECOND.as_bytes(), b"\0"].concat());
    let info = attribute(libc::IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, kind.as_bytes()));
    let flags = libc::NLM_F_REQUEST | libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    // struct ifinfomsg: nothing in it is asked for.
    let body = [vec![0; 16], name, info].concat();
    let mut message = u32::try_from(16 + body.len()).unwrap_or_default().to_ne_bytes().to_vec();
    message.extend(libc::RTM_NEWLINK.to_ne_bytes());
    message.extend(u16::try_from(flags).unwrap_or_default().to_ne_bytes());
    // Sequence number and port: one question, one answer.
    message.extend([0; 8]);
    message.extend(body);
    message
}

/// A netlink attribute, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or_default();
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_but_not_counted_so() {
        assert_eq!(
            attribute(3, b"abcde"),
            [&9_u16.to_ne_bytes()[..], &3_u16.to_ne_bytes(), b"abcde\0\0\0"].concat()
        );
        let message = message("dummy");
        assert_eq!(message[..4], u32::try_from(message.len()).unwrap().to_ne_bytes());
        assert_eq!(message.len() % 4, 0);
    }
}
