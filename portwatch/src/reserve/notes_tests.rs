//! The words that are said, and those that are not.

use super::super::kernel::Now;
use super::super::plan::plan;
use super::super::sysctl::settings;
use super::super::turn::Memory;
use super::*;
use crate::owner::namespaces::Namespace;
use std::path::Path;

fn list(text: &str) -> PortList {
    PortList::parse(text).expect("a list")
}

struct World {
    request: Request,
    now: Now,
    memory: Memory,
    own: OwnFile,
    others: Others,
}

impl World {
    fn new(action: Action, ports: &str, reserved: &str) -> Self {
        let namespace = Namespace::own();
        let request =
            Request { action, ports: list(ports), namespace, persist: false, dry_run: false, force: false };
        let now = Now { reserved: list(reserved), range: Some((32_768, 60_999)) };
        Self { request, now, memory: Memory::default(), own: OwnFile::default(), others: Others::default() }
    }

    fn persist(mut self) -> Self {
        self.request.persist = true;
        self
    }

    fn earlier(mut self, value: &str) -> Self {
        self.others.earlier = set("/etc/sysctl.d/50-a.conf", value);
        self
    }

    fn later(mut self, value: &str) -> Self {
        self.others.later = set("/etc/sysctl.d/99-z.conf", value);
        self
    }

    fn notes(&self) -> Vec<Note> {
        let facts = Facts {
            request: &self.request,
            now: &self.now,
            memory: &self.memory,
            boot: Some((&self.own, &self.others)),
        };
        notes(facts, &plan(facts).expect("a plan"))
    }

    fn says(&self, about: About) -> Option<String> {
        let mut notes = self.notes().into_iter().filter(|note| note.about == about);
        notes.next().map(|note| format!("{} {}", note.text, note.commands.join(" ")))
    }
}

fn set(path: &str, value: &str) -> Vec<Setting> {
    settings(Path::new(path), &format!("# x\nnet.ipv4.ip_local_reserved_ports = {value}\n"))
}

fn has(text: Option<String>, parts: &[&str]) {
    let text = text.expect("a note");
    parts.iter().for_each(|part| assert!(text.contains(part), "{part} in {text}"));
}

#[test]
fn a_plain_reservation_says_what_it_does_not_do() {
    let world = World::new(Action::Reserve, "50010", "");
    has(world.says(About::ExplicitBinds), &["by its number"]);
    has(world.says(About::NotForBoot), &["portwatch reserve --persist 50010"]);
    assert_eq!(world.notes().len(), 2);
}

#[test]
fn needless_and_skewing_reservations_are_told() {
    has(World::new(Action::Reserve, "8080", "").says(About::OutsideRange), &["8080", "32768-60999"]);
    has(World::new(Action::Reserve, "50010", "50010").says(About::Already), &["50010"]);
    has(
        World::new(Action::Reserve, "50000-50099", "").says(About::Skewed),
        &["100", "from 50100 on", "51 times"],
    );
    has(World::new(Action::Reserve, "50050", "50000-50049,50051-50099").says(About::Skewed), &["51 times"]);
    has(World::new(Action::Reserve, "60900-60999", "").says(About::Skewed), &["from 32768 on"]);
    assert_eq!(World::new(Action::Reserve, "50000-50030", "").says(About::Skewed), None);
    assert_eq!(
        World::new(Action::Reserve, "50010", "40000-40099").says(About::Skewed),
        None,
        "not of our doing"
    );
}

#[test]
fn other_files_that_matter_are_named_with_their_line() {
    let world = World::new(Action::Reserve, "50010", "").persist();
    assert_eq!(world.says(About::Overridden), None);
    let world = world.earlier("8080").later("9090");
    has(world.says(About::Carried), &["/etc/sysctl.d/50-a.conf line 2", "`8080`"]);
    has(world.says(About::Overridden), &["/etc/sysctl.d/99-z.conf line 2", "`9090`", "8080,50010"]);
    let world = World::new(Action::Reserve, "50010", "").persist().later("50000-50020");
    assert_eq!(world.says(About::Overridden), None, "the ports are in it");
    let world = World::new(Action::Reserve, "50010", "").persist().earlier("junk");
    has(world.says(About::Carried), &["cannot be kept"]);
}

#[test]
fn a_list_that_procps_cuts_is_told() {
    let odd: Vec<_> = (10_001..13_001).step_by(2).map(|port| port.to_string()).collect();
    let world = World::new(Action::Reserve, &odd.join(","), "").persist();
    has(world.says(About::CutAtBoot), &["4095", "sysctl --system"]);
}

#[test]
fn what_comes_back_at_boot_is_told() {
    let mut world = World::new(Action::Unreserve, "50010", "50010").later("50000-50020");
    has(world.says(About::BackAtBoot), &["50010, by /etc/sysctl.d/99-z.conf line 2"]);
    world.others = Others::default();
    world.own = OwnFile::parse("# portwatch reserve: 50010\nnet.ipv4.ip_local_reserved_ports = 50010\n")
        .expect("ours");
    has(world.says(About::BackAtBoot), &["portwatch unreserve --persist 50010"]);
}

#[test]
fn what_is_kept_says_how_to_take_it_out() {
    let world = World::new(Action::Unreserve, "8080,9090", "8080");
    has(world.says(About::Kept), &["8080", "portwatch unreserve --force 8080"]);
    has(world.says(About::Already), &["Not reserved: 9090."]);
}

#[test]
fn long_lists_are_cut_in_sentences() {
    let odd: Vec<_> = (1..201).step_by(2).map(|port| port.to_string()).collect();
    let text = shown(&list(&odd.join(",")));
    assert!(text.len() < 90 && text.ends_with(",… (100 ports)"), "{text}");
}
