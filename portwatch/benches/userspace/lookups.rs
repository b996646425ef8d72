//! The correlator's questions, answered from this host: most of their time is the kernel's.

use crate::stopwatch::again;
use criterion::Criterion;
use portwatch::correlate::{Lookups as _, ProcessId, Wanted};
use portwatch::owner::Live;
use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookups");
    let mut live = None;
    let me = own_id();
    again(&mut group, "process", || ask(&mut live).process(me));
    again(&mut group, "alive", || ask(&mut live).alive(me));
    let sockets: Vec<UdpSocket> = (0..32).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port")).collect();
    let wanted: Vec<Wanted> = sockets.iter().map(|socket| wanted(socket, me)).collect();
    again(&mut group, "holders-of-1", || ask(&mut live).socket_holders(&wanted[..1]));
    again(&mut group, "holders-of-32", || ask(&mut live).socket_holders(&wanted));
    group.finish();
}

/// Made only where one of these is measured: valgrind, which counts the others, hides the page that the time is read from.
fn ask(live: &mut Option<Live>) -> &mut Live {
    live.get_or_insert_with(Live::new)
}

fn own_id() -> ProcessId {
    let stat = fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields = stat.rsplit_once(')').expect("a name").1;
    let start_ticks = fields.split_ascii_whitespace().nth(19).and_then(|field| field.parse().ok());
    ProcessId { tgid: std::process::id(), start_ticks: start_ticks.expect("a start time") }
}

fn wanted(socket: &UdpSocket, owner: ProcessId) -> Wanted {
    let link = format!("/proc/self/fd/{}", socket.as_raw_fd());
    let inode = fs::metadata(link).expect("an open socket").ino();
    Wanted { inode, hint: Some(owner), sharers: false }
}
