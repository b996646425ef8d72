//! What the advice makes of the facts about the host: a free port, a kernel that ends sockets, options, units, containers.

use super::{actions, conflict, here};
use crate::advise::{Situation, advise};
use crate::model::{Action, Advice, Cause, Conflict, Process, Protocol};

fn known() -> Situation {
    Situation { free_port: Some(61_000), destroys: Some(true), holder_reuses: Some(false), ..here("") }
}

fn service(unit: &str) -> Process {
    Process { unit: Some(unit.into()), cgroup: Some(format!("/system.slice/{unit}")), ..Process::default() }
}

fn the(action: Action, conflict: &Conflict, situation: &Situation) -> Advice {
    let found = advise(conflict, situation).into_iter().find(|advice| advice.action == action);
    found.unwrap_or_else(|| panic!("no {action}"))
}

#[test]
fn a_client_gets_the_whole_list_in_order() {
    let mut client = conflict(Cause::EphemeralClient, true);
    client.victim = service("nginx.service");
    let advice = advise(&client, &known());
    let order: Vec<_> = advice.iter().map(|one| one.action).collect();
    let expected =
        [Action::ReservePort, Action::FreePort, Action::FreePort, Action::ChangePort, Action::StartOrder];
    assert_eq!(order, expected);
    assert_eq!(advice[1].commands, ["ss -tK src 10.0.0.5:50010 dst 10.0.0.9:2379"], "the least first");
    assert_eq!(advice[2].commands, ["systemctl restart hdfs.service"]);
    assert!(advice[3].why.contains("port 61000 is free"), "{}", advice[3].why);
    assert!(advice[3].why.contains("SO_REUSEADDR on its socket would not help"), "{}", advice[3].why);
    let order = &advice[4].why;
    assert!(order.contains("nginx.socket with ListenStream=0.0.0.0:50010"), "{order}");
    assert!(order.contains("Before=hdfs.service in the [Unit] of nginx.service"), "{order}");
    client.protocol = Protocol::Udp;
    assert!(the(Action::StartOrder, &client, &known()).why.contains("ListenDatagram="));
}

#[test]
fn only_a_unit_of_the_victim_is_ordered_and_never_before_itself() {
    let mut client = conflict(Cause::EphemeralClient, true);
    assert!(!actions(&client, &known()).contains(&Action::StartOrder), "no unit");
    client.victim = service("hdfs.service");
    assert!(!the(Action::StartOrder, &client, &known()).why.contains("Before="), "the thief is of the same");
    client.victim.container = Some("c0ffee".into());
    assert!(!actions(&client, &known()).contains(&Action::StartOrder), "systemd of the host does not run it");
}

#[test]
fn a_kernel_that_ends_no_sockets_is_not_asked_to() {
    let client = conflict(Cause::EphemeralClient, true);
    let not = Situation { destroys: Some(false), ..known() };
    assert_eq!(the(Action::FreePort, &client, &not).commands, ["systemctl restart hdfs.service"]);
    for cause in [Cause::TimeWait, Cause::Closing] {
        let all = advise(&conflict(cause, true), &known());
        assert!(all.iter().flat_map(|one| &one.commands).all(|command| !command.contains("ss ")), "{cause}");
    }
}

#[test]
fn the_dead_are_not_ended() {
    for cause in Cause::ALL.iter().copied().filter(|cause| *cause != Cause::Exhausted) {
        for ephemeral in [false, true] {
            let mut dead = conflict(cause, ephemeral);
            dead.holders[0].alive = false;
            dead.holders[0].process.as_mut().expect("named").unit = None;
            let all = advise(&dead, &known());
            let mut commands = all.iter().flat_map(|one| &one.commands);
            assert!(commands.all(|command| !command.contains("kill") && !command.contains("-tK")), "{all:?}");
            assert!(!all.is_empty(), "{cause}");
        }
    }
    let mut left = conflict(Cause::EphemeralClient, true);
    left.holders[0].alive = false;
    let outlived = Situation { outlived: true, ..known() };
    assert_eq!(the(Action::FreePort, &left, &outlived).commands.len(), 1, "the socket is there still");
}

#[test]
fn reuseaddr_is_advised_where_the_client_has_set_it_and_nowhere_else() {
    let client = conflict(Cause::EphemeralClient, true);
    let both = Situation { victim_reuses: Some(false), holder_reuses: Some(true), ..known() };
    assert!(the(Action::SetOption, &client, &both).why.contains("SO_REUSEADDR"));
    assert!(!the(Action::ChangePort, &client, &both).why.contains("SO_REUSEADDR"), "it would help");
    for (victim, holder) in
        [(Some(false), Some(false)), (None, None), (Some(true), Some(false)), (None, Some(true))]
    {
        let situation = Situation { victim_reuses: victim, holder_reuses: holder, ..known() };
        for cause in [Cause::EphemeralClient, Cause::EphemeralBind, Cause::TimeWait, Cause::Closing] {
            let actions = actions(&conflict(cause, true), &situation);
            assert!(!actions.contains(&Action::SetOption), "{cause}: {victim:?} {holder:?}");
        }
    }
}

#[test]
fn what_is_safe_already_is_not_moved() {
    let mut reserved = conflict(Cause::EphemeralClient, true);
    (reserved.range.reserved, reserved.victim) = (true, service("nginx.service"));
    assert_eq!(actions(&reserved, &known()), [Action::FreePort, Action::FreePort, Action::Inspect]);
}

#[test]
fn two_families_can_share_a_number() {
    let v6_only = |wanted: &str, has: &str| {
        let mut both = conflict(Cause::Listener, false);
        both.address = wanted.parse().expect("an address");
        both.holders[0].local = Some(format!("{has}:50010").parse().expect("an address"));
        let found = advise(&both, &known()).into_iter().find(|one| one.action == Action::SetOption);
        found.map(|one| one.why)
    };
    assert!(v6_only("::", "10.0.0.5").is_some_and(|why| why.contains("on the new socket")));
    assert!(v6_only("::", "[::ffff:10.0.0.5]").is_some_and(|why| why.contains("on the new socket")));
    assert!(v6_only("0.0.0.0", "[::]").is_some_and(|why| why.contains("on the holder's socket")));
    assert_eq!(v6_only("0.0.0.0", "0.0.0.0"), None);
    assert_eq!(v6_only("::", "[::]"), None);
    assert_eq!(v6_only("::1", "[::]"), None);
}

#[test]
fn a_container_is_told_where_its_setting_belongs() {
    let mut inside = conflict(Cause::EphemeralClient, true);
    inside.netns = 7;
    let mut told = |runtime: Option<&str>, pod: Option<&str>, reserved: Option<&str>| {
        inside.victim.container_runtime = runtime.map(str::to_owned);
        inside.victim.pod = pod.map(str::to_owned);
        let situation = Situation { reserved: reserved.map(str::to_owned), ..known() };
        let advice = advise(&inside, &situation).remove(0);
        assert!(advice.commands.iter().all(|command| command.starts_with("nsenter ")), "{advice:?}");
        advice.why
    };
    let docker = told(Some("docker"), None, Some("8080\n"));
    assert!(docker.contains("docker run: --sysctl net.ipv4.ip_local_reserved_ports=8080,50010"), "{docker}");
    let pod = told(Some("containerd"), Some("1-2"), Some(""));
    assert!(pod.contains("securityContext.sysctls") && pod.contains("value \"50010\""), "{pod}");
    for words in [told(None, None, Some("")), told(Some("docker"), None, None)] {
        assert!(words.ends_with("the container's or pod's settings"), "{words}");
    }
}

#[test]
fn systemd_that_handed_the_socket_over_is_asked_to_stop_doing_so() {
    let mut activated = conflict(Cause::Inherited, false);
    activated.holders[0].creator = Some(Process { pid: 1, comm: "systemd".into(), ..Process::default() });
    assert_eq!(advise(&activated, &known())[0].commands, ["systemctl list-sockets"]);
}

#[test]
fn a_free_port_is_named_where_another_port_is_the_way_out() {
    for cause in [Cause::Listener, Cause::ExplicitBind, Cause::KernelSocket, Cause::ReuseportMismatch] {
        let why = the(Action::ChangePort, &conflict(cause, false), &known()).why;
        assert!(why.contains("port 61000 is free"), "{cause}: {why}");
    }
    let kernel = advise(&conflict(Cause::KernelSocket, false), &known());
    assert_eq!(kernel[0].action, Action::ChangePort, "what helps comes first");
}
