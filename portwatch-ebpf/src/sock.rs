//! Sockets: from a descriptor to the socket, and from a socket to the facts about it.

use portwatch_common::{Socket, record::flag};

use crate::constant::constant;
use crate::field::{Access, Probed, Typed, bits, field, fill, present};
use crate::{task, words};

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
pub(crate) const IPPROTO_TCP: u16 = 6;
pub(crate) const IPPROTO_UDP: u16 = 17;
pub(crate) const IPPROTO_SCTP: u16 = 132;
pub(crate) const IPPROTO_UDPLITE: u16 = 136;
/// The outer socket of MPTCP; its ports are TCP ports.
pub(crate) const IPPROTO_MPTCP: u16 = 262;
const SOCK_STREAM: u16 = 1;
pub(crate) const TCP_TIME_WAIT: u8 = 6;
pub(crate) const TCP_CLOSE: u8 = 7;
pub(crate) const TCP_LISTEN: u8 = 10;

const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// The user chose the number: SOCK_BINDPORT_LOCK.
const PORT_LOCK: u8 = 8;
/// Not even the largest systems have more descriptors in a process; bounds what a hostile descriptor can ask for.
const FD_LIMIT: u32 = 1 << 30;

/// The inet socket behind an open file, or null.
#[inline(always)]
pub(crate) fn of_file(file: *const u8) -> *const u8 {
    let inode: u64 = field!(Probed, file, file_inode);
    let mode: u16 = field!(Probed, inode as *const u8, inode_mode);
    if mode & S_IFMT != S_IFSOCK {
        return core::ptr::null();
    }
    let socket: u64 = field!(Probed, file, file_private);
    if socket == 0 {
        return core::ptr::null();
    }
    let sk: u64 = field!(Probed, socket as *const u8, socket_sk);
    let family: u16 = field!(Probed, sk as *const u8, skc_family);
    if family == AF_INET || family == AF_INET6 { sk as *const u8 } else { core::ptr::null() }
}

/// The inet socket behind a descriptor of the current process, or null.
#[inline(always)]
pub(crate) fn of_descriptor(fd: u32) -> *const u8 {
    let file = file(fd);
    if file.is_null() { file } else { of_file(file) }
}

/// Whether a descriptor of the current process that is known to be a socket is a stream; whatever is not must be looked at with
/// [`of_descriptor`]. In half as many reads.
#[inline(always)]
pub(crate) fn is_stream_descriptor(fd: u32) -> bool {
    let socket: u64 = field!(Probed, file(fd), file_private);
    let kind: u16 = field!(Probed, address(socket), socket_type);
    kind == SOCK_STREAM
}

/// The open file behind a descriptor of the current process, or null.
#[inline(always)]
fn file(fd: u32) -> *const u8 {
    let (max, array) = if constant!(tuning.task_btf) != 0 {
        files::<Typed>(task::current_typed())
    } else {
        files::<Probed>(task::current_address())
    };
    if fd >= max || fd >= FD_LIMIT {
        return core::ptr::null();
    }
    address(Probed::read(address(array + u64::from(fd) * 8), 0))
}

/// A task's open files: how many descriptors there are, and the array behind them.
#[inline(always)]
fn files<A: Access>(task: *const u8) -> (u32, u64) {
    let files: u64 = field!(A, task, task_files);
    let fdt: u64 = field!(A, address(files), files_fdt);
    (field!(A, address(fdt), fdt_max), field!(A, address(fdt), fdt_fd))
}

/// The socket that stands in the port table for `sk`: of a multipath one the TCP socket that it has made for itself.
#[inline(always)]
pub(crate) fn on_port(sk: *const u8) -> *const u8 {
    if !present!(mptcp_first) || protocol(sk) != IPPROTO_MPTCP {
        return sk;
    }
    let first: u64 = field!(Probed, sk, mptcp_first);
    if first == 0 { sk } else { first as *const u8 }
}

/// Inode of the socket; 0 for orphans and, on kernels that keep it with the file alone, for sockets of the kernel.
#[inline(always)]
pub(crate) fn inode<A: Access>(sk: *const u8) -> u64 {
    if present!(sk_ino) {
        return field!(A, sk, sk_ino);
    }
    // Null pointers read as zero.
    let socket = address(field!(A, sk, sk_socket));
    let file = address(field!(A, socket, socket_file));
    let inode = address(field!(A, file, file_inode));
    field!(A, inode, inode_ino)
}

/// Inode number of the network namespace.
#[inline(always)]
pub(crate) fn netns<A: Access>(sk: *const u8) -> u32 {
    let net = address(field!(A, sk, skc_net));
    field!(A, net, net_inum)
}

/// A pointer that was read.
#[inline(always)]
fn address(pointer: u64) -> *const u8 {
    pointer as *const u8
}

/// Whether the protocol's ports are recorded in the UDP tables.
#[inline(always)]
pub(crate) fn is_datagram(protocol: u16) -> bool {
    protocol == IPPROTO_UDP || protocol == IPPROTO_UDPLITE
}

/// Whether the socket's ports are ports at all: ping sockets and raw sockets have numbers that are not.
#[inline(always)]
pub(crate) fn has_ports(protocol: u16) -> bool {
    protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP || protocol == IPPROTO_SCTP || is_datagram(protocol)
}

/// The local port where `skc_num` may already be cleared.
#[inline(always)]
pub(crate) fn kept_port(sk: *const u8) -> u16 {
    let port: u16 = field!(Probed, sk, inet_sport);
    u16::from_be(port)
}

/// Fills `facts` with everything that is known of the socket. For TIME_WAIT only the common half exists.
#[inline(always)]
pub(crate) fn describe(sk: *const u8, facts: &mut Socket) {
    facts.address = sk as u64;
    // SAFETY: kind, state and padding are one word.
    unsafe { words::clear_from(&raw mut facts.kind) };
    facts.netns = netns::<Probed>(sk);
    fill!(facts.cookie, sk, skc_cookie);
    fill!(facts.device, sk, skc_bound_dev_if);
    fill!(facts.local_port, sk, skc_num);
    fill!(facts.state, sk, skc_state);
    endpoints::<Probed>(sk, facts);
    facts.flags = common_flags(sk);
    if facts.state == TCP_TIME_WAIT {
        // SAFETY: a word each.
        unsafe {
            words::clear_from(&raw mut facts.inode);
            words::clear_from(&raw mut facts.cgroup);
        }
        facts.uid = 0;
        facts.protocol = IPPROTO_TCP;
        facts.kind = SOCK_STREAM;
        return;
    }
    facts.inode = inode::<Probed>(sk);
    facts.cgroup = cgroup(sk);
    fill!(facts.uid, sk, sk_uid);
    fill!(facts.protocol, sk, sk_protocol);
    fill!(facts.kind, sk, sk_type);
    facts.flags |= full_flags(sk);
    // The kernel makes the TCP sockets of a multipath one for the process, which has it open like any other.
    let multipath = is_multipath::<Probed>(sk, facts.protocol);
    facts.protocol += multipath as u16 * (IPPROTO_MPTCP - IPPROTO_TCP);
    facts.flags &= !(multipath * flag::KERNEL);
}

/// 1 for a TCP socket of a multipath one. Without a branch, like all that describes a socket.
#[inline(always)]
pub(crate) fn is_multipath<A: Access>(sk: *const u8, protocol: u16) -> u32 {
    if !present!(tcp_is_mptcp) {
        return 0;
    }
    some(field!(Probed, sk, tcp_is_mptcp)) * u32::from(protocol == IPPROTO_TCP)
}

/// Mixes the remote address and port; 0 if there are none. All of an IPv4 address counts, and the end of an IPv6 one.
#[inline(always)]
pub(crate) fn remote<A: Access>(sk: *const u8) -> u32 {
    let (family, port): (u16, u16) = (field!(A, sk, skc_family), field!(A, sk, skc_dport));
    let address: u32 = if family == AF_INET6 && present!(skc_v6_daddr) {
        A::read(sk, constant!(offsets.skc_v6_daddr) + 12)
    } else {
        field!(A, sk, skc_daddr)
    };
    if port == 0 { 0 } else { (address ^ u32::from(port) << 16).wrapping_mul(0x9e37_79b1) }
}

/// Next sequence number that a TCP socket sends.
#[inline(always)]
pub(crate) fn snd_nxt(sk: *const u8) -> u32 {
    field!(Probed, sk, tcp_snd_nxt)
}

/// The same of the connection that left this TIME_WAIT socket.
#[inline(always)]
pub(crate) fn snd_nxt_of_time_wait<A: Access>(tw: *const u8) -> u32 {
    field!(A, tw, skc_tw_snd_nxt)
}

/// IPPROTO_*; never of a TIME_WAIT socket, which has no such field.
#[inline(always)]
pub(crate) fn protocol(sk: *const u8) -> u16 {
    field!(Probed, sk, sk_protocol)
}

/// The part that says which connection it is: family, both addresses, the remote port.
#[inline(always)]
pub(crate) fn endpoints<A: Access>(sk: *const u8, facts: &mut Socket) {
    facts.family = field!(A, sk, skc_family);
    facts.remote_port = u16::from_be(field!(A, sk, skc_dport));
    if facts.family == AF_INET6 && present!(skc_v6_rcv_saddr) && present!(skc_v6_daddr) {
        facts.local = ipv6::<A>(sk, constant!(offsets.skc_v6_rcv_saddr));
        facts.remote = ipv6::<A>(sk, constant!(offsets.skc_v6_daddr));
    } else {
        facts.local = ipv4::<A>(sk, constant!(offsets.skc_rcv_saddr));
        facts.remote = ipv4::<A>(sk, constant!(offsets.skc_daddr));
    }
}

/// An IPv4 address fills the first four bytes.
#[inline(always)]
fn ipv4<A: Access>(sk: *const u8, offset: u32) -> [u8; 16] {
    let words = [u64::from(A::read::<u32>(sk, offset)), 0];
    // SAFETY: of the same size; the lowest byte comes first.
    unsafe { core::mem::transmute(words) }
}

/// As two words: no load is longer.
#[inline(always)]
fn ipv6<A: Access>(sk: *const u8, offset: u32) -> [u8; 16] {
    let words = [A::read::<u64>(sk, offset), A::read::<u64>(sk, offset + 8)];
    // SAFETY: of the same size, and any bytes are an address.
    unsafe { core::mem::transmute(words) }
}

/// Branch-free: every branch here would double the verifier's work.
#[inline(always)]
fn common_flags(sk: *const u8) -> u32 {
    (some(bits::<Probed>(sk, constant!(offsets.skc_reuse), 0xf)) * flag::REUSE)
        | (some(bits::<Probed>(sk, constant!(offsets.skc_reuseport), 1)) * flag::REUSEPORT)
        | (some(bits::<Probed>(sk, constant!(offsets.skc_ipv6only), 1)) * flag::V6ONLY)
}

#[inline(always)]
fn full_flags(sk: *const u8) -> u32 {
    let socket: u64 = field!(Probed, sk, sk_socket);
    let mut flags = (some(bits::<Probed>(sk, constant!(offsets.sk_kern_sock), 1)) * flag::KERNEL)
        | (some(bits::<Probed>(sk, constant!(offsets.sk_userlocks), PORT_LOCK)) * flag::PORT_LOCKED)
        | ((1 - some_word(socket)) * flag::ORPHAN);
    if present!(sk_reuseport_cb) {
        flags |= some_word(field!(Probed, sk, sk_reuseport_cb)) * flag::REUSEPORT_GROUP;
    }
    flags
}

/// 1 for any value but 0, without a branch.
#[inline(always)]
fn some_word(word: u64) -> u32 {
    ((word | word.wrapping_neg()) >> 63) as u32
}

#[inline(always)]
fn some(byte: u8) -> u32 {
    some_word(u64::from(byte))
}

/// Whether the user chose the number.
#[inline(always)]
pub(crate) fn port_locked(sk: *const u8) -> bool {
    bits::<Probed>(sk, constant!(offsets.sk_userlocks), 0xf) & PORT_LOCK != 0
}

#[inline(always)]
fn cgroup(sk: *const u8) -> u64 {
    if !present!(sk_cgroup) || !present!(cgroup_kn) || !present!(kernfs_id) {
        return 0;
    }
    let cgroup: u64 = field!(Probed, sk, sk_cgroup);
    let node: u64 = field!(Probed, cgroup as *const u8, cgroup_kn);
    field!(Probed, node as *const u8, kernfs_id)
}
