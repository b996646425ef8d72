//! The records that cross from kernel to user space, through the ring buffer and through maps.
//!
//! Addresses are 16 bytes in network order; an `AF_INET` address fills the first four. Times are nanoseconds on the
//! boot clock (`CLOCK_BOOTTIME`). Ports are in host order.

use crate::counter;

pub use crate::code::{flag, found_by, function, how, operation, refusal_flag, tag};

/// A task, as it was in the moment of the event. Identity is (`tgid`, `start_ns`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Start of the process.
    pub start_ns: u64,
    /// cgroup v2 id, 0 where unknown.
    pub cgroup: u64,
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Thread id.
    pub tid: u32,
    /// Effective uid.
    pub uid: u32,
    /// 0 on the ring. In a record of `PORTS`: the connection of the socket, 0 before connect(); see [`crate::identity`].
    pub pad: u32,
    /// Name of the process (of its first thread), NUL-padded; any bytes.
    pub comm: [u8; 16],
}

/// Who was given a port, how and when: the value of `PORTS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Who asked.
    pub task: Task,
    /// When.
    pub assigned_ns: u64,
    /// Inode of the socket; 0 for sockets of the kernel, before 6.18.
    pub inode: u64,
    /// Network namespace.
    pub netns: u32,
    /// The port; 0 where the record was made before the kernel chose.
    pub port: u16,
    /// IPPROTO_*.
    pub protocol: u8,
    /// [`how`].
    pub how: u8,
}

/// A socket as the kernel had it in the moment of the event.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// Its address in the kernel: identity only while it lives.
    pub address: u64,
    /// Socket cookie, 0 until somebody asked the kernel for it.
    pub cookie: u64,
    /// Inode; 0 for orphans, TIME_WAIT and, before 6.18, sockets of the kernel.
    pub inode: u64,
    /// cgroup v2 id of the creator, 0 where unknown.
    pub cgroup: u64,
    /// Local address.
    pub local: [u8; 16],
    /// Remote address.
    pub remote: [u8; 16],
    /// Network namespace.
    pub netns: u32,
    /// Creator's uid; 0 for TIME_WAIT, which keeps none.
    pub uid: u32,
    /// Interface index of SO_BINDTODEVICE, 0 for none.
    pub device: u32,
    /// [`flag`].
    pub flags: u32,
    /// Local port; in a refusal the wanted one.
    pub local_port: u16,
    /// Remote port, 0 for none.
    pub remote_port: u16,
    /// IPPROTO_*.
    pub protocol: u16,
    /// AF_INET or AF_INET6.
    pub family: u16,
    /// SOCK_*.
    pub kind: u16,
    /// TCP state; 6 is TIME_WAIT, 7 CLOSE (bound only, and UDP), 10 LISTEN.
    pub state: u8,
    /// Always 0.
    pub pad: [u8; 5],
}

/// A first port: who the process is, read while it certainly lives.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// [`tag::PROCESS`].
    pub tag: u32,
    /// Bytes of `argv` that are filled.
    pub argv_len: u32,
    /// The process.
    pub task: Task,
    /// Arguments, NUL-separated, cut at the array's size; any bytes.
    pub argv: [u8; ARGV_BYTES],
}

/// Room for the arguments of a process.
pub const ARGV_BYTES: usize = 256;

/// A socket on the refused port, with what is known of its assignment.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// [`tag::HOLDER`].
    pub tag: u32,
    /// [`found_by`].
    pub found_by: u8,
    /// 1 if `assignment` is filled.
    pub has_assignment: u8,
    /// Always 0.
    pub pad: u16,
    /// [`Refusal::id`] of the refusal it belongs to.
    pub refusal: u64,
    /// The socket.
    pub socket: Socket,
    /// Who was given the port.
    pub assignment: Assignment,
    /// When it let go; 0 while it holds.
    pub released_ns: u64,
}

/// A refused bind(), listen() or automatic choice. Its holders come before it on the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// [`tag::REFUSAL`].
    pub tag: u32,
    /// The positive errno.
    pub errno: u32,
    /// Thread id in the high half and a per-thread time stamp in the low one: joins holders to their refusal.
    pub id: u64,
    /// When.
    pub when_ns: u64,
    /// The victim.
    pub task: Task,
    /// What it wanted: `local` and `local_port`; port 0 means that the range was exhausted.
    pub socket: Socket,
    /// Holders sent before this record.
    pub holders: u16,
    /// Holders that found the ring full.
    pub holders_lost: u16,
    /// ip_local_port_range of the namespace: low end.
    pub range_low: u16,
    /// ip_local_port_range of the namespace: high end, inclusive.
    pub range_high: u16,
    /// [`operation`].
    pub operation: u8,
    /// [`refusal_flag`].
    pub flags: u8,
    /// Always 0.
    pub pad: [u8; 6],
}

/// A port of a namespace: the key of `SCTP`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// Network namespace.
    pub netns: u32,
    /// The port.
    pub port: u16,
    /// IPPROTO_*.
    pub protocol: u8,
    /// A number that sockets on one port hardly share.
    pub slot: u8,
}

/// The owner of a TCP socket that was closed: the value of `LAST`. It belongs to the TIME_WAIT socket with the same addresses,
/// ports and `snd_nxt`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastOwner {
    /// The process that the port was assigned to, and how.
    pub assignment: Assignment,
    /// When the socket was closed: of a connection, when its TIME_WAIT socket was made.
    pub released_ns: u64,
    /// The socket's local address.
    pub local: [u8; 16],
    /// The socket's remote address.
    pub remote: [u8; 16],
    /// The socket's remote port; 0 if it had no connection.
    pub remote_port: u16,
    /// AF_INET or AF_INET6.
    pub family: u8,
    /// State that it is reported with: TIME_WAIT for a connection, else CLOSE.
    pub state: u8,
    /// Next sequence number to send; 0 if it had no connection.
    pub snd_nxt: u32,
}

/// Identity of a process: the key of `PROCESS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// Start of the process.
    pub start_ns: u64,
    /// Process id.
    pub tgid: u32,
    /// Always 0.
    pub pad: u32,
}

/// What a CPU keeps for itself: the value of `CPUS`, whose parts are had by one lookup.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The process that was given a port last.
    pub recent: Recent,
    /// By [`crate::counter`].
    pub counters: [u64; counter::COUNT as usize],
}

/// The process that was given a port last on a CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Which.
    pub process: ProcessKey,
    /// When it was last looked up in `PROCESS`.
    pub asked_ns: u64,
}

/// What is known at the entry of a function and needed at its return: the value of `CALLS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Address of the socket.
    pub sk: u64,
    /// The wanted port, 0 where the kernel chooses.
    pub port: u16,
    /// [`how`] the socket comes to a port that the kernel chooses.
    pub how: u8,
    /// Always 0.
    pub pad: [u8; 5],
}

/// A bind() or listen() on its way: what the thread asked for and, from the verdict hooks, what stood against it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The wanted address (tracepoint backend, and SCTP).
    pub address: [u8; 16],
    /// The descriptor (tracepoint backend).
    pub fd: u32,
    /// The wanted port (tracepoint backend).
    pub port: u16,
    /// [`operation`] (tracepoint backend).
    pub operation: u8,
    /// 1: a comparison by address said "conflict"; `by_address` holds the last such socket.
    pub has_by_address: u8,
    /// 1: a comparison by the whole rule said "conflict"; `by_rule` holds the last such socket.
    pub has_by_rule: u8,
    /// 1: `address` is what the system call asked for; the socket has forgotten it by the time of the refusal.
    pub has_address: u8,
    /// Family of `address`; an SCTP socket of IPv6 takes addresses of IPv4 too.
    pub family: u16,
    /// Always 0.
    pub pad: [u8; 4],
    /// The socket that is being compared by address right now (kprobe backend).
    pub compared: u64,
    /// The socket that is being judged by the whole rule right now (kprobe backend).
    pub judged: u64,
    /// The socket of `has_by_address`, with its assignment.
    pub by_address: Holder,
    /// The socket of `has_by_rule`, with its assignment.
    pub by_rule: Holder,
}

impl Attempt {
    /// A call that has only begun, as a constant: the kernel side inserts it from read-only memory, since it is too
    /// large for the stack.
    // SAFETY: integers and arrays of integers only, for which zeros are a value.
    pub const NEW: Self = unsafe { core::mem::zeroed() };
}
