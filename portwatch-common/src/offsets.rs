//! The kernel fields that the kernel side reads, by their BTF path.
//!
//! rustc emits no CO-RE relocations. User space looks every path up in the running kernel's BTF once and puts the
//! result into the instructions of the kernel side, see [`crate::marks`]: to the verifier they are constants.

/// Value of an offset whose field the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// How the number is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Offset of the field from the start of the outermost struct, in bytes.
    Byte,
    /// The same in bits: for bit fields, which share a byte.
    Bit,
    /// Size of the type named by the path, in bytes.
    Size,
}

/// What its absence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// No backend can work without it.
    Required,
    /// Some kernels lack it: the kernel side has another way, or reports the fact as unknown.
    Optional,
}

/// One looked-up number.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name of the member of [`Offsets`].
    pub name: &'static str,
    /// `struct.member.member…`; anonymous structs and unions are transparent.
    pub path: &'static str,
    /// How the number is to be read.
    pub unit: Unit,
    /// What its absence means.
    pub need: Need,
}

macro_rules! offsets {
    ($($(#[$doc:meta])* $name:ident: $path:tt $unit:ident $need:ident;)*) => {
        /// Offsets of the kernel fields, from the running kernel's BTF; see [`FIELDS`] for the paths.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Offsets {
            $($(#[$doc])* pub $name: u32,)*
        }

        impl Offsets {
            /// Nothing known yet.
            pub const UNKNOWN: Self = Self { $($name: ABSENT,)* };

            /// Builds the offsets by looking every field up.
            pub fn resolve(mut lookup: impl FnMut(&Field) -> u32) -> Self {
                let mut fields = FIELDS.iter();
                Self { $($name: fields.next().map_or(ABSENT, &mut lookup),)* }
            }

            /// The member that lies `place` bytes from the start.
            #[must_use]
            pub fn at(&self, place: usize) -> Option<u32> {
                [$(self.$name),*].get(place / size_of::<u32>()).copied()
            }
        }

        /// Every field, in the order of the members of [`Offsets`].
        pub const FIELDS: &[Field] = &[
            $(Field { name: stringify!($name), path: $path, unit: Unit::$unit, need: Need::$need },)*
        ];
    };
}

offsets! {
    /// Remote IPv4 address.
    skc_daddr: "sock_common.skc_daddr" Byte Required;
    /// Local IPv4 address.
    skc_rcv_saddr: "sock_common.skc_rcv_saddr" Byte Required;
    /// Remote port, network order.
    skc_dport: "sock_common.skc_dport" Byte Required;
    /// Local port, host order.
    skc_num: "sock_common.skc_num" Byte Required;
    /// Address family.
    skc_family: "sock_common.skc_family" Byte Required;
    /// TCP state.
    skc_state: "sock_common.skc_state" Byte Required;
    /// SO_REUSEADDR (4 bits).
    skc_reuse: "sock_common.skc_reuse" Bit Required;
    /// SO_REUSEPORT.
    skc_reuseport: "sock_common.skc_reuseport" Bit Required;
    /// IPV6_V6ONLY.
    skc_ipv6only: "sock_common.skc_ipv6only" Bit Required;
    /// SO_BINDTODEVICE.
    skc_bound_dev_if: "sock_common.skc_bound_dev_if" Byte Required;
    /// Network namespace.
    skc_net: "sock_common.skc_net.net" Byte Required;
    /// Remote IPv6 address; absent where IPv6 is not built in.
    skc_v6_daddr: "sock_common.skc_v6_daddr" Byte Optional;
    /// Local IPv6 address.
    skc_v6_rcv_saddr: "sock_common.skc_v6_rcv_saddr" Byte Optional;
    /// Socket cookie, 0 until somebody asks for it.
    skc_cookie: "sock_common.skc_cookie" Byte Required;
    /// Hash of a connection's addresses and ports, with the kernel's secret; the same in the TIME_WAIT socket.
    skc_hash: "sock_common.skc_hash" Byte Required;
    /// Of a TIME_WAIT socket: next sequence number to send of the connection that left it.
    skc_tw_snd_nxt: "sock_common.skc_tw_snd_nxt" Byte Required;
    /// Link in the list of a TCP port's owners.
    skc_bind_node: "sock_common.skc_bind_node" Byte Required;
    /// Link in the UDP port table.
    skc_node: "sock_common.skc_node" Byte Required;
    /// Protocol operations.
    skc_prot: "sock_common.skc_prot" Byte Required;
    /// The user-facing half of the socket; null for orphans.
    sk_socket: "sock.sk_socket" Byte Required;
    /// IPPROTO_*.
    sk_protocol: "sock.sk_protocol" Byte Required;
    /// SOCK_*.
    sk_type: "sock.sk_type" Byte Required;
    /// Creator's uid.
    sk_uid: "sock.sk_uid" Byte Required;
    /// SOCK_BINDPORT_LOCK and friends (4 bits).
    sk_userlocks: "sock.sk_userlocks" Bit Required;
    /// Set for sockets of the kernel itself.
    sk_kern_sock: "sock.sk_kern_sock" Bit Optional;
    /// SO_REUSEPORT group.
    sk_reuseport_cb: "sock.sk_reuseport_cb" Byte Optional;
    /// Set for the TCP sockets of a multipath one; absent where that is not built in.
    tcp_is_mptcp: "tcp_sock.is_mptcp" Byte Optional;
    /// Next sequence number that a TCP socket sends.
    tcp_snd_nxt: "tcp_sock.snd_nxt" Byte Required;
    /// The TCP socket through which a multipath one took its port.
    mptcp_first: "mptcp_sock.first" Byte Optional;
    /// Local port, network order; kept where `skc_num` is already cleared.
    inet_sport: "inet_sock.inet_sport" Byte Required;
    /// Creator's cgroup.
    sk_cgroup: "sock.sk_cgrp_data.cgroup" Byte Optional;
    /// Inode number of the socket, where the kernel keeps it in the socket (6.18+).
    sk_ino: "sock.sk_ino" Byte Optional;
    /// Kernel object behind a cgroup.
    cgroup_kn: "cgroup.kn" Byte Optional;
    /// Id of that object: what `bpf_get_current_cgroup_id` returns.
    kernfs_id: "kernfs_node.id" Byte Optional;
    /// File of a socket.
    socket_file: "socket.file" Byte Required;
    /// SOCK_* of a socket.
    socket_type: "socket.type" Byte Required;
    /// The protocol half of a socket.
    socket_sk: "socket.sk" Byte Required;
    /// What a file refers to: a `struct socket` for sockets.
    file_private: "file.private_data" Byte Required;
    /// Inode of a file.
    file_inode: "file.f_inode" Byte Required;
    /// Inode number.
    inode_ino: "inode.i_ino" Byte Required;
    /// File type and mode.
    inode_mode: "inode.i_mode" Byte Required;
    /// Inode number of a network namespace.
    net_inum: "net.ns.inum" Byte Required;
    /// Per-namespace salt of the port tables.
    net_hash_mix: "net.hash_mix" Byte Required;
    /// TCP tables.
    net_tcp_hashinfo: "net.ipv4.tcp_death_row.hashinfo" Byte Optional;
    /// UDP table (6.2+).
    net_udp_table: "net.ipv4.udp_table" Byte Optional;
    /// ip_local_port_range as two ints (before 6.8).
    net_range_pair: "net.ipv4.ip_local_ports.range" Byte Required;
    /// Size of that field: 8 for two ints, 4 for `high << 16 | low`.
    net_range_size: "net.ipv4.ip_local_ports.range" Size Required;
    /// IP_LOCAL_PORT_RANGE of a socket, `high << 16 | low` (6.3+).
    sk_range: "inet_sock.local_port_range" Byte Optional;
    /// Bitmap of ip_local_reserved_ports.
    net_reserved: "net.ipv4.sysctl_local_reserved_ports" Byte Optional;
    /// Table of TCP ports.
    hashinfo_bhash: "inet_hashinfo.bhash" Byte Required;
    /// Its size in buckets.
    hashinfo_bhash_size: "inet_hashinfo.bhash_size" Byte Required;
    /// Size of one of its buckets.
    bhash_bucket_size: "inet_bind_hashbucket" Size Required;
    /// Chain of one of its buckets.
    bhash_bucket_chain: "inet_bind_hashbucket.chain" Byte Required;
    /// Link in that chain.
    tb_node: "inet_bind_bucket.node" Byte Required;
    /// Namespace of a port.
    tb_net: "inet_bind_bucket.ib_net.net" Byte Required;
    /// Number of a port.
    tb_port: "inet_bind_bucket.port" Byte Required;
    /// Sockets on a port (before 6.12).
    tb_owners: "inet_bind_bucket.owners" Byte Optional;
    /// Addresses on a port (6.12+), each with its sockets.
    tb_bhash2: "inet_bind_bucket.bhash2" Byte Optional;
    /// Link in that list.
    tb2_bhash_node: "inet_bind2_bucket.bhash_node" Byte Optional;
    /// Sockets on an address and port.
    tb2_owners: "inet_bind2_bucket.owners" Byte Optional;
    /// UDP table of a protocol (before 6.2, and UDP-Lite).
    proto_udp_table: "proto.h.udp_table" Byte Optional;
    /// Slots of the UDP port table.
    udp_table_hash: "udp_table.hash" Byte Required;
    /// Number of slots less one.
    udp_table_mask: "udp_table.mask" Byte Required;
    /// Size of a slot.
    udp_slot_size: "udp_hslot" Size Required;
    /// Chain of a slot.
    udp_slot_head: "udp_hslot.head" Byte Required;
    /// Leader of the thread group.
    task_leader: "task_struct.group_leader" Byte Required;
    /// Process id.
    task_tgid: "task_struct.tgid" Byte Required;
    /// Thread id.
    task_pid: "task_struct.pid" Byte Required;
    /// Start time on the boot clock.
    task_start: "task_struct.start_boottime" Byte Required;
    /// Name of the thread.
    task_comm: "task_struct.comm" Byte Required;
    /// Open files.
    task_files: "task_struct.files" Byte Required;
    /// Address space.
    task_mm: "task_struct.mm" Byte Required;
    /// Credentials.
    task_cred: "task_struct.cred" Byte Required;
    /// Its cgroups, of every hierarchy.
    task_cgroups: "task_struct.cgroups" Byte Optional;
    /// The one of cgroup v2.
    cgroups_default: "css_set.dfl_cgrp" Byte Optional;
    /// Effective uid.
    cred_euid: "cred.euid" Byte Required;
    /// Whether a task is of 32 bits: flags of its thread, which differ by architecture.
    task_abi: (by_arch("task_struct.thread_info.status", "task_struct.thread_info.flags")) Byte Optional;
    /// Number of a system call.
    regs_call: (by_arch("pt_regs.orig_ax", "pt_regs.syscallno")) Byte Required;
    /// Its first argument.
    regs_argument_0: (by_arch("pt_regs.di", "pt_regs.orig_x0")) Byte Required;
    /// Its second; on arm64 the first of the registers.
    regs_argument_1: (by_arch("pt_regs.si", "pt_regs.regs")) Byte Required;
    /// Its fifth; on arm64 behind the others.
    regs_argument_4: (by_arch("pt_regs.r8", "pt_regs.regs")) Byte Required;
    /// Start of the arguments.
    mm_arg_start: "mm_struct.arg_start" Byte Required;
    /// End of the arguments.
    mm_arg_end: "mm_struct.arg_end" Byte Required;
    /// Table of file descriptors.
    files_fdt: "files_struct.fdt" Byte Required;
    /// Array of files.
    fdt_fd: "fdtable.fd" Byte Required;
    /// Length of that array.
    fdt_max: "fdtable.max_fds" Byte Required;
}

/// Of a path that is not the same on all architectures the one of this.
const fn by_arch(x86_64: &'static str, aarch64: &'static str) -> &'static str {
    if cfg!(target_arch = "aarch64") { aarch64 } else { x86_64 }
}
