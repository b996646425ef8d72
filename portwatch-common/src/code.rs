//! The numbers that stand in the records: tags, kinds and flags. Gaps leave room; a number never changes its meaning.

/// First word of every ring record.
pub mod tag {
    /// [`crate::record::Process`].
    pub const PROCESS: u32 = 0x10;
    /// [`crate::record::Holder`].
    pub const HOLDER: u32 = 0x20;
    /// [`crate::record::Refusal`]: follows its holders and closes the group.
    pub const REFUSAL: u32 = 0x30;
}

/// How a socket came to its port: values of [`crate::Assignment::how`].
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
    /// The same, and the kernel had chosen the number.
    pub const PREEXISTING_CHOSEN: u8 = 8;
}

/// The refused call: values of [`crate::Refusal::operation`] and [`crate::Attempt::operation`].
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

/// A function of the kernel between whose entry and return something must be kept: part of the key of `CALLS`.
pub mod function {
    /// `inet_csk_get_port`.
    pub const TCP_PORT: u32 = 1;
    /// `udp_lib_get_port`, from the entry of `inet_autobind` on where that leads to it.
    pub const UDP_PORT: u32 = 2;
    /// `inet_hash_connect` and its IPv6 sister.
    pub const CONNECT: u32 = 3;
    /// `inet_bind` and its IPv6 sister, of SCTP sockets.
    pub const SCTP_BIND: u32 = 4;
}

/// How a holder was met: values of [`crate::Holder::found_by`].
pub mod found_by {
    /// The kernel's own comparison said "conflict" for this socket, in this very call.
    pub const VERDICT: u8 = 1;
    /// Met on the wanted port in the kernel's port table, right after the refusal.
    pub const WALK: u8 = 2;
    /// In the `LAST` table: had the port last, by the record kept when it let go.
    pub const LAST: u8 = 3;
    /// By user space, in the kernel's own list of sockets, after the refusal.
    pub const LIST: u8 = 4;
}

/// Bits of [`crate::Socket::flags`].
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

/// Bits of [`crate::Refusal::flags`].
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
