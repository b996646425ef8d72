//! Advice for a range that has no port left: by what fills it.

use super::{conflict, here};
use crate::advise::{RangeSettings, Situation, advise};
use crate::model::{
    Action, Advice, AssignedBy, Cause, Conflict, Destination, Exhaustion, Operation, PortsInUse, Range,
};
use crate::ports::PortList;

fn settings(listeners: &str) -> Situation {
    let listeners = PortList::parse(listeners).expect("a list");
    let range = RangeSettings { range: Some((32_768, 60_999)), listeners, timestamps: Some(true) };
    Situation { range: Some(range), ..here("8080") }
}

/// The default range, full: so many ports bound, and so many towards one destination, of which some are in TIME_WAIT.
fn full(operation: Operation, bound: u32, ports: u32, time_wait: u32) -> Conflict {
    let to =
        Destination { local: [10, 0, 0, 5].into(), remote: ([10, 0, 0, 9], 443).into(), ports, time_wait };
    let exhaustion = Exhaustion {
        low: 32_768,
        high: 60_999,
        ports: 28_232,
        in_use: PortsInUse { bound, established: ports - time_wait, time_wait, ..PortsInUse::default() },
        unavailable: bound,
        shared: ports,
        destination: (operation == Operation::Connect).then_some(to),
        destinations: vec![to],
        time_wait_reuse: Some(2),
        ..Exhaustion::default()
    };
    let mut conflict = conflict(Cause::Exhausted, false);
    conflict.operation = operation;
    (conflict.port, conflict.range.in_range) = (0, false);
    conflict.holders[0].sockets = Some(20_000);
    conflict.holders[0].assigned_by = AssignedBy::Bind0;
    Conflict { exhaustion: Some(exhaustion), ..conflict }
}

fn first(conflict: &Conflict, situation: &Situation) -> Advice {
    advise(conflict, situation).remove(0)
}

fn actions(conflict: &Conflict, situation: &Situation) -> Vec<Action> {
    advise(conflict, situation).iter().map(|advice| advice.action).collect()
}

#[test]
fn without_a_look_the_range_is_widened_where_there_is_room() {
    let mut none = Conflict { exhaustion: None, holders: Vec::new(), ..full(Operation::Bind, 1, 0, 0) };
    let advice = advise(&none, &here(""));
    assert_eq!(advice[0].commands, ["sysctl -w net.ipv4.ip_local_port_range='16384 60999'"]);
    assert_eq!(advice[1].commands, ["ss -tanpe"]);
    none.range.low = 1024;
    assert_eq!(actions(&none, &here("")), [Action::Inspect]);
}

#[test]
fn who_has_bound_half_of_it_is_restarted() {
    let mut bound = full(Operation::Connect, 28_232, 0, 0);
    let advice = first(&bound, &settings(""));
    assert_eq!(
        (advice.action, advice.commands),
        (Action::FreePort, vec!["systemctl restart hdfs.service".to_owned()])
    );
    assert!(
        advice.why.starts_with("java (pid 2210) has 20000 sockets on the range, which it has bound"),
        "{}",
        advice.why
    );
    let expected = [Action::FreePort, Action::WidenRange, Action::SetOption, Action::Inspect];
    assert_eq!(actions(&bound, &settings("")), expected);
    bound.holders[0].sockets = Some(100);
    assert_eq!(first(&bound, &settings("")).action, Action::WidenRange, "a hundred are not to blame");
    bound.holders[0].sockets = Some(20_000);
    bound.holders[0].alive = false;
    assert_eq!(first(&bound, &settings("")).action, Action::WidenRange, "it has ended");
}

#[test]
fn connections_that_have_bound_their_port_keep_it_in_time_wait_too() {
    let mut bound = full(Operation::Connect, 28_232, 0, 0);
    let in_use = &mut bound.exhaustion.as_mut().expect("set above").in_use;
    (in_use.bound, in_use.established) = (0, 28_232);
    let expected = [Action::WidenRange, Action::SetOption, Action::FreePort, Action::Inspect];
    assert_eq!(actions(&bound, &settings("")), expected);
    assert!(advise(&bound, &settings(""))[2].why.contains("stay in TIME_WAIT for 60 seconds"));
}

#[test]
fn time_wait_is_taken_over_where_that_helps() {
    let closed = full(Operation::Connect, 2, 28_230, 28_000);
    let expected = [
        Action::ReuseTimeWait,
        Action::WidenRange,
        Action::KeepConnections,
        Action::SpreadConnections,
        Action::Inspect,
    ];
    assert_eq!(actions(&closed, &settings("")), expected);
    assert_eq!(first(&closed, &settings("")).commands, ["sysctl -w net.ipv4.tcp_tw_reuse=1"]);
    let never = |conflict: &Conflict, situation: &Situation| {
        assert!(!actions(conflict, situation).contains(&Action::ReuseTimeWait));
    };
    let mut no_timestamps = settings("");
    no_timestamps.range.as_mut().expect("set above").timestamps = Some(false);
    never(&closed, &no_timestamps);
    let mut on = closed.clone();
    on.exhaustion.as_mut().expect("set above").time_wait_reuse = Some(1);
    never(&on, &settings(""));
    let mut loopback = closed;
    let to = loopback.exhaustion.as_mut().and_then(|full| full.destination.as_mut()).expect("set above");
    (to.local, to.remote) = ([127, 0, 0, 1].into(), ([127, 0, 0, 1], 443).into());
    never(&loopback, &settings(""));
    // bind() does not take anything over.
    let bind = full(Operation::Bind, 2, 28_230, 28_000);
    assert_eq!(actions(&bind, &settings("")), [Action::WidenRange, Action::KeepConnections, Action::Inspect]);
}

#[test]
fn connections_to_one_destination_are_given_room_and_spread() {
    let connected = full(Operation::Connect, 2, 28_230, 10);
    let expected = [
        Action::WidenRange,
        Action::SpreadConnections,
        Action::KeepConnections,
        Action::FreePort,
        Action::Inspect,
    ];
    assert_eq!(actions(&connected, &settings("")), expected);
    let mut leak = connected;
    leak.exhaustion.as_mut().expect("set above").close_wait = 20_000;
    let advice = first(&leak, &settings(""));
    assert!(
        advice.action == Action::FreePort && advice.why.contains("the other side has closed"),
        "{advice:?}"
    );
}

#[test]
fn listeners_on_the_added_ports_are_kept_out_of_the_range_first() {
    let connected = full(Operation::Connect, 2, 28_230, 10);
    let quiet = first(&connected, &settings("80,8080,61000"));
    assert_eq!(quiet.commands, ["sysctl -w net.ipv4.ip_local_port_range='16384 60999'"]);
    assert!(quiet.why.contains("nobody listens on the ports that are added"), "{}", quiet.why);
    let busy = first(&connected, &settings("80,20000-20001,30000"));
    assert_eq!(
        busy.commands,
        [
            "sysctl -w net.ipv4.ip_local_reserved_ports=8080,20000-20001,30000",
            "sysctl -w net.ipv4.ip_local_port_range='16384 60999'"
        ]
    );
    assert!(
        busy.why.contains("the listeners there (20000-20001,30000) are kept out of it first"),
        "{}",
        busy.why
    );
}

#[test]
fn a_narrow_range_is_configuration() {
    let mut narrow = full(Operation::Bind, 4, 0, 0);
    narrow.range = Range { low: 42_000, high: 42_003, ..narrow.range };
    let mut situation = settings("");
    situation.range.as_mut().expect("set above").range = Some((42_000, 42_003));
    let advice = first(&narrow, &situation);
    assert_eq!(advice.commands, ["sysctl -w net.ipv4.ip_local_port_range='32768 60999'"]);
    assert!(advice.why.starts_with("the range has only the 4 ports from 42000 to 42003"), "{}", advice.why);
    let widened = actions(&narrow, &situation).iter().filter(|one| **one == Action::WidenRange).count();
    assert_eq!(widened, 1, "told once");
    // The part of a range that the socket itself has asked for.
    assert_eq!(first(&narrow, &settings("")).action, Action::SetOption);
}

#[test]
fn a_huge_reserved_list_is_given_back_where_nobody_listens() {
    let mut reserved = full(Operation::Connect, 100, 0, 0);
    let full = reserved.exhaustion.as_mut().expect("set above");
    (full.reserved, full.ports) = (28_132, 100);
    let mut situation = settings("41000");
    situation.reserved = Some("8080,32868-60999\n".into());
    let advice = first(&reserved, &situation);
    assert_eq!(
        (advice.action, &advice.commands[..]),
        (Action::UnreservePort, &["portwatch unreserve --force 41001-60999".to_owned()][..])
    );
    let elsewhere = Situation { own_netns: 2, door: Some(77), ..situation };
    assert_eq!(
        first(&reserved, &elsewhere).commands,
        ["portwatch unreserve --force --netns /proc/77/ns/net 41001-60999"]
    );
}

#[test]
fn numbers_that_cannot_be_do_no_harm() {
    let mut wrong = full(Operation::Connect, u32::MAX, 5, 0);
    wrong.range = Range { low: 60_000, high: 1, ..wrong.range };
    let to = wrong.exhaustion.as_mut().and_then(|full| full.destination.as_mut()).expect("set above");
    (to.ports, to.time_wait) = (0, u32::MAX);
    let mut situation = settings("1-65535");
    situation.range.as_mut().expect("set above").range = Some((65_535, 0));
    assert!(!advise(&wrong, &situation).is_empty());
}
