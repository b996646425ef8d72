//! The records that cross from kernel to user space, through the ring buffer and through maps.
//!
//! Addresses are 16 bytes in network order; an `AF_INET` address fills the first four. Times are nanoseconds on the
//! boot clock (`CLOCK_BOOTTIME`). Ports are in host order.

/// First word of every ring record. Gaps leave room; numbers never change their meaning.
pub mod tag {
    /// [`super::Process`].
    pub const PROCESS: u32 = 0x10;
    /// [`super::Holder`].
    pub const HOLDER: u32 = 0x20;
    /// [`super::Refusal`]: follows its holders and closes the group.
    pub const REFUSAL: u32 = 0x30;
}

/// How a socket came to its port: values of [`Assignment::how`].
pub mod how {
    /// Not known.
    pub const UNKNOWN: u8 = 0;
    /// connect() of an unbound TCP socket: the kernel chose.
    pub const CONNECT: u8 = 1;
    /// bind() to port 0: the kernel chose.
    pub const BIND0: u8 = 2;
    /// bind() to a number.
    pub const BIND: u8 = 3;
    /// UDP sent or connected without bind: the kernel chose.
    pub const AUTOBIND: u8 = 4;
    /// listen() without bind: the kernel chose.
    pub const LISTEN: u8 = 5;
    /// Accepted by a listener, whose port it shares.
    pub const ACCEPT: u8 = 6;
    /// Had it before portwatch looked.
    pub const PREEXISTING: u8 = 7;
}

/// The refused call: values of [`Refusal::operation`] and [`Attempt::operation`].
pub mod operation {
    /// bind().
    pub const BIND: u8 = 1;
    /// listen().
    pub const LISTEN: u8 = 2;
    /// connect().
    pub const CONNECT: u8 = 3;
    /// UDP autobind.
    pub const AUTOBIND: u8 = 4;
}

/// How a holder was met: values of [`Holder::found_by`].
pub mod found_by {
    /// The kernel's own comparison said "conflict" for this socket, in this very call.
    pub const VERDICT: u8 = 1;
    /// Met on the wanted port in the kernel's port table, right after the refusal.
    pub const WALK: u8 = 2;
    /// In the `LAST` table: had the port last, by the record kept when it let go.
    pub const LAST: u8 = 3;
}

/// Bits of [`Socket::flags`].
pub mod flag {
    /// SO_REUSEADDR (or forced).
    pub const REUSE: u32 = 1;
    /// SO_REUSEPORT.
    pub const REUSEPORT: u32 = 1 << 1;
    /// IPV6_V6ONLY, also where the kernel forces it for the time of a bind to a specific IPv6 address.
    pub const V6ONLY: u32 = 1 << 2;
    /// A socket of the kernel itself.
    pub const KERNEL: u32 = 1 << 3;
    /// No user-facing half: orphan or not yet accepted.
    pub const ORPHAN: u32 = 1 << 4;
    /// Bound by number (SOCK_BINDPORT_LOCK): not chosen by the kernel.
    pub const PORT_LOCKED: u32 = 1 << 5;
    /// Member of a SO_REUSEPORT group.
    pub const REUSEPORT_GROUP: u32 = 1 << 6;
}

/// Bits of [`Refusal::flags`].
pub mod refusal_flag {
    /// The wanted port is in ip_local_reserved_ports.
    pub const RESERVED: u8 = 1;
    /// The walk over the port's sockets stopped at its bound.
    pub const WALK_CUT: u8 = 1 << 1;
    /// The kernel has no table that the walk could find.
    pub const NO_WALK: u8 = 1 << 2;
    /// The kernel's verdict was not followed: its hooks are missing or their table was full.
    pub const NO_VERDICT: u8 = 1 << 3;
}

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
    /// Always 0.
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
    /// Inode of the socket, 0 for sockets of the kernel.
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
    /// Inode, 0 for orphans, TIME_WAIT and sockets of the kernel.
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

/// A port of a namespace: the key of `LAST`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortKey {
    /// Network namespace.
    pub netns: u32,
    /// The port.
    pub port: u16,
    /// IPPROTO_*.
    pub protocol: u8,
    /// Folded remote address and port: connections that share a source port keep a record each.
    pub slot: u8,
}

/// Who had a port last and when they let go: the value of `LAST`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastOwner {
    /// Who had it, and how.
    pub assignment: Assignment,
    /// When the socket let go of the port.
    pub released_ns: u64,
    /// The socket's local address.
    pub local: [u8; 16],
    /// The socket's remote address.
    pub remote: [u8; 16],
    /// The socket's remote port.
    pub remote_port: u16,
    /// AF_INET or AF_INET6.
    pub family: u16,
    /// Always 0.
    pub pad: u32,
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

/// A bind() or listen() on its way: what the thread asked for and, from the verdict hooks, what stood against it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// The wanted address (tracepoint backend).
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
    /// Always 0.
    pub pad: [u8; 6],
    /// The socket of `has_by_address`, with its assignment.
    pub by_address: Holder,
    /// The socket of `has_by_rule`, with its assignment.
    pub by_rule: Holder,
}

const NO_TASK: Task = Task { start_ns: 0, cgroup: 0, tgid: 0, tid: 0, uid: 0, pad: 0, comm: [0; 16] };
const NO_ASSIGNMENT: Assignment =
    Assignment { task: NO_TASK, assigned_ns: 0, inode: 0, netns: 0, port: 0, protocol: 0, how: 0 };
const NO_SOCKET: Socket = Socket {
    address: 0,
    cookie: 0,
    inode: 0,
    cgroup: 0,
    local: [0; 16],
    remote: [0; 16],
    netns: 0,
    uid: 0,
    device: 0,
    flags: 0,
    local_port: 0,
    remote_port: 0,
    protocol: 0,
    family: 0,
    kind: 0,
    state: 0,
    pad: [0; 5],
};
const NO_HOLDER: Holder = Holder {
    tag: 0,
    found_by: 0,
    has_assignment: 0,
    pad: 0,
    refusal: 0,
    socket: NO_SOCKET,
    assignment: NO_ASSIGNMENT,
    released_ns: 0,
};

impl Attempt {
    /// A call that has only begun, as a constant: the kernel side inserts it from read-only memory.
    pub const NEW: Self = Self {
        address: [0; 16],
        fd: 0,
        port: 0,
        operation: 0,
        has_by_address: 0,
        has_by_rule: 0,
        has_address: 0,
        pad: [0; 6],
        by_address: NO_HOLDER,
        by_rule: NO_HOLDER,
    };
}

/// Settings of the kernel side, fixed at load.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// 1: every release is remembered in `LAST`; 0: only where TIME_WAIT needs it.
    pub keep_last: u32,
    /// 1: the current task can be had as a typed pointer, whose fields are plain loads (5.11+).
    pub task_btf: u32,
    /// 1: UDP records go to `DATAGRAMS`, because this backend sees no UDP release.
    pub datagrams: u32,
    /// Always 0.
    pub pad: u32,
}

const _: () = {
    assert!(size_of::<Task>() == 48 && align_of::<Task>() == 8);
    assert!(size_of::<Assignment>() == 72 && align_of::<Assignment>() == 8);
    assert!(size_of::<Socket>() == 96 && align_of::<Socket>() == 8);
    assert!(size_of::<Process>() == 56 + ARGV_BYTES && align_of::<Process>() == 8);
    assert!(size_of::<Holder>() == 192 && align_of::<Holder>() == 8);
    assert!(size_of::<Refusal>() == 184 && align_of::<Refusal>() == 8);
    assert!(size_of::<PortKey>() == 8 && align_of::<PortKey>() == 4);
    assert!(size_of::<LastOwner>() == 120 && align_of::<LastOwner>() == 8);
    assert!(size_of::<ProcessKey>() == 16 && align_of::<ProcessKey>() == 8);
    assert!(size_of::<Attempt>() == 32 + 2 * 192 && align_of::<Attempt>() == 8);
    assert!(size_of::<Tuning>() == 16 && align_of::<Tuning>() == 4);
};
