//! All sources together, on hosts that are made up in a temporary folder.

mod kubernetes;
mod sockets;

use super::*;
use crate::exit_code::ExitCode;
use crate::model::example;
use crate::owner::scratch::Scratch;
use crate::sink::Told;
use crate::store::{Retention, Writer};
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

/// A host of its own for a test.
struct Host(Scratch);

impl Host {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("configured-{name}"));
        std::fs::create_dir_all(scratch.path().join("proc")).expect("a folder");
        Self(scratch)
    }

    fn link(&self, at: &str, target: &str) {
        let path = self.0.path().join(at);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        symlink(target, path).expect("a link");
    }

    fn pipe(&self, at: &str) {
        let path = self.0.path().join(at);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).expect("a pipe");
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { services: &[], files: &[], ports: &[], store: None, root: self.0.path() }
    }

    fn found(&self) -> (Vec<Configured>, Vec<String>) {
        configured(&self.wanted()).expect("nothing was asked for by name")
    }

    /// A row each: `address port/protocol name unit`.
    fn rows(&self) -> Vec<String> {
        let (found, notes) = self.found();
        assert_eq!(notes, [] as [&str; 0]);
        found.iter().map(row).collect()
    }
}

fn row(one: &Configured) -> String {
    let address = one.address.map_or("*".to_owned(), |address| address.to_string());
    let (low, high) = (one.ports.start(), one.ports.end());
    let ports = if low == high { low.to_string() } else { format!("{low}-{high}") };
    let unit = one.unit.as_deref().unwrap_or("-");
    format!("{address} {ports}/{} {} {unit}", one.protocol, one.name)
}

#[test]
fn a_host_with_nothing_has_nothing() {
    let host = Host::new("nothing");
    assert_eq!(host.found(), (vec![], vec![]));
    let no_root = Wanted { root: Path::new("/nonexistent"), ..host.wanted() };
    let (found, notes) = configured(&no_root).expect("told in words");
    assert!(found.is_empty() && notes.len() == 1 && notes[0].contains("/nonexistent"), "{notes:?}");
}

#[test]
fn what_was_asked_for_by_name_comes_or_is_refused() {
    let host = Host::new("asked");
    host.0.write("etc/services", "postgresql 5432/tcp\n");
    host.0.write("list", "50051 grpc\n");
    let (services, files) = (["postgresql".to_owned()], [host.0.path().join("list")]);
    let ports = [Query { port: 53, protocol: Some(Protocol::Udp) }];
    let wanted = Wanted { services: &services, files: &files, ports: &ports, ..host.wanted() };
    let (found, notes) = configured(&wanted).expect("all are there");
    let by: Vec<_> = found.iter().map(|one| (one.by, row(one))).collect();
    assert_eq!(
        by,
        [
            (ConfiguredBy::CommandLine, "* 53/udp 53/udp -".to_owned()),
            (ConfiguredBy::File, "* 50051/tcp grpc -".to_owned()),
            (ConfiguredBy::Services, "* 5432/tcp postgresql -".to_owned())
        ]
    );
    assert_eq!(notes, [] as [&str; 0]);
    let (services, files) = (["nope".to_owned()], [host.0.path().join("none")]);
    for wanted in [Wanted { services: &services, ..host.wanted() }, Wanted { files: &files, ..host.wanted() }]
    {
        assert_eq!(configured(&wanted).expect_err("not there").code, ExitCode::Usage);
    }
}

#[test]
fn past_victims_come_from_the_history_once_a_port() {
    let host = Host::new("past");
    let path = host.0.path().join("history.db");
    let missing = Wanted { store: Some(&path), ..host.wanted() };
    let (found, notes) = configured(&missing).expect("no usage");
    assert!(found.is_empty() && notes.len() == 1 && notes[0].contains("no history at"), "{notes:?}");
    let first = example::client();
    let mut again = first.clone();
    again.id = "other".into();
    again.time += Duration::from_secs(60);
    again.first_time = again.time;
    again.victim.unit = Some("web.service".into());
    let mut listener = first.clone();
    (listener.id, listener.port, listener.cause) = ("third".into(), 9_999, crate::model::Cause::Listener);
    let keep = Retention { age: Duration::from_secs(36_500 * 86_400), bytes: 256 << 20 };
    let (mut writer, _) = Writer::open(&path, keep).expect("a writer");
    let told = [&first, &again, &listener].map(|one| Told { is_new: true, conflict: Arc::new(one.clone()) });
    writer.write(&told).expect("room");
    drop(writer);
    let (found, notes) = configured(&missing).expect("no usage");
    assert_eq!(notes, [] as [&str; 0]);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.by, *one.ports.start(), one.count), (ConfiguredBy::PastVictim, first.port, Some(2)));
    assert_eq!((one.last_time, one.unit.as_deref()), (Some(again.time), Some("web.service")));
    assert_eq!((one.name.as_str(), one.netns), ("web.service", Some(first.netns)));
    host.0.write("foreign.db", "this is no database at all, and long enough to be looked at as one");
    let foreign = host.0.path().join("foreign.db");
    let (found, notes) = configured(&Wanted { store: Some(&foreign), ..host.wanted() }).expect("no usage");
    assert!(found.is_empty() && notes.len() == 1 && notes[0].contains("foreign.db"), "{notes:?}");
}

#[test]
fn words_about_what_could_not_be_read_are_bounded() {
    let host = Host::new("notes");
    for number in 0..MOST_NOTES + 7 {
        let name = format!("a{number:03}.socket");
        host.0.write(&format!("etc/systemd/system/{name}"), "[Socket]\nListenStream=nonsense\n");
        host.link(&format!("etc/systemd/system/sockets.target.wants/{name}"), &format!("../{name}"));
    }
    let (found, notes) = host.found();
    assert!(found.is_empty() && notes.len() == MOST_NOTES + 1, "{}", notes.len());
    assert!(notes[MOST_NOTES].starts_with("7 more"), "{:?}", notes.last());
}
