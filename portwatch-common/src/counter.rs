//! Indices of the counters of a [`crate::Cpu`]: what was seen and, above all, what was lost.

macro_rules! counters {
    ($($(#[$doc:meta])* $constant:ident = $index:literal, $name:literal;)*) => {
        $($(#[$doc])* pub const $constant: u32 = $index;)*
        /// Name of every counter, by index.
        pub const NAMES: &[&str] = &[$($name),*];
    };
}

counters! {
    /// bind() and listen() refusals and exhaustions seen by the kernel side.
    REFUSALS = 0, "refusals";
    /// Refusals that found the ring buffer full.
    REFUSALS_LOST = 1, "refusals_lost";
    /// Holders of a reported refusal that found the ring buffer full.
    HOLDERS_LOST = 2, "holders_lost";
    /// First-port announcements of processes that found the ring buffer full.
    PROCESSES_LOST = 3, "processes_lost";
    /// Assignments not recorded because their bucket of `PORTS` and `PORTS_SPILL` were full.
    PORTS_FULL = 4, "ports_full";
    /// bind() or listen() calls not followed because `ATTEMPTS` was full.
    ATTEMPTS_FULL = 5, "attempts_full";
    /// Bucket walks that stopped at their bound with sockets left to see.
    WALKS_CUT = 6, "walks_cut";
    /// Sockets found by the start-up snapshot.
    PREEXISTING = 7, "preexisting";
    /// Entries or returns of a function for which the kernel's probe did not fire, so that a call was not understood.
    PROBES_MISSED = 8, "probes_missed";
    /// Calls not understood because `CALLS` was full.
    CALLS_FULL = 9, "calls_full";
    /// Events that the kernel did not call the hook's first program for, and its stand-in saw to.
    STOOD_IN = 10, "stood_in";
    /// Records of closed sockets overwritten by those of other connections within two minutes, so that a TIME_WAIT socket may
    /// be without its record.
    CLOSED_EVICTED = 11, "closed_evicted";
    /// Records of closed sockets not kept: another CPU took the same slot of `LAST`, or the kernel's hash was locked.
    CLOSED_LOST = 12, "closed_lost";
    /// Assignments not recorded because `PORTS_SPILL` was locked by another program on the same CPU.
    PORTS_BUSY = 13, "ports_busy";
}

/// Values of [`crate::code::how`] that fit: a power of two.
pub const HOWS: u32 = 8;
/// Protocols whose assignments are counted, by IPPROTO_*; the last stands for the rest, which is MPTCP.
pub const PROTOCOLS: [u16; 5] = [6, 17, 136, 132, 262];
/// Where the counters of assignments begin: one for each protocol and way of coming to a port, see [`assigned`].
pub const ASSIGNED: u32 = NAMES.len() as u32;
/// Number of counters.
pub const COUNT: u32 = ASSIGNED + PROTOCOLS.len() as u32 * HOWS;

/// Index of the counter of ports that sockets of a protocol came to in this way.
#[inline(always)]
pub const fn assigned(protocol: u16, how: u8) -> u32 {
    let row = match protocol {
        6 => 0,
        17 => 1,
        136 => 2,
        132 => 3,
        _ => 4,
    };
    ASSIGNED + row * HOWS + (how as u32 & (HOWS - 1))
}
