//! A node's disk as the engines leave it (`tests/fixtures/node`), and what must be read from it.

use super::*;
use crate::owner::cgroup::membership;
use crate::owner::scratch::Scratch;
use std::path::Path;

const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/node");
/// Ids of the node's containers differ in the last two digits.
const ID: &str = "3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2";
const POD: &str = "0b5c1a9e-6d1f-4c0e-9a57-1f2e3d4c5b6a";
const OTHER_POD: &str = "1c6d2b0f-7e20-4d1f-8b68-203f4e5d6c7b";
const STATIC_POD: &str = "8d1a0c1d2e3f4a5b6c7d8e9f0a1b2c3d";

fn node() -> Root {
    Root::open(Path::new(NODE)).expect("the fixture")
}

fn found(path: &str) -> Option<ContainerNames> {
    names(&node(), &Question::about(&membership(&path.replace("<id>", ID).replace("<pod>", POD)))?)
}

fn answer(runtime: &str, name: &str) -> Option<ContainerNames> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(ContainerNames { runtime: some(runtime), name: some(name), ..ContainerNames::default() })
}

fn in_pod(runtime: &str, name: &str, uid: &str, namespace: &str, pod: &str) -> Option<ContainerNames> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let (pod_namespace, pod_name) = (some(namespace), some(pod));
    Some(ContainerNames { pod: some(uid), pod_name, pod_namespace, ..answer(runtime, name)? })
}

#[test]
fn containers_of_the_engines_have_their_names() {
    assert_eq!(found("/system.slice/docker-<id>d0.scope"), answer("docker", "shop-web-1"));
    assert_eq!(found("/docker/<id>d1"), answer("docker", "moved"), "where daemon.json says");
    assert_eq!(found("/system.slice/nerdctl-<id>4e.scope"), answer("containerd", "cache"));
    assert_eq!(found("/default/<id>4e"), answer("containerd", "cache"));
    assert_eq!(found("/machine.slice/libpod-<id>70.scope/container"), answer("podman", "db"));
    assert_eq!(found("/system.slice/web.service/libpod-payload-<id>71"), answer("podman", "web"), "--rm");
    assert_eq!(found("/system.slice/docker-<id>00.scope"), None, "unknown");
    assert_eq!(found("/system.slice/docker-<id>70.scope"), None, "another engine's");
}

#[test]
fn containers_of_pods_have_the_names_of_both() {
    let coredns = in_pod("containerd", "coredns", OTHER_POD, "kube-system", "coredns-7d9f-x2x");
    assert_eq!(
        found(
            "/kubepods.slice/kubepods-pod1c6d2b0f_7e20_4d1f_8b68_203f4e5d6c7b.slice/cri-containerd-<id>c0.scope"
        ),
        coredns
    );
    assert_eq!(found(&format!("/kubepods/burstable/pod{OTHER_POD}/<id>c0")), coredns);
    assert_eq!(found("/../cri-containerd-<id>c0.scope"), coredns, "the uid is in the files only");
    let sandbox = in_pod("containerd", "", OTHER_POD, "kube-system", "coredns-7d9f-x2x");
    assert_eq!(found(&format!("/kubepods/pod{OTHER_POD}/<id>5a")), sandbox);
    let router = in_pod("cri-o", "router", POD, "ingress", "router-0");
    assert_eq!(found("/kubepods/pod<pod>/crio-<id>40"), router);
    let datanode = in_pod("docker", "datanode", POD, "storage", "hdfs-datanode-0");
    assert_eq!(found("/kubepods/pod<pod>/<id>d8"), datanode);
    // The same labels on a container that is in no pod are only labels.
    let labelled =
        answer("docker", "k8s_datanode_hdfs-datanode-0_storage_0b5c1a9e-6d1f-4c0e-9a57-1f2e3d4c5b6a_0");
    assert_eq!(found("/docker/<id>d8"), labelled);
}

#[test]
fn the_kubelets_logs_name_what_no_engine_does() {
    let by_logs = |name| in_pod("", name, "", "storage", "hdfs-datanode-0");
    assert_eq!(found("/kubepods/burstable/pod<pod>/<id>00"), by_logs(""));
    assert_eq!(found("/kubepods/burstable/pod<pod>"), by_logs(""));
    let path = format!("/kubepods/pod{STATIC_POD}/<id>ee");
    assert_eq!(found(&path), in_pod("", "kube-apiserver", "", "kube-system", "kube-apiserver-node1"));
    assert_eq!(found(&format!("/kubepods/pod{POD}/<id>ee")), by_logs(""), "a link of another pod");
}

#[test]
fn files_of_another_pod_are_not_believed() {
    // The bundle says OTHER_POD, the kernel says POD.
    let by_logs = in_pod("", "", "", "storage", "hdfs-datanode-0");
    assert_eq!(found("/kubepods/pod<pod>/cri-containerd-<id>c0"), by_logs);
}

#[test]
fn made_up_cgroups_get_no_name_of_the_host() {
    for place in [
        "/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
        "/docker/3f4ab0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b200",
        "/lxc.payload.web",
    ] {
        for part in [
            "docker-<id>d0.scope",
            "libpod-<id>70.scope",
            "kubepods/pod<pod>/crio-<id>40",
            "kubepods/pod<pod>",
        ] {
            assert_eq!(found(&format!("{place}/{part}")), None, "{place}/{part}");
        }
    }
    // Docker in a pod: the pod is the kubelet's word, the container inside is nobody's of the host.
    let outer = in_pod("", "", "", "storage", "hdfs-datanode-0");
    assert_eq!(found("/kubepods/pod<pod>/<id>c0/docker/<id>d0"), outer);
}

#[test]
fn a_users_containers_are_named_by_the_users_files_with_the_users_rights() {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let scratch = Scratch::new("rootless");
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // Root can make them an ordinary user's.
    let (uid, gid) = if own.0 == 0 { (54_321, 54_321) } else { own };
    scratch.write("etc/passwd", &format!("alice:x:{uid}:{gid}::/u/alice:/bin/sh\n"));
    let mut locked = None;
    for from in [
        "u/alice/.local/share/containers/storage/overlay-containers/containers.json".to_owned(),
        format!("u/alice/.local/share/docker/containers/{ID}d1/config.v2.json"),
    ] {
        let text = std::fs::read_to_string(format!("{NODE}/{from}")).expect("the fixture");
        scratch.write(&from, &text);
        let file = scratch.path().join(&from);
        for path in file.ancestors().take_while(|path| *path != scratch.path()) {
            chown(path, Some(uid), Some(gid)).expect("its own files");
        }
        locked = Some(file);
    }
    let root = Root::open(scratch.path()).expect("a folder");
    let ask = |uid: u32, part: &str| {
        let path = format!("/user.slice/user@{uid}.service/user.slice/{part}");
        names(&root, &Question::about(&membership(&path.replace("<id>", ID)))?)
    };
    assert_eq!(ask(uid, "libpod-<id>1e.scope/container"), answer("podman", "blog"));
    assert_eq!(ask(uid, "docker-<id>d1.scope"), answer("docker", "hers"));
    assert_eq!(ask(uid, "libpod-<id>70.scope"), None, "root's");
    assert_eq!(ask(uid + 1, "libpod-<id>1e.scope"), None, "another user's");
    let locked = locked.expect("the last of them");
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o0)).expect("its own file");
    assert_eq!(ask(uid, "docker-<id>d1.scope"), None, "what the user cannot read, nobody reads for them");
    let now = (rustix::process::geteuid().as_raw(), std::fs::read(scratch.path().join("etc/passwd")).is_ok());
    assert_eq!(now, (own.0, true), "and the rights are back");
}

#[test]
fn broken_files_say_nothing() {
    let scratch = Scratch::new("broken");
    let root = Root::open(scratch.path()).expect("a folder");
    let ask = |path: &str| names(&root, &Question::about(&membership(&path.replace("<id>", ID)))?);
    let docker = format!("var/lib/docker/containers/{ID}d0/config.v2.json");
    for text in ["", "null", "[]", "{", r#"{"Name":7}"#, r#"{"Name":""}"#, r#"{"Name":null,"Config":null}"#] {
        scratch.write(&docker, text);
        let name = ask("/docker/<id>d0").and_then(|names| names.name);
        assert_eq!(name, None, "{text}");
    }
    scratch.write(&docker, &format!(r#"{{"Name":"/{}"}}"#, "x".repeat(NAME + 1)));
    assert_eq!(ask("/docker/<id>d0").and_then(|names| names.name), None, "too long for a name");
    scratch.write(&docker, &format!(r#"{{"Name":"/web","Args":["{}"]}}"#, "x".repeat(DESCRIPTION)));
    assert_eq!(ask("/docker/<id>d0"), None, "too long for a description");
    scratch.write("var/log/pods/no_uid_here_x/a", "");
    assert_eq!(ask(&format!("/kubepods/pod{POD}")), None);
}
