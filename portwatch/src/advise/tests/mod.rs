//! Which advice which conflict gets, down to the command.

mod exhausted;
mod situations;

use super::{Situation, advise};
use crate::model::{
    Action, AssignedBy, Cause, Conflict, Errno, Evidence, Holder, Operation, Process, Protocol, Range,
    SCHEMA, State,
};
use jiff::Timestamp;

fn conflict(cause: Cause, ephemeral: bool) -> Conflict {
    let process = Process {
        pid: 2210,
        comm: "java".into(),
        cgroup: Some("/system.slice/hdfs.service".into()),
        unit: Some("hdfs.service".into()),
        ..Process::default()
    };
    let holder = Holder {
        process: Some(process),
        unnamed_reason: None,
        creator: None,
        state: State::Established,
        local: Some("10.0.0.5:50010".parse().expect("an address")),
        remote: Some("10.0.0.9:2379".parse().expect("an address")),
        inode: Some(77),
        assigned_by: if ephemeral { AssignedBy::Connect } else { AssignedBy::Bind },
        ephemeral,
        assigned_time: None,
        alive: true,
        evidence: Some(Evidence::KernelVerdict),
        sockets: None,
        options: None,
    };
    Conflict {
        schema: SCHEMA,
        id: "1".into(),
        time: Timestamp::UNIX_EPOCH,
        count: 1,
        first_time: Timestamp::UNIX_EPOCH,
        operation: Operation::Bind,
        errno: Errno(98),
        protocol: Protocol::Tcp,
        address: "0.0.0.0".parse().expect("an address"),
        port: 50010,
        netns: 1,
        backend: "fexit".into(),
        victim: Process { pid: 4121, comm: "nginx".into(), ..Process::default() },
        holders: vec![holder],
        cause,
        range: Range { low: 32768, high: 60999, in_range: true, reserved: false },
        advice: Vec::new(),
        options: None,
        exhaustion: None,
    }
}

fn here(reserved: &str) -> Situation {
    Situation { own_netns: 1, reserved: Some(reserved.to_owned()), ..Situation::default() }
}

fn actions(conflict: &Conflict, situation: &Situation) -> Vec<Action> {
    advise(conflict, situation).into_iter().map(|advice| advice.action).collect()
}

#[test]
fn a_client_that_took_a_port_is_kept_off_it() {
    let advice = advise(&conflict(Cause::EphemeralClient, true), &here("8080\n"));
    assert_eq!(advice[0].action, Action::ReservePort);
    assert_eq!(
        advice[0].commands,
        ["sysctl -w net.ipv4.ip_local_reserved_ports=8080,50010", "portwatch reserve --persist 50010",]
    );
    assert!(advice[0].why.contains("does not free the port now"));
    assert_eq!(advice[1].action, Action::FreePort);
    assert_eq!(
        advice[1].commands,
        ["systemctl restart hdfs.service", "ss -K src 10.0.0.5:50010 dst 10.0.0.9:2379"]
    );
}

#[test]
fn in_another_namespace_commands_enter_it_and_nothing_is_written_to_the_hosts_files() {
    let elsewhere = Situation { own_netns: 2, door: Some(2210), ..here("") };
    let advice = advise(&conflict(Cause::EphemeralClient, true), &elsewhere);
    assert_eq!(
        advice[0].commands,
        ["nsenter --net=/proc/2210/ns/net sysctl -w net.ipv4.ip_local_reserved_ports=50010"]
    );
    assert!(advice[1].commands[1].starts_with("nsenter --net=/proc/2210/ns/net ss -K"));
    let mut dead = conflict(Cause::TimeWait, true);
    dead.holders[0].alive = false;
    let advice = advise(&dead, &Situation { door: None, ..elsewhere });
    assert!(advice[0].commands[0].starts_with("nsenter --net=/proc/4121/ns/net "), "the victim is the door");
}

#[test]
fn an_unreadable_list_is_merged_by_the_shell_and_never_overwritten() {
    let advice =
        advise(&conflict(Cause::EphemeralClient, true), &Situation { own_netns: 1, ..Situation::default() });
    assert_eq!(
        advice[0].commands,
        [
            "sysctl -w net.ipv4.ip_local_reserved_ports=\"$(sysctl -n net.ipv4.ip_local_reserved_ports | sed 's/$/,50010/;s/^,//')\"",
            "portwatch reserve --persist 50010",
        ]
    );
}

#[test]
fn what_is_reserved_or_out_of_range_is_not_reserved_again() {
    let mut reserved = conflict(Cause::EphemeralClient, true);
    reserved.range.reserved = true;
    assert_eq!(actions(&reserved, &here("50010")), [Action::FreePort, Action::Inspect]);
    let mut outside = conflict(Cause::EphemeralBind, true);
    outside.range.in_range = false;
    assert_eq!(actions(&outside, &here("")), [Action::FreePort, Action::Inspect]);
}

#[test]
fn only_the_systems_own_units_are_stopped_by_systemctl() {
    let mut plain = conflict(Cause::Listener, false);
    plain.holders[0].remote = None;
    let stop = |conflict: &Conflict| advise(conflict, &here(""))[0].commands[0].clone();
    assert_eq!(stop(&plain), "systemctl stop hdfs.service");
    let process = |conflict: &mut Conflict| conflict.holders[0].process.take().expect("a process");
    let mut contained = plain.clone();
    let inner = Process { container: Some("c0ffee".into()), ..process(&mut contained) };
    contained.holders[0].process = Some(inner);
    assert_eq!(stop(&contained), "kill 2210");
    let mut users = plain.clone();
    let inner = Process { cgroup: Some("/u/user@1000.service/app.service".into()), ..process(&mut users) };
    users.holders[0].process = Some(inner);
    assert_eq!(stop(&users), "kill 2210");
}

#[test]
fn every_cause_gets_advice_that_applies() {
    let situation = here("");
    let first = |cause, ephemeral| actions(&conflict(cause, ephemeral), &situation)[0];
    assert_eq!(first(Cause::TimeWait, true), Action::ReservePort);
    assert_eq!(first(Cause::TimeWait, false), Action::SetOption);
    assert_eq!(first(Cause::Closing, true), Action::ReservePort);
    assert_eq!(first(Cause::OwnSocket, false), Action::ChangePort);
    assert_eq!(first(Cause::ReuseportMismatch, false), Action::SameUser);
    assert_eq!(first(Cause::Inherited, false), Action::CloseOnExec);
    assert_eq!(first(Cause::Inherited, true), Action::ReservePort);
    assert_eq!(first(Cause::PreviousInstance, false), Action::StopFirst);
    assert_eq!(first(Cause::Listener, false), Action::StopHolder);
    assert_eq!(first(Cause::ExplicitBind, false), Action::StopHolder);
    assert_eq!(first(Cause::KernelSocket, false), Action::Inspect);
    assert_eq!(first(Cause::Unknown, false), Action::Inspect);
    let both = Situation { victim_reuses: Some(true), holder_reuses: Some(true), ..situation };
    assert_eq!(actions(&conflict(Cause::TimeWait, false), &both), [Action::Wait]);
}

#[test]
fn a_second_socket_of_another_family_wants_v6only() {
    let mut own = conflict(Cause::OwnSocket, false);
    own.holders[0].local = Some("[::]:50010".parse().expect("an address"));
    assert_eq!(actions(&own, &here("")), [Action::SetOption]);
}

#[test]
fn nfs_is_moved_off_a_low_port() {
    let mut kernel = conflict(Cause::KernelSocket, false);
    kernel.port = 993;
    assert_eq!(advise(&kernel, &here(""))[0].commands, ["sysctl -w sunrpc.max_resvport=992"]);
    kernel.port = 700;
    assert_eq!(advise(&kernel, &here(""))[0].commands, ["sysctl -w sunrpc.min_resvport=701"]);
}

#[test]
fn nobody_is_told_to_kill_process_1() {
    for (comm, expected) in [("systemd", &["systemctl list-sockets"][..]), ("init", &[])] {
        let mut activated = conflict(Cause::Listener, false);
        activated.holders[0].process = Some(Process { pid: 1, comm: comm.into(), ..Process::default() });
        assert_eq!(advise(&activated, &here(""))[0].commands, expected);
        for (cause, ephemeral) in [(Cause::EphemeralClient, true), (Cause::PreviousInstance, false)] {
            let mut conflict = Conflict { cause, ..activated.clone() };
            conflict.holders[0].ephemeral = ephemeral;
            let advice = advise(&conflict, &here(""));
            let commands = advice.iter().flat_map(|advice| &advice.commands);
            assert!(commands.clone().all(|command| !command.starts_with("kill")), "{cause}: {advice:?}");
        }
    }
}
