//! Which record belongs to which socket. The kernel reuses addresses, ports and whole connections at once, so that a record may be
//! found under the address or the port of a later socket: it counts only if it passes these tests.
//!
//! The kernel side runs them, without branches: each would double the verifier's work.

use crate::{Assignment, LastOwner, Socket};

const IPPROTO_TCP: u16 = 6;
const IPPROTO_MPTCP: u16 = 262;
/// The lowest bit of a connection is a note of the kernel side.
const CONNECTION: u32 = !1;

/// Whether a record of `PORTS` or `DATAGRAMS` that was found under a socket's address is the socket's own.
///
/// A socket with a file must have the recorded inode, which the kernel gives again only after four billion others. A TCP socket
/// without one (TIME_WAIT, orphans, sockets that are not accepted yet, sockets of the kernel) must have the recorded `connection`:
/// for TIME_WAIT the next sequence number to send, else what `connection` of the kernel side says. Nothing proves whose another
/// socket without a file is, unless the record is of one without a file too. The kernel gives the TCP sockets of a multipath one
/// their file after the record, which then needs the same connection.
#[inline(always)]
#[must_use]
pub fn belongs_to_socket(socket: &Socket, assignment: &Assignment, connection: u32) -> bool {
    let is_on_port = (assignment.port == 0) | (socket.local_port == assignment.port);
    let is_multipath = socket.protocol == IPPROTO_MPTCP;
    let is_tcp = (socket.protocol == IPPROTO_TCP) | is_multipath;
    let is_connection = is_tcp & (socket.inode == 0);
    let has_same_connection = (assignment.task.pad ^ connection) & CONNECTION == 0;
    let has_file_since = is_multipath & (assignment.inode == 0) & has_same_connection;
    let has_same_file = (assignment.inode == socket.inode) | has_file_since;
    is_on_port & ((is_connection & has_same_connection) | (!is_connection & has_same_file))
}

/// Whether a record of `LAST` is that of the connection that left the TIME_WAIT socket `tw` on this port: the same addresses and
/// ports, and the same next sequence number to send, which the kernel copies from one to the other. Two connections between the
/// same ports have the same number by chance only: one in four billion.
#[inline(always)]
#[must_use]
pub fn belongs_to_time_wait(last: &LastOwner, tw: &Socket, netns: u32, port: u16, snd_nxt: u32) -> bool {
    let LastOwner { assignment, local, remote, remote_port, family, .. } = last;
    let addresses = differ(local, &tw.local) | differ(remote, &tw.remote);
    let ports = assignment.port ^ port | remote_port ^ tw.remote_port | u16::from(*family) ^ tw.family;
    addresses | u64::from(assignment.netns ^ netns | last.snd_nxt ^ snd_nxt) | u64::from(ports) == 0
}

/// 0 if two addresses are equal.
#[inline(always)]
fn differ(one: &[u8; 16], other: &[u8; 16]) -> u64 {
    let word = |address: &[u8; 16], at: usize| {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
        let words = [[a, b, c, d, e, f, g, h], [i, j, k, l, m, n, o, p]];
        u64::from_ne_bytes(words[at])
    };
    word(one, 0) ^ word(other, 0) | word(one, 1) ^ word(other, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Task;

    const PORT: u16 = 40_000;
    const INODE: u64 = 4_711;
    const CONNECTION: u32 = 0x1234_5678;

    fn socket(inode: u64) -> Socket {
        Socket { inode, local_port: PORT, protocol: IPPROTO_TCP, ..Socket::default() }
    }

    fn record() -> Assignment {
        let task = Task { tgid: 7, pad: CONNECTION, ..Task::default() };
        Assignment { task, inode: INODE, port: PORT, ..Assignment::default() }
    }

    #[test]
    fn a_socket_with_a_file_is_known_by_its_inode_alone() {
        assert!(belongs_to_socket(&socket(INODE), &record(), 0), "connected since the record was made");
        assert!(
            !belongs_to_socket(&socket(INODE + 1), &record(), CONNECTION),
            "a later socket at the address"
        );
        let early = Assignment { port: 0, ..record() };
        assert!(belongs_to_socket(&socket(INODE), &early, 0), "recorded before the kernel chose the port");
        let other = Assignment { port: PORT + 1, ..record() };
        assert!(!belongs_to_socket(&socket(INODE), &other, 0), "disconnected, and on another port since");
    }

    #[test]
    fn a_socket_without_a_file_is_known_by_its_connection() {
        assert!(belongs_to_socket(&socket(0), &record(), CONNECTION));
        assert!(belongs_to_socket(&socket(0), &record(), CONNECTION | 1), "the note of the kernel side");
        assert!(!belongs_to_socket(&socket(0), &record(), CONNECTION ^ 2), "address and port reused");
        assert!(!belongs_to_socket(&socket(0), &record(), 0), "a bound socket at the address of a client");
        let listener = Assignment { task: Task::default(), ..record() };
        assert!(
            !belongs_to_socket(&socket(0), &listener, CONNECTION),
            "accepted at the address of a listener"
        );
        assert!(belongs_to_socket(&socket(0), &listener, 0), "the listener itself, being closed");
    }

    #[test]
    fn a_record_without_an_inode_is_of_a_socket_that_got_its_file_later() {
        let early = Assignment { inode: 0, ..record() };
        assert!(!belongs_to_socket(&socket(INODE), &early, CONNECTION), "of the kernel, and gone");
        let subflow = Socket { protocol: IPPROTO_MPTCP, ..socket(INODE) };
        assert!(belongs_to_socket(&subflow, &early, CONNECTION));
        assert!(!belongs_to_socket(&subflow, &early, 0), "of an earlier multipath connection");
        assert!(
            !belongs_to_socket(&Socket { inode: 0, ..subflow }, &early, 0),
            "an orphan of another connection"
        );
    }

    #[test]
    fn other_sockets_without_a_file_are_known_by_nothing() {
        for protocol in [17, 132, 136] {
            let socket = Socket { protocol, ..socket(0) };
            assert!(
                !belongs_to_socket(&socket, &record(), CONNECTION),
                "of an earlier socket at the address"
            );
            assert!(
                belongs_to_socket(&socket, &Assignment { inode: 0, ..record() }, 0),
                "both of the kernel"
            );
        }
    }

    #[test]
    fn a_closed_connection_is_known_by_its_sequence_number_too() {
        let tw = Socket { local: [1; 16], remote: [2; 16], remote_port: 443, family: 2, ..Socket::default() };
        let last = LastOwner {
            assignment: Assignment { netns: 9, ..record() },
            local: tw.local,
            remote: tw.remote,
            remote_port: 443,
            family: 2,
            snd_nxt: 1_000,
            ..LastOwner::default()
        };
        assert!(belongs_to_time_wait(&last, &tw, 9, PORT, 1_000));
        assert!(
            !belongs_to_time_wait(&last, &tw, 9, PORT, 1_001),
            "a later connection between the same ports"
        );
        assert!(!belongs_to_time_wait(&last, &tw, 8, PORT, 1_000), "another namespace");
        assert!(!belongs_to_time_wait(&last, &tw, 9, PORT + 1, 1_000));
        for other in [
            Socket { remote_port: 80, ..tw },
            Socket { family: 10, ..tw },
            Socket { local: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 9], ..tw },
            Socket { remote: [9, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2], ..tw },
        ] {
            assert!(!belongs_to_time_wait(&last, &other, 9, PORT, 1_000), "{other:?}");
        }
    }
}
