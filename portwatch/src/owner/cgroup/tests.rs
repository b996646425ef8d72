//! Paths as they are met on real hosts, out of a table; which of several is taken; who is whose predecessor.

use super::*;
use proptest::prelude::*;

const TABLE: &str = include_str!("../../../tests/fixtures/cgroup/paths.txt");
const ID: &str = "3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3";
const OTHER: &str = "c0ffee00d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3";
const POD: &str = "0b5c1a9e-6d1f-4c0e-9a57-1f2e3d4c5b6a";

fn filled(text: &str) -> String {
    text.replace("<id>", ID)
        .replace("<other>", OTHER)
        .replace("<uid>", POD)
        .replace("<uid_>", &POD.replace('-', "_"))
}

fn expected(line: &str) -> Membership {
    let mut expected = Membership::default();
    for word in line.split_ascii_whitespace().filter(|word| *word != "-") {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let some = || Some(value.to_owned());
        match key {
            "unit" => expected.unit = some(),
            "slice" => expected.slice = some(),
            "container" => expected.container = some(),
            "runtime" => expected.runtime = Some(runtime(value)),
            "name" => expected.name = some(),
            "pod" => expected.pod = some(),
            "place" => expected.place = place(value),
            "podplace" => expected.pod_place = place(value),
            "own" => expected.in_own_unit = true,
            _ => panic!("{word}?"),
        }
    }
    expected
}

fn runtime(name: &str) -> Runtime {
    use Runtime::{BuildKit, Containerd, CriO, Docker, Lxc, Nomad, Nspawn, Podman};
    let all = [Docker, Containerd, CriO, Podman, Lxc, Nspawn, Nomad, BuildKit];
    all.into_iter().find(|runtime| runtime.as_str() == name).unwrap_or_else(|| panic!("{name}?"))
}

fn place(text: &str) -> Place {
    match text.strip_prefix("user:") {
        Some(uid) => Place::User(uid.parse().expect("a uid")),
        None => {
            assert_eq!(text, "inside");
            Place::Inside
        }
    }
}

#[test]
fn paths_of_real_hosts_are_read() {
    let lines: Vec<_> = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (rows, rest) = lines.as_chunks::<2>();
    assert!(rest.is_empty() && rows.len() > 80, "{} rows", rows.len());
    let mut wrong = String::new();
    for [path, answer] in rows {
        assert!(path.starts_with('/') && answer.starts_with("  "), "{path}\n{answer}");
        let (path, want) = (filled(path), expected(&filled(answer)));
        let got = membership(&path);
        if got != want {
            wrong.push_str(&format!("{path}\n  got  {got:?}\n  want {want:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn an_instance_knows_its_predecessor() {
    let same = |a: &str, b: &str| same_service(&filled(a), &filled(b));
    assert!(same("/system.slice/nginx.service", "/system.slice/nginx.service"));
    assert!(same("/system.slice/nginx.service", "/system.slice/nginx.service/worker"));
    assert!(same("/docker/<id>", "/docker/<id>"));
    assert!(same("/docker/<id>/a.service", "/docker/<id>/a.service"));
    assert!(!same("/docker/<id>/a.service", "/docker/<id>/b.service"));
    assert!(!same("/docker/<id>", "/docker/<other>"));
    assert!(!same("/docker/<id>", "/system.slice/nginx.service"));
    assert!(!same("/system.slice/nginx.service", "/system.slice/apache.service"));
    assert!(!same("/user.slice/session-1.scope", "/user.slice/session-1.scope"));
    assert!(!same("/u/user@1.service", "/u/user@1.service"));
    assert!(!same("/u/user@1.service/a.service", "/u/user@2.service/a.service"));
    assert!(!same("/init.scope", "/init.scope"));
    assert!(!same("/", "/"));
}

#[test]
fn a_service_in_a_container_of_its_own_has_a_new_one_every_time() {
    let same = |a: &str, b: &str| same_service(&filled(a), &filled(b));
    assert!(same(
        "/system.slice/web.service/libpod-payload-<id>",
        "/system.slice/web.service/libpod-payload-<other>"
    ));
    assert!(!same(
        "/system.slice/web.service/libpod-payload-<id>",
        "/system.slice/db.service/libpod-payload-<other>"
    ));
    assert!(!same("/docker/<id>/web.service", "/docker/<other>/web.service"));
}

#[test]
fn a_whole_system_in_a_container_is_no_service() {
    assert!(!same_service("/lxc.payload.web1/x", "/lxc.payload.web1/y"));
    assert!(same_service("/lxc.payload.web1/a.service", "/lxc.payload.web1/a.service"));
}

#[test]
fn the_telling_line_of_proc_is_picked() {
    let picked = |text: &str| pick(&filled(text)).map(str::to_owned);
    let is = |path: &str| Some(filled(path));
    assert_eq!(picked("0::/system.slice/a.service\n"), is("/system.slice/a.service"));
    assert_eq!(
        picked("5:memory:/\n1:name=systemd:/system.slice/a.service\n0::/\n"),
        is("/system.slice/a.service")
    );
    assert_eq!(picked("9:name=systemd:/\n4:memory:/docker/<id>\n0::/\n"), is("/docker/<id>"));
    // The engine's service stays behind in the hierarchy that the engine does not use.
    let left_behind = "4:memory:/docker/<id>\n1:name=systemd:/docker/<id>\n0::/system.slice/docker.service\n";
    assert_eq!(picked(left_behind), is("/docker/<id>"));
    assert_eq!(
        picked("4:memory:/kubepods/pod<uid>/<id>\n1:name=systemd:/system.slice/kubelet.service\n"),
        is("/kubepods/pod<uid>/<id>")
    );
    assert_eq!(picked("4:memory:/x\n0::/\n"), is("/"));
    assert_eq!(picked("4:memory:/x\n"), is("/x"));
    assert_eq!(picked("0::/system.slice/gone.service (deleted)\n"), is("/system.slice/gone.service"));
    assert_eq!(picked("1:name=systemd:/a:b/c.service\n"), is("/a:b/c.service"));
    assert_eq!(picked("nonsense"), None);
}

#[test]
fn login_names_of_the_host_are_not_those_of_a_container() {
    let named = |path: &str, uid| membership(&filled(path)).has_host_user(uid);
    assert!(named("/system.slice/a.service", 999) && named("/docker/<id>", 0));
    assert!(!named("/docker/<id>", 999) && !named("/lxc.payload.web1", 33));
    assert!(named("/user.slice/user@1000.service/user.slice/libpod-<id>.scope", 1000));
}

#[test]
fn what_systemd_escaped_is_undone() {
    assert_eq!(unescape(r"dev\x2dserver"), "dev-server");
    assert_eq!(unescape(r"odd\xzz\x"), r"odd\xzz\x");
    assert_eq!(unescape("plain"), "plain");
}

proptest! {
    #[test]
    fn no_path_panics(path in "\\PC{0,80}", other in "[/\\\\x.a-f0-9service:@-]{0,80}") {
        membership(&path);
        membership(&other);
        same_service(&path, &other);
        pick(&path);
        unescape(&other);
    }
}
