//! Whose ports go, whose stay, and what is refused.

use super::*;
use crate::owner::namespaces::Namespace;
use std::path::Path;

fn list(text: &str) -> PortList {
    PortList::parse(text).expect("a list")
}

fn request(action: Action, ports: &str) -> Request {
    let namespace = Namespace::own();
    Request { action, ports: list(ports), namespace, persist: false, dry_run: false, force: false }
}

fn now(reserved: &str) -> Now {
    Now { reserved: list(reserved), range: Some((32_768, 60_999)) }
}

fn memory(added: &str, found: &str) -> Memory {
    Memory { added: list(added), found: list(found), unfinished: None }
}

fn planned(request: &Request, now: &Now, memory: &Memory) -> Plan {
    plan(Facts { request, now, memory, boot: None }).expect("a plan")
}

#[test]
fn what_reserve_did_unreserve_undoes_and_nothing_else() {
    let before = now("8080,9000-9010");
    let done = planned(&request(Action::Reserve, "9005,50010-50011"), &before, &Memory::default());
    assert_eq!(done.after, list("8080,9000-9010,50010-50011"));
    assert_eq!((done.added.to_string(), done.already.to_string()), ("50010-50011".into(), "9005".into()));
    assert_eq!(done.memory, memory("50010-50011", "9005"));

    let after = Now { reserved: done.after, ..before };
    let undone = planned(&request(Action::Unreserve, "9005,50010-50011"), &after, &done.memory);
    assert_eq!(undone.after, list("8080,9000-9010"));
    assert_eq!((undone.as_found.to_string(), undone.kept.to_string()), ("9005".into(), String::new()));
    assert_eq!(undone.memory, Memory::default());
}

#[test]
fn what_others_reserved_goes_only_by_force() {
    let mut request = request(Action::Unreserve, "8080,50010");
    let here = now("8080,50010");
    let plan = planned(&request, &here, &memory("50010", ""));
    assert_eq!((plan.after.to_string(), plan.kept.to_string()), ("8080".into(), "8080".into()));
    request.force = true;
    let plan = planned(&request, &here, &memory("50010", ""));
    assert_eq!((plan.after.to_string(), plan.kept.to_string()), (String::new(), String::new()));
}

#[test]
fn what_somebody_took_out_meanwhile_is_forgotten() {
    let plan = planned(&request(Action::Reserve, "1"), &now("80"), &memory("50010", "8080"));
    assert_eq!(plan.memory, memory("1", ""));
}

#[test]
fn ports_that_the_file_brought_at_boot_are_portwatchs() {
    let own = OwnFile::default().with(list("50010,50020"), &PortList::default());
    let boot = Some((&own, &Others::default()));
    let request = Request { persist: true, ..request(Action::Unreserve, "50010") };
    let (here, nothing) = (now("50010,50020"), Memory::default());
    let done = plan(Facts { request: &request, now: &here, memory: &nothing, boot }).expect("a plan");
    assert_eq!((done.after, done.file.expect("a file").asked), (list("50020"), list("50020")));
    // It was there before portwatch was asked to keep it at boot as well.
    let found = memory("", "50010");
    let done = plan(Facts { request: &request, now: &here, memory: &found, boot }).expect("a plan");
    assert_eq!((done.after, done.as_found), (list("50010,50020"), list("50010")));
    assert_eq!(done.memory, Memory::default());
}

#[test]
fn ports_of_an_earlier_file_are_carried() {
    let text = "net.ipv4.ip_local_reserved_ports = 8080\n";
    let earlier = super::super::sysctl::settings(Path::new("/etc/sysctl.d/50-x.conf"), text);
    let others = Others { earlier, ..Others::default() };
    let own = OwnFile::default();
    let request = Request { persist: true, ..request(Action::Reserve, "50010") };
    let facts =
        Facts { request: &request, now: &now(""), memory: &Memory::default(), boot: Some((&own, &others)) };
    assert_eq!(plan(facts).expect("a plan").file.expect("a file").value(), list("8080,50010"));
}

#[test]
fn the_range_must_keep_ports_to_choose_from() {
    let refused = |ports: &str, reserved: &str, range| {
        let now = Now { reserved: list(reserved), range: Some(range) };
        let request = request(Action::Reserve, ports);
        plan(Facts { request: &request, now: &now, memory: &Memory::default(), boot: None }).is_err()
    };
    assert!(refused("32768-60999", "", (32_768, 60_999)));
    assert!(refused("1-65535", "", (32_768, 60_999)));
    assert!(refused("33000-60999", "32768-32999", (32_768, 60_999)), "together they are all");
    assert!(refused("32768-60900", "", (32_768, 60_999)), "99 are too few for a host");
    assert!(!refused("32768-50000", "", (32_768, 60_999)));
    assert!(!refused("42000", "", (42_000, 42_009)), "a small range on purpose");
    assert!(refused("42000-42009", "", (42_000, 42_009)));
    assert!(!refused("80", "32768-60999", (32_768, 60_999)), "that was others, and 80 makes it no worse");
}
