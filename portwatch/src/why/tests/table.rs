//! Every class, every reason for not naming, every present: the story is well formed, and claims nothing that is not known.

use super::world::{HERE, held, nameless, of_cause, present, told};
use crate::model::{
    AssignedBy, Cause, Conflict, Evidence, Operation, Process, Protocol, Role, SocketOptions, State,
    UnnamedReason,
};
use crate::text;
use crate::why::{About, Hold, Life, Present, Story};
use proptest::prelude::*;

const LIVES: [Life; 4] = [Life::Runs, Life::Ended, Life::Unknown, Life::Unnamed];
const HOLDS: [Hold; 4] = [Hold::Holds, Hold::HoldsAnother, Hold::LetGo, Hold::NotSeen];

/// What no sentence of a story may look like.
fn check(story: &Story, conflict: &Conflict) {
    let shown = || format!("{story}\n{conflict:?}");
    let about = |wanted| story.parts.iter().filter(move |part| part.about == wanted);
    for one in [About::Answer, About::How, About::Wanted, About::Now] {
        assert_eq!(about(one).count(), 1, "one part about {one:?}: {}", shown());
    }
    assert_eq!(story.parts[0].about, About::Answer);
    assert!(about(About::Remedy).count() > 0, "{}", shown());
    assert!(story.headline().contains(" because "), "{}", shown());
    for part in &story.parts {
        let text = &part.text;
        assert!(text.ends_with('.') || text.ends_with(':'), "{text:?}: {}", shown());
        for wrong in
            ["  ", " .", " ,", "..", ",,", " ()", "None", "Some(", "{", "The holder the", "..", ". ."]
        {
            assert!(!text.contains(wrong), "{wrong:?} in {text:?}: {}", shown());
        }
        assert!(!text.chars().any(text::acts_on_terminal), "{}", shown());
    }
}

fn no_option_is_claimed(story: &Story) {
    for part in story.parts.iter().filter(|part| matches!(part.about, About::Clash | About::Remedy)) {
        for claim in
            ["did set", "had not", "neither had", "Neither socket", "socket had SO_", "is not set on it"]
        {
            assert!(!part.text.contains(claim), "{claim:?} is not known: {}", part.text);
        }
    }
}

#[test]
fn every_class_has_a_story_in_every_present() {
    for &cause in Cause::ALL {
        let conflict = of_cause(cause);
        for life in LIVES {
            for hold in HOLDS {
                let present = present(life, hold);
                check(&told(&conflict, &present), &conflict);
                check(&told(&conflict, &Present { rebooted: true, ..present.clone() }), &conflict);
                check(&told(&conflict, &Present { port: None, ..present }), &conflict);
            }
        }
    }
}

#[test]
fn every_reason_for_not_naming_is_said_whatever_the_class() {
    for &cause in Cause::ALL {
        for &reason in UnnamedReason::ALL {
            let mut conflict = of_cause(cause);
            let holder = conflict.holders.remove(0);
            conflict.holders.push(nameless(holder, reason));
            let story = told(&conflict, &present(Life::Unnamed, Hold::LetGo));
            check(&story, &conflict);
            let has_name = |part: &str| part.contains("java") || part.contains("2210");
            assert!(!has_name(story.headline()), "nobody is named: {story}");
            let how = &story.parts.iter().find(|part| part.about == About::How).expect("a part").text;
            assert!(
                cause == Cause::Exhausted || how.contains(crate::why::words::why_unnamed(reason)),
                "{how}"
            );
        }
    }
}

#[test]
fn a_refusal_with_nobody_on_the_port_is_told_too() {
    for &reason in UnnamedReason::ALL {
        let mut conflict = of_cause(Cause::Unknown);
        let holder = nameless(conflict.holders.remove(0), reason);
        conflict.holders.push(crate::model::Holder {
            local: None,
            remote: None,
            inode: None,
            evidence: None,
            state: State::Unknown,
            assigned_by: AssignedBy::Unknown,
            options: None,
            ..holder
        });
        check(&told(&conflict, &present(Life::Unnamed, Hold::NotSeen)), &conflict);
    }
    for cause in [Cause::Unknown, Cause::Exhausted] {
        let mut conflict = of_cause(cause);
        conflict.holders.clear();
        check(&told(&conflict, &present(Life::Unnamed, Hold::NotSeen)), &conflict);
    }
}

#[test]
fn every_way_to_a_port_and_every_state_has_its_words() {
    let both = |mut conflict: Conflict| {
        check(&told(&conflict, &present(Life::Runs, Hold::Holds)), &conflict);
        (conflict.holders[0].assigned_time, conflict.holders[0].remote) = (None, None);
        check(&told(&conflict, &present(Life::Ended, Hold::LetGo)), &conflict);
    };
    for (&cause, &by) in Cause::ALL.iter().flat_map(|cause| AssignedBy::ALL.iter().map(move |by| (cause, by)))
    {
        for &state in State::ALL {
            let mut conflict = of_cause(cause);
            (conflict.holders[0].assigned_by, conflict.holders[0].state) = (by, state);
            both(conflict);
        }
        for &protocol in Protocol::ALL {
            let mut conflict = Conflict { protocol, ..of_cause(cause) };
            conflict.holders[0].assigned_by = by;
            both(conflict);
        }
    }
    for &operation in Operation::ALL {
        for port in [0, 50010] {
            let cause = if port == 0 { Cause::Exhausted } else { Cause::Listener };
            let conflict = Conflict { operation, port, ..of_cause(cause) };
            check(&told(&conflict, &present(Life::Runs, Hold::Holds)), &conflict);
        }
    }
    for &evidence in Evidence::ALL {
        let mut conflict = of_cause(Cause::Listener);
        conflict.holders[0].evidence = Some(evidence);
        check(&told(&conflict, &present(Life::Runs, Hold::Holds)), &conflict);
    }
}

#[test]
fn options_that_are_not_known_are_not_claimed() {
    let addresses = ["0.0.0.0", "10.0.0.5", "::", "::1", "::ffff:10.0.0.5"];
    for &cause in Cause::ALL.iter().filter(|cause| **cause != Cause::ReuseportMismatch) {
        for (wanted, local) in addresses.iter().flat_map(|a| addresses.map(|b| (a, b))) {
            let mut conflict = of_cause(cause);
            (conflict.options, conflict.holders[0].options) = (None, None);
            conflict.address = wanted.parse().expect("an address");
            let local: std::net::IpAddr = local.parse().expect("an address");
            conflict.holders[0].local = Some((local, 50010).into());
            let story = told(&conflict, &present(Life::Runs, Hold::Holds));
            check(&story, &conflict);
            no_option_is_claimed(&story);
        }
    }
}

#[test]
fn nobody_is_told_to_kill_a_pid_that_is_somebody_elses_by_now() {
    let commands = |story: &Story| -> Vec<String> {
        story.parts.iter().flat_map(|part| part.commands.clone()).collect()
    };
    for &cause in Cause::ALL {
        let mut conflict = of_cause(cause);
        if let Some(process) = &mut conflict.holders[0].process {
            process.unit = None;
        }
        for (life, hold) in [Life::Ended, Life::Unknown].into_iter().flat_map(|l| HOLDS.map(|h| (l, h))) {
            for command in commands(&told(&conflict, &present(life, hold))) {
                assert!(!command.starts_with("kill "), "{cause}, {life:?}, {hold:?}: {command}");
            }
        }
    }
    let conflict = of_cause(Cause::Listener);
    let mut elsewhere = present(Life::Runs, Hold::Holds);
    elsewhere.situation.own_netns = HERE + 1;
    for command in commands(&told(&of_cause(Cause::EphemeralClient), &elsewhere)) {
        assert!(!command.contains("nsenter"), "nobody is in that namespace: {command}");
    }
    elsewhere.situation.door = Some(33);
    let story = told(&of_cause(Cause::EphemeralClient), &elsewhere);
    assert!(
        commands(&story).iter().any(|command| command.starts_with("nsenter --net=/proc/33/ns/net sysctl"))
    );
    assert!(
        commands(&told(&conflict, &present(Life::Runs, Hold::Holds)))
            .contains(&"systemctl stop hdfs.service".into())
    );
}

proptest! {
    #[test]
    fn hostile_names_stay_words(name in "\\PC{0,16}|[\u{1b}\u{7f}\u{9b}\u{202e}\n\ta-z]{1,16}", at in 0_usize..13) {
        let mut conflict = of_cause(Cause::ALL[at]);
        let hostile = Process {
            pid: 7,
            comm: name.clone(),
            unit: Some(format!("{name}.service")),
            cmdline: Some(name.clone()),
            user: Some(name.clone()),
            pod_name: Some(name.clone()),
            pod_namespace: Some(name.clone()),
            uid: Some(1),
            ..Process::default()
        };
        conflict.victim = hostile.clone();
        conflict.holders[0].process = Some(hostile.clone());
        conflict.id.clone_from(&name);
        let mut present = present(Life::Runs, Hold::LetGo);
        present.port.as_mut().expect("seen").holders = vec![held(Role::Listener, Some(hostile))];
        let story = told(&conflict, &present);
        for part in &story.parts {
            prop_assert!(!part.text.chars().any(text::acts_on_terminal), "{}", part.text);
        }
        let mut out = Vec::new();
        crate::sink::terminal::write_story(&mut out, &story, 80).expect("a vector takes everything");
        let plain = anstream::adapter::strip_bytes(&out).into_vec();
        let plain = String::from_utf8(plain).expect("text");
        prop_assert!(!plain.chars().any(|c| c != '\n' && text::acts_on_terminal(c)));
    }

    #[test]
    fn any_options_have_their_words(bits in any::<[bool; 6]>(), at in 0_usize..13, datagram in any::<bool>()) {
        let options = |bits: &[bool]| Some(SocketOptions { reuse_address: bits[0], reuse_port: bits[1], v6_only: bits[2] });
        let mut conflict = of_cause(Cause::ALL[at]);
        if datagram {
            conflict.protocol = Protocol::Udp;
        }
        (conflict.options, conflict.holders[0].options) = (options(&bits[..3]), options(&bits[3..]));
        check(&told(&conflict, &present(Life::Runs, Hold::Holds)), &conflict);
    }
}
