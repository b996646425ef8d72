//! The sockets on a port, from the kernel's own port tables. Lockless: every socket met is checked again when it is read.
//!
//! The walks are global functions: the verifier checks each once, by itself, and not once for every path that leads to
//! it. So they take and return plain numbers only.

use crate::constant::constant;
use crate::emit;
use crate::field::{Access, Probed, field, present};

/// Ports that share a hash bucket: looked at before giving up.
const PORTS_IN_BUCKET: u32 = 64;
/// Steps over the sockets of a port. Bounds the work of a refusal on a busy server's port.
const SOCKETS_ON_PORT: u32 = 96;
/// Sockets that share a slot of the UDP table.
const SOCKETS_IN_SLOT: u32 = 128;
/// Holders sent for one refusal: one process usually stands behind all of them.
const MOST_SENT: u32 = 32;

/// What came of a walk, packed into the one number that a global function may return: records sent in the low half,
/// lost from bit 32 on. Sums of such numbers are sums of both, and one unknown number keeps the verifier's states few.
#[derive(Clone, Copy)]
pub(crate) struct Outcome(pub(crate) u64);

impl Outcome {
    /// One holder found the ring full.
    pub(crate) const LOST: u64 = 1 << 32;
    const CUT: u64 = 1 << 62;
    pub(crate) const BLIND: u64 = 1 << 63;

    /// Records sent.
    #[inline(always)]
    pub(crate) fn sent(self) -> u16 {
        self.0 as u16
    }
    /// Holders that found the ring full.
    #[inline(always)]
    pub(crate) fn lost(self) -> u16 {
        (self.0 >> 32) as u16
    }
    /// Stopped with sockets left to see.
    #[inline(always)]
    pub(crate) fn cut(self) -> bool {
        self.0 & Self::CUT != 0
    }
    /// The kernel's table could not be found.
    #[inline(always)]
    pub(crate) fn blind(self) -> bool {
        self.0 & Self::BLIND != 0
    }
}

/// Sends the sockets on a TCP port; returns an [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_tcp(net: u64, netns: u32, port: u32, refusal: u64) -> u64 {
    if !present!(net_tcp_hashinfo) || !(present!(tb_owners) || present!(tb_bhash2)) {
        return Outcome::BLIND;
    }
    let bucket = walk_bucket(net, port) as *const u8;
    if bucket.is_null() {
        return 0;
    }
    let (mut address, mut socket): (u64, u64) = (0, 0);
    if present!(tb_owners) {
        socket = field!(Probed, bucket, tb_owners);
    } else {
        address = field!(Probed, bucket, tb_bhash2);
    }
    let mut sum = 0;
    for _ in 0..SOCKETS_ON_PORT {
        if socket == 0 {
            if address == 0 {
                return sum;
            }
            let entry = address.wrapping_sub(u64::from(constant!(offsets.tb2_bhash_node)));
            socket = field!(Probed, entry as *const u8, tb2_owners);
            address = Probed::read(address as *const u8, 0);
            continue;
        }
        let sk = socket.wrapping_sub(u64::from(constant!(offsets.skc_bind_node)));
        sum += emit::send_holder(sk, refusal, netns, port);
        if sum as u32 >= MOST_SENT {
            break;
        }
        socket = Probed::read(socket as *const u8, 0);
    }
    sum | Outcome::CUT
}

/// The kernel's record of a TCP port: its hash chain is searched for number and namespace. 0: nobody has the port.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_bucket(net: u64, port: u32) -> u64 {
    let info: u64 = field!(Probed, net as *const u8, net_tcp_hashinfo);
    let size: u32 = field!(Probed, info as *const u8, hashinfo_bhash_size);
    let table: u64 = field!(Probed, info as *const u8, hashinfo_bhash);
    let offset =
        slot(net, port, size.wrapping_sub(1)).wrapping_mul(u64::from(constant!(offsets.bhash_bucket_size)));
    let mut node: u64 = field!(Probed, (table.wrapping_add(offset)) as *const u8, bhash_bucket_chain);
    for _ in 0..PORTS_IN_BUCKET {
        if node == 0 {
            return 0;
        }
        let bucket = node.wrapping_sub(u64::from(constant!(offsets.tb_node)));
        let number: u16 = field!(Probed, bucket as *const u8, tb_port);
        let owner: u64 = field!(Probed, bucket as *const u8, tb_net);
        if u32::from(number) == port && owner == net {
            return bucket;
        }
        node = Probed::read(node as *const u8, 0);
    }
    0
}

/// Sends the sockets on a UDP port; `table` is the kernel's UDP table. Returns an [`Outcome`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn walk_udp(net: u64, table: u64, netns: u32, port: u32, refusal: u64) -> u64 {
    if table == 0 {
        return Outcome::BLIND;
    }
    let mask: u32 = field!(Probed, table as *const u8, udp_table_mask);
    let slots: u64 = field!(Probed, table as *const u8, udp_table_hash);
    let offset = slot(net, port, mask).wrapping_mul(u64::from(constant!(offsets.udp_slot_size)));
    let mut node: u64 = field!(Probed, (slots.wrapping_add(offset)) as *const u8, udp_slot_head);
    let mut sum = 0;
    for _ in 0..SOCKETS_IN_SLOT {
        if node == 0 {
            return sum;
        }
        let sk = node.wrapping_sub(u64::from(constant!(offsets.skc_node)));
        sum += emit::send_holder(sk, refusal, netns, port);
        if sum as u32 >= MOST_SENT {
            break;
        }
        node = Probed::read(node as *const u8, 0);
    }
    sum | Outcome::CUT
}

/// Older kernels hang the UDP table on the protocol, newer ones on the namespace; UDP-Lite always has its own.
#[inline(always)]
pub(crate) fn udp_table(sk: *const u8, net: u64) -> u64 {
    let mut table = 0;
    if present!(proto_udp_table) {
        let protocol: u64 = field!(Probed, sk, skc_prot);
        table = field!(Probed, protocol as *const u8, proto_udp_table);
    }
    if table == 0 && present!(net_udp_table) {
        table = field!(Probed, net as *const u8, net_udp_table);
    }
    table
}

#[inline(always)]
fn slot(net: u64, port: u32, mask: u32) -> u64 {
    let mix: u32 = field!(Probed, net as *const u8, net_hash_mix);
    u64::from(port.wrapping_add(mix) & mask)
}
