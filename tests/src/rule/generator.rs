//! Draws arrangements. What it never draws, and why, is said where it is left out.
//!
//! The kernel caches in a TCP port what its sockets had agreed to (`fastreuse`, `fastreuseport`) and lets a binder in
//! without asking the rule when the cache says yes. The cache forgets nothing: not that a socket has become an orphan,
//! nor that a stricter one has come by another device. Such a bind() says nothing about the rule. So here the cache never
//! learns more than is still true: options are only ever switched on after bind(), and SO_REUSEPORT is set late wherever
//! there are several holders or the holder's uid changes.
//!
//! The exception are lenient arrangements: options are switched off too, or UDP has so many sockets on the port that the
//! kernel may look by address. Of those it is only asked that the rule refuses wherever the kernel does, which is what
//! portwatch relies on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portwatch::rule::Table;

use super::plan::{Device, End, Fate, Plan, Planned, Recheck, Reuse, Way};
use super::random::Random;

/// An address of lo besides ::1.
pub(super) const SECOND_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// An address that only a crowd has.
pub(super) const CROWDED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const ANY4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
const LO4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LO6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// Wildcards and the usual loopbacks more often than the rest, so that addresses meet.
const ADDRESSES: [IpAddr; 18] = [
    ANY4,
    ANY4,
    ANY4,
    ANY6,
    ANY6,
    ANY6,
    ANY6,
    LO4,
    LO4,
    LO4,
    LO6,
    LO6,
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)),
    // The IPv4 address that the kernel writes beside a real IPv6 one.
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6)),
    IpAddr::V6(SECOND_V6),
    IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
    IpAddr::V6(Ipv4Addr::new(127, 0, 0, 6).to_ipv6_mapped()),
    IpAddr::V6(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped()),
];
const UIDS: [u32; 5] = [0, 0, 1000, 1000, 1001];
const DEVICES: [Device; 8] = [
    Device::None,
    Device::None,
    Device::None,
    Device::None,
    Device::Loopback,
    Device::Loopback,
    Device::Phantom1,
    Device::Phantom2,
];
const ENDS: [End; 9] = [
    End::Established,
    End::Established,
    End::Disconnected,
    End::SynSent,
    End::CloseWait,
    End::FinWait2,
    End::Orphan,
    End::FinWait2AsTimeWait,
    End::TimeWait,
];

/// Draws one arrangement. `tables` are the protocols that the kernel has.
pub(super) fn draw(random: &mut Random, tables: &[Table]) -> Plan {
    let table = random.pick(tables);
    let is_crowded = table != Table::Tcp && random.percent(5);
    let is_lenient = is_crowded || table == Table::Tcp && random.percent(6);
    let holders = random.pick(&[1, 1, 1, 1, 1, 1, 2, 2, 3]);
    let uid = random.pick(&UIDS);
    let mut sockets = if is_crowded { crowd(table) } else { Vec::new() };
    for _ in 0..holders {
        let place = Place { is_first: sockets.is_empty(), is_alone: holders == 1, is_lenient, table, uid };
        sockets.push(holder(random, &place));
    }
    sockets.push(binder(random, table, uid, tables));
    let recheck = (table == Table::Tcp && random.percent(50))
        .then(|| Recheck { others_first: random.percent(70), reuse: random.percent(80) });
    Plan { sockets, recheck, is_lenient }
}

/// More UDP sockets on the port than the kernel likes to go through (10): it may then look by address, and so overlook
/// a connected IPv6 socket from 127.0.0.6 (6.18, seed 2, arrangement 8861).
fn crowd(table: Table) -> Vec<Planned> {
    let socket = Planned {
        table,
        address: CROWDED.into(),
        only: false,
        early: Reuse { address: true, port: false },
        late: Reuse::default(),
        off: Reuse::default(),
        grouped: false,
        uids: [0, 0],
        device: Device::None,
        late_device: None,
        fate: Fate::Bound,
    };
    vec![socket; 12]
}

/// Where in the arrangement a holder comes.
struct Place {
    is_first: bool,
    is_alone: bool,
    is_lenient: bool,
    table: Table,
    /// Whose the others are: users are the same more often than not.
    uid: u32,
}

fn holder(random: &mut Random, place: &Place) -> Planned {
    let fate = fate(random, place);
    let mut socket = anything(random, place.table, place.uid);
    socket.fate = fate;
    socket.device = device_for(random, &socket);
    let is_live = !matches!(fate, Fate::Client(_, end) if end.is_closed());
    if is_live && random.percent(15) {
        socket.late_device = Some(random.pick(&[Device::Loopback, Device::Phantom1, Device::Phantom2]));
    }
    if place.is_lenient && place.table == Table::Tcp {
        socket.off = Reuse { address: random.percent(40), port: random.percent(40) };
        socket.late = Reuse::default();
    } else if place.table == Table::Tcp && !(place.is_alone && keeps_its_uid(fate)) {
        socket.late.port |= socket.early.port;
        socket.early.port = false;
        socket.grouped = false;
    }
    socket
}

/// Whether the uid that the kernel compares stays what it was at the bind(): see the top of this file.
fn keeps_its_uid(fate: Fate) -> bool {
    !matches!(fate, Fate::Accepted | Fate::Queued | Fate::Client(_, End::Orphan))
}

fn fate(random: &mut Random, place: &Place) -> Fate {
    // Only who comes first can be sure that the kernel has the one port of the range to give.
    let way = if place.is_first && random.percent(60) { Way::Connect } else { Way::Bind };
    if place.table != Table::Tcp {
        let end = if way == Way::Bind {
            random.pick(&[End::Established, End::Disconnected])
        } else {
            End::Established
        };
        let fates = [Fate::Bound, Fate::Bound, Fate::Client(way, end)];
        return if place.is_first && random.percent(15) { Fate::Sender } else { random.pick(&fates) };
    }
    let mut end = random.pick(&ENDS);
    if way == Way::Connect && end == End::Disconnected {
        end = End::Established; // a port that the kernel chose is given back by disconnecting
    }
    let client = Fate::Client(way, end);
    let fates =
        [Fate::Bound, Fate::Bound, Fate::Listening, Fate::Listening, Fate::Shut, client, client, client];
    // Nobody else may stand there to whom the connection could go.
    let first = [Fate::Accepted, Fate::Queued];
    if place.is_first && random.percent(18) { random.pick(&first) } else { random.pick(&fates) }
}

fn binder(random: &mut Random, table: Table, uid: u32, tables: &[Table]) -> Planned {
    let other = random.pick(tables);
    let table = if random.percent(3) { other } else { table };
    let mut socket = anything(random, table, uid);
    socket.late = Reuse::default();
    socket.device = device_for(random, &socket);
    socket
}

/// A socket with everything drawn but its fate and what depends on it.
fn anything(random: &mut Random, table: Table, uid: u32) -> Planned {
    let address = random.pick(&ADDRESSES);
    let uids = [uid, uid].map(|uid| if random.percent(60) { uid } else { random.pick(&UIDS) });
    let mut reuse = || Reuse { address: random.percent(50), port: random.percent(55) };
    let (early, late) = (reuse(), reuse());
    let seldom = random.percent(20);
    let late = Reuse { address: late.address && seldom, port: late.port && seldom };
    Planned {
        table,
        address,
        // bind() refuses it together with a mapped address.
        only: random.percent(40) && matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none()),
        early,
        late,
        off: Reuse::default(),
        grouped: early.port && random.percent(15),
        uids,
        device: Device::None,
        late_device: None,
        fate: Fate::Bound,
    }
}

/// Specific IPv6 addresses, mapped ones too, and connections want a device that exists.
fn device_for(random: &mut Random, socket: &Planned) -> Device {
    let device = random.pick(&DEVICES);
    let is_specific_v6 = matches!(socket.address, IpAddr::V6(v6) if !v6.is_unspecified());
    let is_idle = matches!(socket.fate, Fate::Bound | Fate::Listening | Fate::Shut);
    if device.is_real() || (is_idle && !is_specific_v6) { device } else { Device::Loopback }
}
