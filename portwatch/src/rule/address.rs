//! Whether two local addresses overlap: `inet_rcv_saddr_equal(binder, holder, match_wildcard = true)`.
//!
//! Not symmetric: an IPv4 binder never looks at the holder's IPv6 address, only at the IPv4 address that the kernel
//! keeps beside it. So an IPv6 client whose port the kernel chose blocks 0.0.0.0, but not 127.0.0.1.

use super::{Local, Lookup};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The IPv4 address that the kernel gives to sockets with a real IPv6 address (`LOOPBACK4_IPV6`).
const PLACEHOLDER: [u8; 4] = [127, 0, 0, 6];
const ANY: [u8; 4] = [0; 4];

pub(super) fn overlap(binder: Local, holder: Local) -> bool {
    let (Local::V6 { address: a, only: a_only }, Local::V6 { address: b, only: b_only }) = (binder, holder)
    else {
        return match (binder, holder) {
            // An IPv6 binder meets an IPv4 holder as if that were mapped.
            (Local::V6 { address, only }, Local::V4(_)) => {
                mapped(address).is_some() && overlap_v4(binder, holder) || address.is_unspecified() && !only
            }
            _ => overlap_v4(binder, holder),
        };
    };
    if mapped(a).is_some() && mapped(b).is_some() {
        return overlap_v4(binder, holder);
    }
    a == b
        || b.is_unspecified() && !(b_only && mapped(a).is_some())
        || a.is_unspecified() && !(a_only && mapped(b).is_some())
}

/// Whether the kernel never compares the two though their addresses overlap: in the table by address a specific address
/// finds only the very same one and wildcards, so that it cannot be taken for another's placeholder.
pub(super) fn is_overlooked(binder: Local, holder: Local, lookup: Lookup) -> bool {
    let is_placeholder =
        matches!(holder, Local::V6 { address, .. } if mapped(address).is_none() && !address.is_unspecified());
    let is_mapped = |local: Local| matches!(local, Local::V6 { address, .. } if mapped(address).is_some());
    match (binder, lookup) {
        _ if v4(binder) == ANY => false,
        (_, Lookup::ByPort) => false,
        (Local::V4(_), _) => is_placeholder,
        (_, Lookup::ByAddressAtFirst) => is_mapped(binder) && is_mapped(holder) && v4(holder) == ANY,
        _ => false,
    }
}

/// The comparison by IPv4 addresses only.
fn overlap_v4(binder: Local, holder: Local) -> bool {
    let (a, b) = (v4(binder), v4(holder));
    !is_v6_only(holder) && (a == b || a == ANY || b == ANY)
}

fn is_v6_only(local: Local) -> bool {
    matches!(local, Local::V6 { only: true, .. })
}

fn mapped(address: Ipv6Addr) -> Option<Ipv4Addr> {
    address.to_ipv4_mapped()
}

fn v4(local: Local) -> [u8; 4] {
    match local {
        Local::V4(address) => address,
        Local::V6 { address, .. } if address.is_unspecified() => ANY,
        Local::V6 { address, .. } => mapped(address).map_or(PLACEHOLDER, |v4| v4.octets()),
    }
}
