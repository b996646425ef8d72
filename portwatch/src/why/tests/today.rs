//! What became of a holder, and what is told of the port today.

use super::world::{HERE, held, now, of_cause, present, told};
use crate::model::{Cause, Conflict, HeldSocket, Holder, Protocol, Role, State};
use crate::why::{About, Hold, Life, Present, Story};

fn part(story: &Story, about: About) -> String {
    let parts = story.parts.iter().filter(|part| part.about == about);
    parts.map(|part| format!("{} {}", part.text, part.commands.join(" "))).collect::<Vec<_>>().join(" ")
}

fn judged(conflict: &Conflict, on_port: Vec<HeldSocket>, runs: Option<bool>) -> (Life, Hold) {
    let mut present = present(Life::Unknown, Hold::NotSeen);
    present.port.as_mut().expect("seen").holders = on_port;
    let present = present.judged(conflict, runs);
    (present.process, present.socket)
}

fn culprits(holder: &Holder) -> HeldSocket {
    HeldSocket {
        inode: holder.inode,
        local: holder.local,
        remote: holder.remote,
        ..held(Role::Client, holder.process.clone())
    }
}

#[test]
fn a_holder_is_known_again_by_its_socket() {
    let conflict = of_cause(Cause::EphemeralClient);
    let socket = culprits(&conflict.holders[0]);
    assert_eq!(judged(&conflict, vec![socket.clone()], Some(true)), (Life::Runs, Hold::Holds));
    assert_eq!(judged(&conflict, vec![socket.clone()], None), (Life::Unknown, Hold::Holds));
    let closed = HeldSocket {
        inode: None,
        process: None,
        role: Role::TimeWait,
        state: State::TimeWait,
        ..socket.clone()
    };
    assert_eq!(judged(&conflict, vec![closed], Some(false)), (Life::Ended, Hold::Holds), "by both its ends");
    let another = HeldSocket { inode: Some(1), remote: None, ..socket.clone() };
    assert_eq!(judged(&conflict, vec![another.clone()], Some(true)), (Life::Runs, Hold::HoldsAnother));
    let mut later = another;
    later.process.as_mut().expect("named").start_time = Some(now());
    assert_eq!(judged(&conflict, vec![later], Some(false)), (Life::Ended, Hold::LetGo), "a pid is nobody");
    for other in [
        HeldSocket { netns: HERE + 1, ..socket.clone() },
        HeldSocket { protocol: Protocol::Udp, ..socket.clone() },
    ] {
        assert_eq!(judged(&conflict, vec![other], Some(true)), (Life::Runs, Hold::LetGo), "another table");
    }
    let multipath = Conflict { protocol: Protocol::Mptcp, ..conflict.clone() };
    assert_eq!(judged(&multipath, vec![socket], Some(true)), (Life::Runs, Hold::Holds), "ports of TCP");
    assert_eq!(judged(&conflict, Vec::new(), Some(false)), (Life::Ended, Hold::LetGo));
}

#[test]
fn what_was_not_seen_is_not_gone() {
    let elsewhere = Conflict { netns: HERE + 1, ..of_cause(Cause::Listener) };
    assert_eq!(judged(&elsewhere, Vec::new(), Some(true)), (Life::Runs, Hold::NotSeen));
    let unseen = Present { port: None, ..present(Life::Unknown, Hold::NotSeen) }.judged(&elsewhere, None);
    assert_eq!((unseen.process, unseen.socket), (Life::Unknown, Hold::NotSeen));
    let story = told(&elsewhere, &present(Life::Runs, Hold::NotSeen));
    let text = part(&story, About::Now);
    assert!(text.contains("still runs") && text.contains("is gone, or may not be entered"), "{text}");
    let rebooted = Present { rebooted: true, ..present(Life::Unknown, Hold::NotSeen) };
    let rebooted = rebooted.judged(&of_cause(Cause::Listener), Some(true));
    assert_eq!((rebooted.process, rebooted.socket), (Life::Ended, Hold::LetGo), "pids count anew");
}

#[test]
fn who_has_the_port_now_is_told() {
    let conflict = of_cause(Cause::EphemeralClient);
    let now_has = |held: Vec<HeldSocket>| {
        let mut present = present(Life::Ended, Hold::LetGo);
        present.port.as_mut().expect("seen").holders = held;
        part(&told(&conflict, &present), About::Now)
    };
    assert!(now_has(Vec::new()).contains("Nobody has tcp port 50010 now."));
    let mut nginx = conflict.victim.clone();
    nginx.pid = 5000;
    assert!(
        now_has(vec![held(Role::Listener, Some(nginx))])
            .contains("nginx.service (pid 5000) has got the port by now.")
    );
    let mut other = conflict.victim.clone();
    (other.comm, other.cgroup, other.exe, other.unit) = ("redis".into(), None, None, None);
    let text = now_has(vec![held(Role::Listener, Some(other)), held(Role::TimeWait, None)]);
    assert!(
        text.contains("Now on the port: redis (pid 4121) listening on 0.0.0.0:50010 and a connection to"),
        "{text}"
    );
    let text = now_has(
        (0..9)
            .map(|n| HeldSocket { remote: Some(([10, 0, 0, n], 80).into()), ..held(Role::TimeWait, None) })
            .collect(),
    );
    assert!(text.contains("6 more (portwatch who 50010)"), "{text}");
}

#[test]
fn advice_is_that_of_today() {
    let conflict = of_cause(Cause::EphemeralClient);
    let mut today = present(Life::Runs, Hold::Holds);
    today.situation.reserved = Some("8080\n".into());
    let text = part(&told(&conflict, &today), About::Remedy);
    assert!(text.contains("ip_local_reserved_ports=8080,50010"), "merged with what is reserved now: {text}");
    assert!(
        text.contains("systemctl restart hdfs.service") && text.contains("ss -tK src 10.0.0.5:50010"),
        "{text}"
    );

    let text = part(&told(&conflict, &present(Life::Ended, Hold::LetGo)), About::Remedy);
    assert!(text.contains("ip_local_reserved_ports=50010") && !text.contains("systemctl"), "{text}");

    today.situation.reserved = Some("50010\n".into());
    today.socket = Hold::LetGo;
    let story = told(&conflict, &today);
    assert!(part(&story, About::Now).contains("Port 50010 is reserved by now"), "{story}");
    assert!(!part(&story, About::Remedy).contains("sysctl"), "{story}");

    let wait = |hold| part(&told(&of_cause(Cause::TimeWait), &present(Life::Ended, hold)), About::Remedy);
    assert!(wait(Hold::Holds).contains("Wait: ") && !wait(Hold::LetGo).contains("Wait: "));
    let stop =
        part(&told(&of_cause(Cause::PreviousInstance), &present(Life::Ended, Hold::LetGo)), About::Remedy);
    assert!(
        stop.contains("let its stop wait until the old process has ended") && !stop.contains("systemctl"),
        "{stop}"
    );
}

#[test]
fn the_end_of_time_wait_is_told() {
    let conflict = of_cause(Cause::TimeWait);
    let mut present = present(Life::Ended, Hold::Holds);
    present.port.as_mut().expect("seen").holders =
        vec![HeldSocket { ends_in_ms: Some(31_200), ..held(Role::TimeWait, None) }];
    let text = part(&told(&conflict, &present), About::Now);
    assert!(
        text.contains("has ended, but its socket is still there: the port is taken for 32 s more"),
        "{text}"
    );
}
